"""What people would run instead: the baselines of :mod:`models.evaluation`, refitted on time."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.sparse import csr_matrix

from models.actions import POSITIVE
from models.evaluation.baselines.ease import ease
from models.evaluation.baselines.item_knn import item_knn
from models.evaluation.baselines.popularity import recent_popularity
from models.evaluation.baselines.protocol import Baseline, Fitted, Requests, best
from models.evaluation.event_log import EventLog
from models.simulation.delivery import Happened
from models.simulation.population import Integers
from models.simulation.world import SimulatedWorld
from streams.simulated.policy import Shown

#: By name.
RIVALS: Final = {
    "popularity": recent_popularity(),
    "item_knn": item_knn(),
    "ease": ease(),
}

#: In place of the first of a sweep: a world of a hundred viewers leaves little to shrink.
PARAMETERS: Final = {"ease": {"ridge": 20.0}}


class RivalPolicy:
    """A baseline that learns again at each full `refit_ms` and knows each viewer's history at once.

    Args:
        size: positions of a grid.
    """

    def __init__(self, world: SimulatedWorld, size: int, baseline: Baseline) -> None:
        self._world, self._size, self._baseline = world, size, baseline
        self._parameters = PARAMETERS.get(baseline.name, baseline.sweep[0])
        self._parts: list[Happened] = []
        self._numbers: set[int] = set()
        # Robots are viewers, too, as far as a log tells.
        self._viewers = len(world.viewer_ids)
        self._liked_vm = np.zeros((self._viewers, len(world.library)), np.bool_)
        self._fitted: Fitted | None = None
        self._period = -1

    def post(self, media: Integers) -> None:
        """Nothing to do: the library says what is there."""

    def take_down(self, media: Integers) -> None:
        """Nothing to do: the library says what is there."""

    def apply(self, events: Happened, now_ms: int) -> None:
        """Take events in, each once."""
        numbers = events.number_n.tolist()
        new = np.array([number not in self._numbers for number in numbers], np.bool_)
        events = events.take(new) if len(events) else events
        self._numbers.update(numbers)
        self._parts.append(events)
        liked = np.isin(events.action_n, POSITIVE)
        self._liked_vm[events.viewer_n[liked], events.media_n[liked]] = True

    def pass_time(self, now_ms: int) -> None:
        """Fit again where a period is full."""
        period = now_ms // self._baseline.refit_ms
        if period != self._period:
            self._period = period
            until_ms = period * self._baseline.refit_ms
            self._fitted = self._baseline.fit(self._log(), until_ms, self._parameters)

    def serve(self, viewer_g: Integers, now_ms: int, shown_vm: Shown) -> Integers:
        """The media with the highest scores that are there and were not shown."""
        assert self._fitted is not None
        log = self._log(empty=True)
        rows, media = np.nonzero(self._liked_vm[viewer_g])
        history_gm = csr_matrix(
            (np.ones(len(rows), np.float32), (rows, media)), (len(viewer_g), log.media)
        )
        ts_g = np.full(len(viewer_g), now_ms, np.int64)
        scores_gm = self._fitted.score(Requests(viewer_g.astype(np.int32), ts_g, history_gm))
        gone_m = self._world.library.deleted_ms_m <= now_ms
        excluded_gm = csr_matrix(shown_vm[viewer_g] | gone_m)
        return best(scores_gm, excluded_gm, ts_g, log, self._size).astype(np.int64)

    def _log(self, *, empty: bool = False) -> EventLog:
        events = Happened.joined([] if empty else self._parts)
        self._parts = self._parts if empty else [events]
        library = self._world.library
        return EventLog(
            ts_n=events.ts_n,
            viewer_n=events.viewer_n.astype(np.int32),
            media_n=events.media_n.astype(np.int32),
            action_n=events.action_n,
            undo_n=np.zeros(len(events), np.bool_),
            standing_n=np.ones(len(events), np.bool_),
            viewers=self._viewers,
            author_m=library.author_m.astype(np.int32),
            created_m=library.created_ms_m,
        )
