"""Numbers that look random and follow from others."""

import numpy as np

from models.arrays.mixing import uniform


def test_numbers_are_even_and_follow_from_their_parts() -> None:
    viewer_n, media_n = np.arange(400)[:, None], np.arange(500)[None, :]
    drawn_nn = uniform(7, viewer_n, media_n)
    assert drawn_nn.shape == (400, 500)
    counts = np.histogram(drawn_nn, bins=10, range=(0.0, 1.0))[0]
    assert np.abs(counts / drawn_nn.size - 0.1).max() < 0.005
    assert drawn_nn[3, 4] == uniform(7, np.array([3]), np.array([4]))[0]
    assert (uniform(8, viewer_n, media_n) != drawn_nn).all()


def test_rows_and_columns_do_not_go_together() -> None:
    drawn_nn = uniform(7, np.arange(300)[:, None], np.arange(300)[None, :])
    assert np.abs(np.corrcoef(drawn_nn.ravel(), drawn_nn.T.ravel())[0, 1]) < 0.02
    assert np.abs(drawn_nn.mean(axis=0) - 0.5).max() < 0.09
