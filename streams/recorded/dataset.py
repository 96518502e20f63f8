"""A recorded log to evaluate grids on: events, media and accounts with their names.

Errors::

    FreshgridError
    └── DatasetError   there is nothing to evaluate on, or a record cannot be applied
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.errors import FreshgridError
from models.actions import Action
from models.evaluation.event_log import EventLog
from models.events import Account, Media, MediaEvent


class DatasetError(FreshgridError):
    """There is nothing to evaluate on, or a record cannot be applied."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A recorded log with its names.

    Attributes:
        name: for the figures.
        log: the events; media and authors without a place in the catalogue included.
        event_ids: of each event.
        viewer_ids, media_ids, author_ids: by number.
        records: of the media that a catalogue tells of, by number of the media.
        accounts: what a catalogue tells of accounts.
        real_from_ms: event times are real from here on.
        split: where the test period begins unless somebody says otherwise; empty for by share.
        digest: a hash of everything that was read.
    """

    name: str
    log: EventLog
    event_ids: list[str]
    viewer_ids: list[str]
    media_ids: list[str]
    author_ids: list[str]
    records: dict[int, Media]
    accounts: list[Account]
    real_from_ms: int
    split: str
    digest: str

    def catalogue(self, since_ms: int, until_ms: int) -> list[Media]:
        """The media that came into the inventory in a time."""
        created_m = self.log.created_m
        rows = np.flatnonzero((created_m >= since_ms) & (created_m < until_ms)).tolist()
        return [self.record(m) for m in rows]

    def record(self, m: int) -> Media:
        """A media as the catalogue tells it."""
        author = self.author_ids[int(self.log.author_m[m])]
        created_ms = max(int(self.log.created_m[m]), 0)
        found = self.records.get(m)
        if found is None:
            return Media(self.media_ids[m], author, created_ms)
        return msgspec.structs.replace(found, author_id=author, created_ts=created_ms)

    def observed(
        self, rows: Sequence[int] | NDArray[np.integer]
    ) -> list[tuple[Action, MediaEvent]]:
        """These events as they would arrive."""
        at = np.asarray(rows, np.int64)
        log = self.log
        media_n = log.media_n[at]
        columns = zip(
            at.tolist(), log.ts_n[at].tolist(), log.viewer_n[at].tolist(), media_n.tolist(),
            log.author_m[media_n].tolist(), log.action_n[at].tolist(), log.undo_n[at].tolist(),
            strict=True,
        )  # fmt: skip
        return [
            (
                Action(action),
                MediaEvent(
                    self.event_ids[n], self.viewer_ids[v], self.media_ids[m], ts,
                    self.author_ids[a], undo=undo,
                ),
            )
            for n, ts, v, m, a, action, undo in columns
        ]  # fmt: skip
