"""Pairs are found where they are, by whichever way is cheaper; steps are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays.viewer_pairs import matches, pairs, pairs_of
from models.features.viewers import stepped


@given(seed=st.integers(0, 2**32), wanted=st.sampled_from([0, 1, 40, 1024, 1025, 3000]))
def test_matches_are_all_that_are_among_the_pairs(seed: int, wanted: int) -> None:
    rng = np.random.default_rng(seed)
    of_v = [
        np.unique(rng.integers(0, 1 << int(rng.integers(1, 31)), int(rng.integers(0, 60)))).astype(
            np.int32
        )
        for _ in range(int(rng.integers(1, 5)))
    ]
    sorted_p = pairs_of(of_v)
    assert (np.diff(sorted_p) > 0).all()
    there = rng.choice(sorted_p, wanted) if len(sorted_p) else np.empty(0, np.int64)
    elsewhere = pairs(np.sort(rng.integers(0, 5, wanted)), rng.integers(0, 1 << 31, wanted))
    wanted_n = rng.permutation(np.concatenate((there, elsewhere)))
    found, at = matches(sorted_p, wanted_n)
    assert found.tolist() == np.flatnonzero(np.isin(wanted_n, sorted_p)).tolist()
    assert sorted_p[at].tolist() == wanted_n[found].tolist()


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-30])
def test_vectors_are_rounded_to_the_nearest_step(scale: float) -> None:
    vectors_nd = np.random.default_rng(1).uniform(-1, 1, (500, 8)).astype(np.float32)
    vectors_nd[:9, 0] = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 2048, -2048, 0]) / 2048
    vectors_nd *= np.float32(scale)
    np.testing.assert_array_equal(stepped(vectors_nd), np.rint(vectors_nd * 2048) / 2048)
