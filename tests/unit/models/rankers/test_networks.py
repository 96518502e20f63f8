"""What networks are made of: standardized columns, sigmoids, a table of learnt vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.rankers.networks import CLIP, EmbeddingTable, Standardizer, sigmoid


def test_standardizer_ignores_missing_values_and_switches_constants_off() -> None:
    dense_nf = np.array([[1, 5, np.nan], [3, 5, 4], [np.inf, 5, 8]], np.float32)
    fitted = Standardizer.fit(dense_nf)
    np.testing.assert_allclose(fitted.mean_f, [2, 5, 6])
    np.testing.assert_allclose(fitted.scale_f, [1, 0, 0.5])
    np.testing.assert_allclose(fitted(dense_nf), [[-1, 0, 0], [1, 0, -1], [CLIP, 0, 1]])


def test_sigmoid_neither_overflows_nor_leaves_its_range() -> None:
    x_n = np.array([-1e30, -100, 0, 1, 100, 1e30], np.float32)
    y_n = sigmoid(x_n)
    assert (y_n > 0).all() and (y_n <= 1).all()
    np.testing.assert_allclose(y_n[2:4], [0.5, 1 / (1 + np.exp(-1))], rtol=1e-6)


def test_embedding_rows_wrap_within_their_column() -> None:
    table_rd: NDArray[np.float32] = np.arange(5, dtype=np.float32)[:, None]
    vectors = EmbeddingTable(table_rd, np.array([2, 3]), parts=(0, 1, 1))
    ids_ns = np.array([[0, 0, 1], [1, 2, 0], [2, 3, 5], [-1, -1, 4]], np.int32)
    expected = [[0, 2, 3], [1, 4, 2], [0, 2, 4], [1, 4, 3]]
    np.testing.assert_array_equal(vectors(ids_ns)[:, :, 0], expected)
