"""The code that serves and learns, on a recorded log: the one place that evaluation touches it at.

Both processes are those of :mod:`streams.acted`: `Ranker` knows every event at once, `Learner`
builds examples as late as their labels need, fits ig2vec whenever what it has seen has doubled, and
trains. Numbers of the log's viewers, media and authors are kept as rows of the catalogues, so
nothing is translated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infra.config import Settings
from models.actions import POSITIVE, Action
from models.evaluation.baselines.protocol import NEVER, Exclusions
from models.evaluation.baselines.runs import BaselineLists, lists_of
from models.evaluation.event_log import Indices
from models.evaluation.grid_metrics import Lists
from models.examples.candidate_sets import DISTILLATION_VIEWERS
from models.examples.examples import CandidateSets
from models.explore.pipeline import find, funnel
from models.explore.trace import Trace
from models.explore.valuation import score_final
from models.features.assembly import Assembly
from models.features.candidates import Candidates
from models.ig2vec.histories import Step
from models.item_to_item.fit import ItemToItemConfig, fit_item_weights
from models.item_to_item.histories import PositiveLog
from models.item_to_item.weights import ItemWeights
from models.rankers.prior import PriorRankers
from models.viewers.context import ViewerContext
from models.world import World
from streams.acted.learning import FIRST_FIT, ActedLearner, by_viewer
from streams.acted.serving import ActedRanker, Vectors
from streams.recorded.dataset import Dataset
from streams.recorded.grids.task import Task

#: Events applied at once, as one fetch of a partition would bring them.
CHUNK: Final = 1_000
#: Events that the learner observes at once.
OBSERVED: Final = 20_000
#: Viewers whose grids are made at once.
BATCH: Final = 32
#: Candidates that the query is asked for.
CANDIDATES: Final = 500


@dataclass(frozen=True, slots=True)
class Made:
    """Grids and the candidates behind them: media numbers, filled up with −1.

    Attributes:
        candidates_gk, source_gk: what the query found, and the source of each.
        first_gk, second_gk: what the first and the second pass kept, in order.
        grid_gk, grid_source_gk: what is shown.
        feed_gk: the grid with diversity and exploration off: by value alone.
        uncut_gk: the best of all candidates by the final pass, diversity off.
        prior_gk: the grid of the untrained prior from the same candidates.
        popular_gk: the product's own list of what is popular, under the exclusions of baselines.
        popular_seen_gk, popular_all_gk: that list with only media met before left out, and with
            nothing left out.
    """

    candidates_gk: Lists
    source_gk: NDArray[np.int16]
    first_gk: Lists
    second_gk: Lists
    grid_gk: Lists
    grid_source_gk: NDArray[np.int16]
    feed_gk: Lists
    uncut_gk: Lists
    prior_gk: Lists
    popular_gk: Lists
    popular_seen_gk: Lists
    popular_all_gk: Lists

    @classmethod
    def joined(cls, parts: Sequence[Made]) -> Made:
        """All grids of all parts."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in cls.__dataclass_fields__
            )
        )


def empty_world(data: Dataset) -> World:
    """A world with a row for each media and author of the log, none of them there yet."""
    world = World()
    world.catalog.intern_media(data.media_ids)
    world.catalog.intern_accounts(data.author_ids)
    world.apply_accounts(data.accounts)
    return world


