"""What is told of grids as they are made: how long it took, after what, and of which sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Final

from infra.metrics import EVENT_TO_GRID, GRID_ITEMS, GRID_SECONDS
from infra.recent import RecentSeconds
from models.explore.impressions import EncodedGrid

#: From a viewer's newest event to the grid with it.
EVENT_TO_GRID_LATELY: Final = RecentSeconds()
#: To make one grid.
MAKING_LATELY: Final = RecentSeconds()


def note_made(grids: Collection[EncodedGrid], seconds: float) -> None:
    """Note grids that were made as one batch within a time."""
    sources: Counter[str] = Counter()
    for grid in grids:
        GRID_SECONDS.observe(seconds / len(grids))
        MAKING_LATELY.add(seconds / len(grids))
        sources.update(item.source for item in grid.document.items)
    for source, items in sources.items():
        GRID_ITEMS.labels(source).inc(items)


def note_answered(grids: Collection[EncodedGrid], stored_ms: int) -> None:
    """Note grids of viewers who just did something, stored at a time (epoch ms)."""
    for grid in grids:
        if not grid.document.reflects_ts:
            continue  # Her state was set aside: it knows no event.
        # The time of the event is by the clock of whoever sent it.
        seconds = max(stored_ms - grid.document.reflects_ts, 0) / 1000
        EVENT_TO_GRID.observe(seconds)
        EVENT_TO_GRID_LATELY.add(seconds)
