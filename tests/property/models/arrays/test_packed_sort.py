"""Sorting packed numbers against sorting tuples."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.arrays.packed_sort import Sorted, falling
from models.igql.sets import best_of_each, first_of_each, first_of_runs, places

small = st.integers(0, 3)
#: Two of these and a position are more than 63 bits.
wide = st.sampled_from([0, 1, 2**31, 2**40, 2**62])
viewers = st.lists(st.integers(0, 4), max_size=40).map(sorted)
scores = st.floats(width=32, allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, -1.0])


def column(values: list[int], dtype: type = np.int64) -> np.ndarray:
    return np.array(values, dtype)


@given(rows=st.lists(st.tuples(small, small | wide, wide | small, st.booleans()), max_size=40))
def test_rows_come_in_the_order_of_tuples_and_equal_ones_as_they_stood(
    rows: list[tuple[int, int, int, bool]],
) -> None:
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    dtypes = (np.int32, np.int64, np.int64, np.bool_)
    by = Sorted(*(np.array(c, d) for c, d in zip(columns, dtypes, strict=True)))
    expected = sorted(range(len(rows)), key=lambda at: (rows[at], at))
    assert by.order_n.tolist() == expected
    for count in (1, 2, 3, 4):
        groups = [rows[at][:count] for at in expected]
        begins = [at == 0 or groups[at] != groups[at - 1] for at in range(len(groups))]
        assert by.begins(count).tolist() == begins


@given(values=st.lists(scores))
def test_falling_numbers_sort_as_scores_from_the_highest(values: list[float]) -> None:
    score_n = np.array(values, np.float32)
    expected = np.argsort(-score_n, kind="stable")
    assert np.argsort(falling(score_n), kind="stable").tolist() == expected.tolist()


@given(of=viewers, data=st.data())
def test_the_first_of_each_value_is_the_first_that_is_not_later(
    of: list[int], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(small, min_size=len(of), max_size=len(of)))
    later = data.draw(st.lists(st.booleans(), min_size=len(of), max_size=len(of)))
    best: dict[tuple[int, int], int] = {}
    for at in sorted(range(len(of)), key=lambda at: (later[at], at)):
        best.setdefault((of[at], rows[at]), at)
    viewer_n, row_n = column(of, np.int32), column(rows, np.int32)
    assert first_of_each(viewer_n, row_n, np.array(later, np.bool_)).tolist() == sorted(
        best.values()
    )
    first = {(of[at], rows[at]): at for at in reversed(range(len(of)))}
    assert first_of_each(viewer_n, row_n).tolist() == sorted(first.values())


@given(of=viewers, most=st.integers(1, 6), data=st.data())
def test_the_best_of_each_are_the_best_rows_once(
    of: list[int], most: int, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(small, min_size=len(of), max_size=len(of)))
    score = data.draw(st.lists(scores, min_size=len(of), max_size=len(of)))
    expected: list[int] = []
    for viewer in range(5):
        taken: dict[int, int] = {}
        mine = [at for at in range(len(of)) if of[at] == viewer]
        for at in sorted(mine, key=lambda at: -score[at]):
            taken.setdefault(rows[at], at)
        expected += list(taken.values())[:most]
    score_n = np.array(score, np.float32)
    found = best_of_each(column(of, np.int32), column(rows, np.int32), score_n, most, 5)
    assert found.tolist() == expected


@given(of=viewers, most=st.integers(0, 6))
def test_places_and_first_of_runs_count_within_a_viewer(of: list[int], most: int) -> None:
    expected = [of[:at].count(viewer) for at, viewer in enumerate(of)]
    viewer_n = column(of, np.int32)
    assert places(viewer_n).tolist() == expected
    begin_v = np.searchsorted(viewer_n, np.arange(6))
    first = [at for at, place in enumerate(expected) if place < most]
    assert first_of_runs(begin_v, most).tolist() == first
