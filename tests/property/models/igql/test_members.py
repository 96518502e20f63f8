"""Members of viewers and rows against Python's sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.igql.members import Members

MEDIA = 50
rows = st.lists(st.integers(0, MEDIA - 1), max_size=60)


@given(of=st.lists(rows, min_size=1, max_size=6), data=st.data())
def test_pairs_hold_what_they_were_made_of_and_nothing_else(
    of: list[list[int]], data: st.DataObject
) -> None:
    asked = data.draw(st.lists(st.tuples(st.integers(0, len(of) - 1), st.integers(-1, MEDIA - 1))))
    marks = np.zeros(MEDIA + 1, np.bool_)
    pairs = Members([np.array(one, np.int32) for one in of], marks)
    viewer_n = np.array([viewer for viewer, _ in asked], np.int32)
    row_n = np.array([row for _, row in asked], np.int32)
    for _ in range(2):
        expected = [row in of[viewer] for viewer, row in asked]
        assert pairs.hold(viewer_n, row_n).tolist() == expected
        assert not marks.any()


def test_more_pairs_than_the_table_has_room_for_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    of_v = [rng.integers(0, 1_000_000, 20_000).astype(np.int32) for _ in range(3)]
    row_n = rng.integers(0, 1_000_000, 5_000).astype(np.int32)
    pairs = Members(of_v, np.zeros(0, np.bool_))
    for viewer in range(3):
        found_n = pairs.hold(np.full(len(row_n), viewer, np.int32), row_n)
        np.testing.assert_array_equal(found_n, np.isin(row_n, of_v[viewer]))
