"""Ids that are held many times over."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from models.arrays.counted_ids import CountedIds

steps = st.lists(st.tuples(st.booleans(), st.sampled_from("abcd")), max_size=60)


@given(steps)
def test_an_id_keeps_its_row_as_long_as_it_is_held_and_rows_are_used_again(
    steps: list[tuple[bool, str]],
) -> None:
    ids = CountedIds()
    held: Counter[str] = Counter()
    row_of: dict[str, int] = {}
    most = 0
    for taken, name in steps:
        if taken:
            row = ids.take(name)
            assert row == row_of.setdefault(name, row)
            held[name] += 1
        elif held[name]:
            ids.release(row_of[name])
            held[name] -= 1
            if not held[name]:
                del row_of[name]
        assert {ids[row]: row for row in row_of.values()} == row_of
        most = max(most, len(row_of))
        assert len(ids) == len(row_of)
        assert all(row < most for row in row_of.values())