class Ranker(ActedRanker):
    """Serves: a world, the states of the viewers that ask, and live rankers.

    Args:
        viewers: whose states are kept.
    """

    def __init__(self, data: Dataset, settings: Settings, task: Task, viewers: Indices) -> None:
        super().__init__(empty_world(data), settings, task.weights)
        self._data, self._task = data, task
        self._prior = PriorRankers()
        self.know(data.viewer_ids[v] for v in viewers.tolist())
        self._exclusions = Exclusions(data.log)
        self._applied, self._catalogued_ms = 0, -1

    def advance(self, until_ms: int) -> None:
        """Apply everything that is older than `until_ms`."""
        media = self._data.catalogue(self._catalogued_ms, until_ms)
        self._catalogued_ms = max(self._catalogued_ms, until_ms)
        if media:
            self.world.apply_media(media)
        end = self._data.log.before(until_ms)
        for start in range(self._applied, end, CHUNK):
            self.apply(self._data.observed(np.arange(start, min(start + CHUNK, end))))
        self._applied = max(self._applied, end)

    def candidate_sets(self, now_ms: int) -> CandidateSets:
        """Candidates of the viewers who came last, of those that are kept, and of some new ones."""
        kept = recent_viewers(self._data, now_ms)
        return self.sets_of((self._data.viewer_ids[v] for v in kept), now_ms)

    def make(self, viewers: Indices, now_ms: int) -> Made:
        """The grids of these viewers."""
        return Made.joined(
            [
                self._make(viewers[start : start + BATCH], now_ms)
                for start in range(0, len(viewers), BATCH)
            ]
        )

    def contexts(self, viewers: Indices, now_ms: int) -> list[ViewerContext]:
        """The viewers as they are now."""
        return self.contexts_of([self._data.viewer_ids[v] for v in viewers.tolist()], now_ms)

    def probabilities(
        self, viewers: Indices, shown: Sequence[Indices], now_ms: int
    ) -> NDArray[np.floating]:
        """What the live final pass says of media shown to viewers, probabilities_nh."""
        parts: list[NDArray[np.floating]] = []
        for start in range(0, len(viewers), BATCH):
            media = shown[start : start + BATCH]
            contexts = self.contexts(viewers[start : start + BATCH], now_ms)
            candidates = Candidates.of(np.concatenate(media))
            sizes = [len(of_viewer) for of_viewer in media]
            assembly = Assembly.of(contexts, candidates, sizes, self.world, now_ms)
            parts.append(self.rankers.final.score(assembly.matrix()))
        return np.concatenate(parts)

    def _make(self, viewers: Indices, now_ms: int) -> Made:
        contexts = self.contexts(viewers, now_ms)
        live = self.treatment()
        found = find(contexts, self.world, live, now_ms, enough=self.config.size)
        traces = funnel(found, self.world, self.config)
        by_value = funnel(
            replace(found, treatment=replace(live, feed=True)), self.world, self.config
        )
        prior = traces
        if not isinstance(self.rankers, PriorRankers):
            untrained = self.treatment(self._prior)
            prior = funnel(replace(found, treatment=untrained), self.world, self.config)
        size = self.config.size
        popular = self._popular(viewers, now_ms)
        return Made(
            candidates_gk=_padded([t.candidates.media_n for t in traces], CANDIDATES),
            source_gk=_padded([t.candidates.source_n for t in traces], CANDIDATES).astype(np.int16),
            first_gk=_padded([t.candidates.media_n[t.first_k] for t in traces], self.config.first),
            second_gk=_padded([t.candidates.media_n[t.kept_m] for t in traces], self.config.second),
            grid_gk=_padded([t.grid.media_n for t in traces], size),
            grid_source_gk=_padded([t.grid.candidates.source_n for t in traces], size).astype(
                np.int16
            ),
            feed_gk=_padded([t.grid.media_n for t in by_value], size),
            uncut_gk=_padded(self._uncut(traces), size),
            prior_gk=_padded([t.grid.media_n for t in prior], size),
            popular_gk=popular.grid_gk,
            popular_seen_gk=popular.seen_gk,
            popular_all_gk=popular.all_gk,
        )

    def _uncut(self, traces: Sequence[Trace]) -> list[NDArray[np.int32]]:
        everything = traces[0].run.candidates
        scored = score_final(
            everything.assembly, self.rankers, self._task.weights, self.config.see_fewer_strength
        )
        found = []
        for trace, span in zip(traces, everything.spans, strict=True):
            order_n = np.lexsort((-scored.value_n[span], everything.behind_n[span]))
            found.append(trace.candidates.media_n[order_n[: self.config.size]])
        return found

    def _popular(self, viewers: Indices, now_ms: int) -> BaselineLists:
        rows = np.arange(len(self._data.media_ids), dtype=np.int32)
        score_m = self.world.popularity.score(rows, now_ms).astype(np.float32)
        score_m[(score_m <= 0) | self.world.catalog.deleted_n[rows]] = NEVER
        scores_gm = np.tile(score_m, (len(viewers), 1))
        ts_g = np.full(len(viewers), now_ms, np.int64)
        return lists_of(
            scores_gm,
            self._exclusions,
            viewers,
            ts_g,
            self._data.log,
            self.config.size,
            CANDIDATES,
        )


