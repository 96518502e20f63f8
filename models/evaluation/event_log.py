"""A recorded log of what viewers did, as columns: what grids and baselines are evaluated on.

Viewers and media are whole numbers from 0 on; whoever read the log keeps their names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models.actions import POSITIVE, Action
from models.arrays.types import Mask

Indices = NDArray[np.int32]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EventLog:
    """Events in order of time.

    Attributes:
        ts_n: event times, epoch ms, ascending.
        viewer_n, media_n: whole numbers below `viewers` and `media`.
        action_n: codes of :class:`models.actions.Action`.
        undo_n: whether the event takes an action back.
        standing_n: whether it is no undo and was never taken back.
        author_m: author of each media as a whole number.
        created_m: when each media came into the inventory, epoch ms.
    """

    ts_n: Times
    viewer_n: Indices
    media_n: Indices
    action_n: NDArray[np.int8]
    undo_n: Mask
    standing_n: Mask
    viewers: int
    author_m: Indices
    created_m: Times

    def __len__(self) -> int:
        return len(self.ts_n)

    @property
    def media(self) -> int:
        """How many media there are."""
        return len(self.author_m)

    @property
    def authors(self) -> int:
        """How many authors there are."""
        return int(self.author_m.max(initial=-1)) + 1

    def first_times(self) -> Mask:
        """Which of what stands its viewer had not done to the same media before."""
        rows = np.flatnonzero(self.standing_n)
        pair_n = self.viewer_n[rows].astype(np.int64) * self.media + self.media_n[rows]
        _, first = np.unique(pair_n * len(Action) + self.action_n[rows], return_index=True)
        first_n = np.zeros(len(self), np.bool_)
        first_n[rows[first]] = True
        return first_n

    def before(self, ts_ms: int) -> int:
        """How many events are older than `ts_ms`."""
        return int(np.searchsorted(self.ts_n, ts_ms))

    def of(self, actions: tuple[Action, ...] = POSITIVE) -> Mask:
        """Which events stand and are one of these actions."""
        return np.isin(self.action_n, actions) & self.standing_n

    def by_viewer(self, wanted_n: Mask) -> ViewerEvents:
        """These events, to look up by viewer and time."""
        return ViewerEvents(
            self.viewer_n[wanted_n], self.media_n[wanted_n], self.ts_n[wanted_n], self
        )


class ViewerEvents:
    """Events of each viewer in order of time, to look up what a viewer had done by then."""

    def __init__(self, viewer_n: Indices, media_n: Indices, ts_n: Times, log: EventLog) -> None:
        order_n = np.argsort(viewer_n, kind="stable")
        self._viewer_n, self._media_n = viewer_n[order_n], media_n[order_n]
        self._media = log.media
        self._begin_v = np.searchsorted(self._viewer_n, np.arange(log.viewers + 1))
        # Times ascend within a viewer alone: with the viewer in front of the rank of the time among
        # all times, one column is sorted.
        self._times = np.unique(ts_n)
        self._key_n = self._key(self._viewer_n, ts_n[order_n])

    def count_before(self, viewer_g: Indices, ts_g: Times) -> NDArray[np.int64]:
        """How many events of a viewer are older than a time."""
        begin_g, end_g = self._spans(viewer_g, ts_g)
        return end_g - begin_g

    def before(self, viewer_g: Indices, ts_g: Times, newest: int | None = None) -> csr_matrix:
        """Which media a viewer had acted on before a time: ones (g, media), float32.

        Args:
            newest: count only so many events, the newest ones.
        """
        begin_g, end_g = self._spans(viewer_g, ts_g)
        if newest is not None:
            begin_g = np.maximum(begin_g, end_g - newest)
        size_g = end_g - begin_g
        stop_g = np.cumsum(size_g)
        at_n = np.arange(int(size_g.sum())) + np.repeat(begin_g - stop_g + size_g, size_g)
        ones_gm = csr_matrix(
            (
                np.ones(len(at_n), np.float32),
                self._media_n[at_n],
                np.concatenate([np.zeros(1, np.int64), stop_g]),
            ),
            shape=(len(viewer_g), self._media),
        )
        ones_gm.sum_duplicates()
        ones_gm.data[:] = 1.0
        return ones_gm

    def newest(self, viewer_g: Indices, ts_g: Times, most: int) -> list[Indices]:
        """Of each viewer the newest `most` media acted on before a time, the newest last."""
        begin_g, end_g = self._spans(viewer_g, ts_g)
        begin_g = np.maximum(begin_g, end_g - most)
        spans = zip(begin_g.tolist(), end_g.tolist(), strict=True)
        return [self._media_n[begin:end] for begin, end in spans]

    def _spans(self, viewer_g: Indices, ts_g: Times) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        begin_g = self._begin_v[viewer_g].astype(np.int64)
        end_g = np.searchsorted(self._key_n, self._key(viewer_g, ts_g)).astype(np.int64)
        return begin_g, end_g

    def _key(self, viewer_n: Indices, ts_n: Times) -> NDArray[np.int64]:
        rank_n = np.searchsorted(self._times, ts_n)
        key_n: NDArray[np.int64] = viewer_n.astype(np.int64) * (len(self._times) + 1) + rank_n
        return key_n
