"""Small logs for tests of evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from models.actions import Action
from models.evaluation.event_log import EventLog

Row = tuple[int, int, int, Action]


def event_log(rows: Sequence[Row], media: int = 0, authors: Sequence[int] = ()) -> EventLog:
    """A log of (ts, viewer, media, action); each media is its own author unless said otherwise."""
    ordered = sorted(rows, key=lambda row: row[0])
    count = max([media, *(row[2] + 1 for row in ordered)])
    media_n = np.array([row[2] for row in ordered], np.int32)
    ts_n = np.array([row[0] for row in ordered], np.int64)
    created_m = np.zeros(count, np.int64)
    return EventLog(
        ts_n=ts_n,
        viewer_n=np.array([row[1] for row in ordered], np.int32),
        media_n=media_n,
        action_n=np.array([row[3] for row in ordered], np.int8),
        undo_n=np.zeros(len(ordered), np.bool_),
        standing_n=np.ones(len(ordered), np.bool_),
        viewers=max((row[1] for row in ordered), default=-1) + 1,
        author_m=np.array(authors or range(count), np.int32),
        created_m=created_m,
    )


@st.composite
def rows(draw: st.DrawFn, viewers: int = 4, media: int = 6, most: int = 30) -> list[Row]:
    """Events of a few viewers on a few media, many at equal times."""
    row = st.tuples(
        st.integers(1, 12),
        st.integers(0, viewers - 1),
        st.integers(0, media - 1),
        st.sampled_from(Action),
    )
    return draw(st.lists(row, min_size=1, max_size=most))
