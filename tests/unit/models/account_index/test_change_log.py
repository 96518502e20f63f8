"""The recent changes of an index."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.account_index.change_log import KEPT, ChangeLog


@settings(deadline=None)
@given(
    sizes=st.lists(st.sampled_from([1, 2, 700, KEPT - 1, KEPT, KEPT + 1]), max_size=12),
    version=st.integers(0, 13),
)
def test_it_tells_all_changes_since_a_version_or_that_it_cannot(
    sizes: list[int], version: int
) -> None:
    log, rows_of = ChangeLog(), {}
    for number, size in enumerate(sizes, start=1):
        rows_of[number] = np.arange(size) * number
        log.add(number, rows_of[number])
    after = [rows for number, rows in rows_of.items() if number > version]
    told = log.since(version)
    if told is not None:
        np.testing.assert_array_equal(told, np.unique(np.concatenate([*after, np.empty(0)])))
    else:
        # Only what is far behind is not told.
        assert sum(map(len, after)) > KEPT or any(len(rows) > KEPT for rows in after)
