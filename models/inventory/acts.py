"""What viewers did to media, as columns: a batch of events without what nobody counts by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.actions import Action
from models.arrays.types import Mask, Positions
from models.events import MediaEvent
from models.inventory.viewer_marks import ViewerKeys, viewer_keys


class Act(NamedTuple):
    """One of them.

    Attributes:
        author_id: of the media, as the event says; None where it does not.
        viewer: key of the viewer (:mod:`models.inventory.viewer_marks`).
        action: code of :class:`models.actions.Action`.
        ts: event time, epoch ms.
    """

    media_id: str
    author_id: str | None
    viewer: int
    action: int
    ts: int
    undo: bool


class Acts(NamedTuple):
    """Many of them; the columns are those of :class:`Act`."""

    media_ids: list[str]
    author_ids: list[str | None]
    viewer_n: ViewerKeys
    action_n: NDArray[np.int8]
    ts_n: NDArray[np.int64]
    undo_n: Mask

    @classmethod
    def of_events(cls, events: Sequence[tuple[Action, MediaEvent]]) -> Acts:
        """What the events tell of."""
        return cls(
            [event.media_id for _, event in events],
            [event.author_id for _, event in events],
            viewer_keys([event.viewer_id for _, event in events]),
            np.array([action for action, _ in events], np.int8),
            np.array([event.ts for _, event in events], np.int64),
            np.array([event.undo for _, event in events], np.bool_),
        )

    @classmethod
    def of(cls, acts: Sequence[Act]) -> Acts:
        """Acts, one at least or none, as columns."""
        return cls(
            [act.media_id for act in acts],
            [act.author_id for act in acts],
            np.array([act.viewer for act in acts], np.int64),
            np.array([act.action for act in acts], np.int8),
            np.array([act.ts for act in acts], np.int64),
            np.array([act.undo for act in acts], np.bool_),
        )

    def __bool__(self) -> bool:
        return len(self.media_ids) > 0

    def at(self, position_k: Positions) -> Acts:
        """Those at these positions, in the order of the positions."""
        listed = position_k.tolist()
        return Acts(
            [self.media_ids[at] for at in listed],
            [self.author_ids[at] for at in listed],
            self.viewer_n[position_k],
            self.action_n[position_k],
            self.ts_n[position_k],
            self.undo_n[position_k],
        )

    def each(self) -> Iterator[Act]:
        """All of them one by one, in order."""
        columns = (self.media_ids, self.author_ids, *(column.tolist() for column in self[2:]))
        return map(Act._make, zip(*columns, strict=True))
