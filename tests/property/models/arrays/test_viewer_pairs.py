"""Pairs are found where they are, by whichever way is cheaper; steps are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays.viewer_pairs import PairSet, ViewerRows, pairs, pairs_of
from models.features.viewers import stepped

MEDIA = 50
rows = st.lists(st.integers(0, MEDIA - 1), max_size=60)


@given(seed=st.integers(0, 2**32), wanted=st.sampled_from([0, 1, 40, 1024, 1025, 3000]))
def test_found_are_all_that_are_among_the_pairs(seed: int, wanted: int) -> None:
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
    found, at = PairSet(sorted_p).find(wanted_n)
    assert found.tolist() == np.flatnonzero(np.isin(wanted_n, sorted_p)).tolist()
    assert sorted_p[at].tolist() == wanted_n[found].tolist()


@given(of=st.lists(rows, min_size=1, max_size=6), data=st.data())
def test_pairs_hold_what_they_were_made_of_and_nothing_else(
    of: list[list[int]], data: st.DataObject
) -> None:
    asked = data.draw(st.lists(st.tuples(st.integers(0, len(of) - 1), st.integers(-1, MEDIA - 1))))
    marks = np.zeros(MEDIA + 1, np.bool_)
    theirs = ViewerRows([np.array(one, np.int32) for one in of], marks)
    viewer_n = np.array([viewer for viewer, _ in asked], np.int32)
    row_n = np.array([row for _, row in asked], np.int32)
    for _ in range(2):
        expected = [row in of[viewer] for viewer, row in asked]
        assert theirs.hold(viewer_n, row_n).tolist() == expected
        assert not marks.any()


def test_more_pairs_than_the_table_has_room_for_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    of_v = [rng.integers(0, 1_000_000, 20_000).astype(np.int32) for _ in range(3)]
    row_n = rng.integers(0, 1_000_000, 5_000).astype(np.int32)
    theirs = ViewerRows(of_v, np.zeros(0, np.bool_))
    for viewer in range(3):
        found_n = theirs.hold(np.full(len(row_n), viewer, np.int32), row_n)
        np.testing.assert_array_equal(found_n, np.isin(row_n, of_v[viewer]))


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-30])
def test_vectors_are_rounded_to_the_nearest_step(scale: float) -> None:
    vectors_nd = np.random.default_rng(1).uniform(-1, 1, (500, 8)).astype(np.float32)
    vectors_nd[:9, 0] = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 2048, -2048, 0]) / 2048
    vectors_nd *= np.float32(scale)
    np.testing.assert_array_equal(stepped(vectors_nd), np.rint(vectors_nd * 2048) / 2048)
