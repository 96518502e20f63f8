"""What a grid should have held: positives of the test period on media never seen before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.actions import Action
from models.arrays.types import Mask
from models.evaluation.event_log import EventLog, Indices, Times

#: Newest part of the training period's events that what is tuned is judged on.
VALIDATION_SHARE: Final = 0.15


@dataclass(frozen=True, slots=True)
class Targets:
    """Grids to be made, and the media that each should hold.

    Attributes:
        viewer_g: of each grid.
        ts_g: when it is made: it may know everything that is older, epoch ms.
        grid_p, media_p: the grid and the media of each positive; grids ascend.
        history_g: how many positives the viewer had before.
    """

    viewer_g: Indices
    ts_g: Times
    grid_p: NDArray[np.int64]
    media_p: Indices
    history_g: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.viewer_g)

    def counts(self) -> NDArray[np.int64]:
        """Positives_g that each grid should have held."""
        return np.bincount(self.grid_p, minlength=len(self)).astype(np.int64)

    def take(self, grids: NDArray[np.integer] | Mask) -> Targets:
        """These grids with their positives."""
        rows = np.flatnonzero(grids) if grids.dtype == np.bool_ else grids
        place_g = np.full(len(self), -1, np.int64)
        place_g[rows] = np.arange(len(rows))
        kept_p = place_g[self.grid_p] >= 0
        grid_p, media_p = place_g[self.grid_p[kept_p]], self.media_p[kept_p]
        order_p = np.argsort(grid_p, kind="stable")
        return Targets(
            self.viewer_g[rows],
            self.ts_g[rows],
            grid_p[order_p],
            media_p[order_p],
            self.history_g[rows],
        )

    def only(self, wanted_p: Mask) -> Targets:
        """The same grids with some of their positives."""
        return Targets(
            self.viewer_g, self.ts_g, self.grid_p[wanted_p], self.media_p[wanted_p], self.history_g
        )


def validation_from(log: EventLog, split_ms: int, real_from_ms: int = 0) -> int:
    """Where the end of the training period begins, that parameters are tuned on, epoch ms.

    Args:
        split_ms: the training period ends here; some event lies before.
        real_from_ms: what is older was not recorded in real time, so it is not judged on.
    """
    events = log.before(split_ms)
    from_ms = int(log.ts_n[min(int(events * (1 - VALIDATION_SHARE)), events - 1)])
    return max(from_ms, real_from_ms)


def static_targets(
    log: EventLog, actions: tuple[Action, ...], split_ms: int, until_ms: int | None = None
) -> Targets:
    """One grid a viewer at the split, for all positives from there on.

    Args:
        actions: what counts as a positive.
        until_ms: positives from here on do not count.
    """
    viewer_p, media_p, _ = _first_positives(log, actions, split_ms, until_ms, split_ms)
    viewers, grid_p = np.unique(viewer_p, return_inverse=True)
    order_p = np.lexsort((media_p, grid_p))
    viewer_g, ts_g = viewers.astype(np.int32), np.full(len(viewers), split_ms, np.int64)
    return Targets(
        viewer_g,
        ts_g,
        grid_p[order_p].astype(np.int64),
        media_p[order_p],
        log.by_viewer(log.of()).count_before(viewer_g, ts_g),
    )


def prequential_targets(
    log: EventLog, actions: tuple[Action, ...], split_ms: int, until_ms: int | None = None
) -> Targets:
    """A grid just before each positive from the split on, in order of time."""
    viewer_g, media_g, ts_g = _first_positives(log, actions, split_ms, until_ms, None)
    return Targets(
        viewer_g,
        ts_g,
        np.arange(len(viewer_g), dtype=np.int64),
        media_g,
        log.by_viewer(log.of()).count_before(viewer_g, ts_g),
    )


def _first_positives(
    log: EventLog,
    actions: tuple[Action, ...],
    split_ms: int,
    until_ms: int | None,
    seen_by_ms: int | None,
) -> tuple[Indices, Indices, Times]:
    """The first positive of each viewer and media, in order of time.

    Args:
        seen_by_ms: a media that the viewer met before does not count; None for before the
            positive.
    """
    wanted_n = log.of(actions) & (log.ts_n >= split_ms)
    if until_ms is not None:
        wanted_n &= log.ts_n < until_ms
    at = np.flatnonzero(wanted_n)
    key_n = log.viewer_n.astype(np.int64) * log.media + log.media_n
    _, first = np.unique(key_n[at], return_index=True)
    at = at[np.sort(first)]
    if seen_by_ms is None:
        # The time at which a viewer first met a media, by what the log says.
        keys, met = np.unique(key_n, return_index=True)
        new_p = log.ts_n[met[np.searchsorted(keys, key_n[at])]] >= log.ts_n[at]
    else:
        new_p = ~np.isin(key_n[at], key_n[: log.before(seen_by_ms)])
    at = at[new_p]
    return log.viewer_n[at], log.media_n[at], log.ts_n[at]