def recent_viewers(data: Dataset, until_ms: int) -> list[int]:
    """The viewers who came last before a time, the newest last: what passes are distilled on."""
    viewer_n = data.log.viewer_n[: data.log.before(until_ms)][::-1]
    viewers, newest = np.unique(viewer_n, return_index=True)
    found: list[int] = viewers[np.argsort(-newest)][-DISTILLATION_VIEWERS:].tolist()
    return found


def learned_at(
    data: Dataset, settings: Settings, seed: int, until_ms: int
) -> tuple[Vectors | None, ItemWeights | None]:
    """Vectors of ig2vec and item weights, each fitted once on what is older than `until_ms`.

    None where there is too little to fit on.
    """
    learner = Learner(data, settings, seed)
    learner.fit(until_ms)
    log, config = data.log, ItemToItemConfig()
    liked = np.flatnonzero(np.isin(log.action_n[: log.before(until_ms)], POSITIVE))
    positives = PositiveLog()
    sign_n = np.where(log.undo_n[liked], -1, 1).astype(np.int8)
    positives.add(log.viewer_n[liked].astype(np.int64), log.media_n[liked], sign_n)
    items = fit_item_weights(positives.pairs(config.history), config) if len(liked) else None
    return learner.vectors, items


def _padded(rows: Sequence[NDArray[np.integer]], width: int) -> Lists:
    width = max(width, max((len(row) for row in rows), default=0))
    lists_gk = np.full((len(rows), width), -1, np.int32)
    for at, row in enumerate(rows):
        lists_gk[at, : len(row)] = row
    return lists_gk


class Learner(ActedLearner):
    """Learns from a log, read from its beginning."""

    def __init__(self, data: Dataset, settings: Settings, seed: int) -> None:
        super().__init__(empty_world(data), settings, seed)
        self._data, self._gap_ms = data, settings.session_gap_ms
        self._observed, self._remembered, self._catalogued_ms = 0, 0, -1
        steps_n = (data.log.action_n != Action.VIEW) & data.log.first_times()
        self._step_n = steps_n
        self._fit_rows = _doublings(np.flatnonzero(steps_n))

    @property
    def observed(self) -> int:
        """Events of the log observed so far, from its beginning."""
        return self._observed

    def advance(self, until_ms: int) -> None:
        """Observe everything older; ig2vec is fitted anew whenever there is twice as much."""
        log = self._data.log
        end = log.before(until_ms)
        while self._observed < end:
            due = [row for row in self._fit_rows if row > self._observed]
            stop = min(self._observed + OBSERVED, end, *due[:1])
            self._observe_rows(stop)
            if due and stop == due[0]:
                # Sessions that are still open are not known: no vector knows what an example asks.
                self.fit(int(log.ts_n[stop - 1]) - self._gap_ms)
        self._catalogue(until_ms)

    def fit(self, until_ms: int) -> None:
        """Fit ig2vec on what is older; where that is too little, what there was stays."""
        log = self._data.log
        rows = np.arange(self._remembered, log.before(until_ms))
        self._remembered = max(self._remembered, log.before(until_ms))
        steps = []
        for n in rows[self._step_n[rows]].tolist():
            author = self._data.author_ids[int(log.author_m[log.media_n[n]])]
            step = Step(author, int(log.action_n[n]), int(log.ts_n[n]))
            steps.append((self._data.viewer_ids[int(log.viewer_n[n])], step))
        for viewer_id, of_viewer in by_viewer(steps).items():
            self.remember(viewer_id, of_viewer)
        self.fit_vectors(until_ms)

    def _observe_rows(self, stop: int) -> None:
        last_ms = int(self._data.log.ts_n[stop - 1])
        self._catalogue(last_ms + 1)
        self.observe(self._data.observed(np.arange(self._observed, stop)), last_ms)
        self._observed = stop

    def _catalogue(self, until_ms: int) -> None:
        media = self._data.catalogue(self._catalogued_ms, until_ms)
        self._catalogued_ms = max(self._catalogued_ms, until_ms)
        if media:
            self.world.apply_media(media)


def _doublings(rows: NDArray[np.int64]) -> list[int]:
    """Events after which there are FIRST_FIT, twice as many, … of `rows`."""
    sizes = FIRST_FIT << np.arange(40, dtype=np.int64)
    return [int(rows[size - 1]) + 1 for size in sizes[sizes <= len(rows)].tolist()]
