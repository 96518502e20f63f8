"""The code that serves and learns, on a recorded log: the one place that evaluation touches it at.

Two processes are acted out as they stand in production. `Ranker` has a world and viewers' states
that know every event at once. `Learner` has a world of its own in which examples are built as late
as their labels need, fits ig2vec whenever what it has seen has doubled, and trains. Numbers of the
log's viewers, media and authors are kept as rows of the catalogues, so nothing is translated.
"""

from __future__ import annotations

import logging
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
from models.examples.candidate_sets import DISTILLATION_VIEWERS, candidate_sets, new_viewers
from models.examples.choices import Choices, finder
from models.examples.examples import CandidateSets, Examples
from models.examples.from_events import ExampleBuilder, ExampleConfig
from models.explore.pipeline import find, funnel
from models.explore.trace import Trace
from models.explore.treatment import Treatment
from models.explore.valuation import score_final
from models.features.assembly import Assembly
from models.features.candidates import Candidates
from models.ig2vec.config import Ig2VecConfig
from models.ig2vec.histories import Histories, Step
from models.ig2vec.model import Ig2Vec, Ig2VecError
from models.item_to_item.fit import ItemToItemConfig, fit_item_weights
from models.item_to_item.histories import PositiveLog
from models.item_to_item.weights import ItemWeights
from models.queries import CandidateQuery
from models.rankers.bundle import RankerBundle
from models.rankers.prior import PriorRankers
from models.rankers.protocol import Rankers
from models.rankers.value import Weights
from models.viewers.context import ViewerContext
from models.viewers.state import FoldConfig, ViewerState, fold_media_event
from models.world import World
from streams.learning.ranker_judge import RankerJudge
from streams.learning.ranker_learning import HOLDOUT, HOLDOUT_SHARE, RankerLearning
from streams.recorded.dataset import Dataset
from streams.recorded.grids.task import Task
from streams.serving.explorer import explore_config
from streams.serving.live_queries import LiveQueries
from streams.serving.own_operators import load_operators

logger = logging.getLogger(__name__)

#: Events applied at once, as one fetch of a partition would bring them.
CHUNK: Final = 1_000
#: Events that the learner observes at once.
OBSERVED: Final = 20_000
#: Viewers whose grids are made at once.
BATCH: Final = 32
#: Likes, saves, see-fewers and long views that the first fit of ig2vec waits for.
FIRST_FIT: Final = 1_000
#: Candidates that the query is asked for.
CANDIDATES: Final = 500

Vectors = tuple[list[str], NDArray[np.float32]]


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


def query_of(settings: Settings) -> CandidateQuery:
    """The query that serves by these settings where no arm names another.

    Raises:
        SettingsError: it cannot be read, or it is wrong.
    """
    return LiveQueries(settings, load_operators(settings)).of()


def set_vectors(world: World, vectors: Vectors | None) -> None:
    """Make these the vectors of the world, in a space of their own."""
    if vectors is None:
        return
    ids, vectors_nd = vectors
    old = world.space
    name = "space-0" if old is None else f"space-{int(old.name.partition('-')[2]) + 1}"
    world.apply_embeddings(name, ids, vectors_nd)
    world.name_space(name)
    if old is not None:
        world.remove_embeddings(old.name, old.account_ids())


class Ranker:
    """Serves: a world, the states of the viewers that ask, and live rankers.

    Args:
        viewers: whose states are kept.
    """

    def __init__(self, data: Dataset, settings: Settings, task: Task, viewers: Indices) -> None:
        self.world = empty_world(data)
        self.rankers: Rankers = PriorRankers()
        self._data, self._task = data, task
        self._config = explore_config(settings)
        self._fold = settings.fold_config()
        self._query = query_of(settings)
        self._prior = PriorRankers()
        self._states = {int(viewer): ViewerState() for viewer in viewers}
        self._known_n = np.isin(data.log.viewer_n, viewers)
        self._exclusions = Exclusions(data.log)
        self._applied, self._catalogued_ms = 0, -1

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources of candidates, by the code in :attr:`Made.source_gk`."""
        return tuple(self._query.plan.sources)

    def advance(self, until_ms: int) -> None:
        """Apply everything that is older than `until_ms`."""
        media = self._data.catalogue(self._catalogued_ms, until_ms)
        self._catalogued_ms = max(self._catalogued_ms, until_ms)
        if media:
            self.world.apply_media(media)
        end = self._data.log.before(until_ms)
        for start in range(self._applied, end, CHUNK):
            rows = np.arange(start, min(start + CHUNK, end))
            events = self._data.observed(rows)
            for at in np.flatnonzero(self._known_n[rows]).tolist():
                action, event = events[at]
                state = self._states[int(self._data.log.viewer_n[rows[at]])]
                fold_media_event(state, action, event, event.author_id or "", self._fold)
            self.world.apply_events(events)
        self._applied = max(self._applied, end)

    def candidate_sets(self, now_ms: int) -> CandidateSets:
        """Candidates of the viewers who came last, of those that are kept, and of some new ones."""
        kept = recent_viewers(self._data, now_ms)
        named = [(self._data.viewer_ids[v], self._states[v]) for v in kept if v in self._states]
        return _candidate_sets(named, self.world, self._treatment(self.rankers), now_ms, self._fold)

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
        named = [(self._data.viewer_ids[v], self._states[v]) for v in viewers.tolist()]
        return ViewerContext.from_states(named, self.world, now_ms, self._fold)

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
        live = self._treatment(self.rankers)
        found = find(contexts, self.world, live, now_ms, enough=self._config.size)
        traces = funnel(found, self.world, self._config)
        by_value = funnel(
            replace(found, treatment=replace(live, feed=True)), self.world, self._config
        )
        prior = traces
        if not isinstance(self.rankers, PriorRankers):
            untrained = self._treatment(self._prior)
            prior = funnel(replace(found, treatment=untrained), self.world, self._config)
        size = self._config.size
        popular = self._popular(viewers, now_ms)
        return Made(
            candidates_gk=_padded([t.candidates.media_n for t in traces], CANDIDATES),
            source_gk=_padded([t.candidates.source_n for t in traces], CANDIDATES).astype(np.int16),
            first_gk=_padded([t.candidates.media_n[t.first_k] for t in traces], self._config.first),
            second_gk=_padded(
                [t.candidates.media_n[t.kept_m] for t in traces], self._config.second
            ),
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

    def _treatment(self, rankers: Rankers) -> Treatment:
        return Treatment(rankers=rankers, weights=self._task.weights, query=self._query)

    def _uncut(self, traces: Sequence[Trace]) -> list[NDArray[np.int32]]:
        everything = traces[0].run.candidates
        scored = score_final(
            everything.assembly, self.rankers, self._task.weights, self._config.see_fewer_strength
        )
        found = []
        for trace, span in zip(traces, everything.spans, strict=True):
            order_n = np.lexsort((-scored.value_n[span], everything.behind_n[span]))
            found.append(trace.candidates.media_n[order_n[: self._config.size]])
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
            self._config.size,
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


def _candidate_sets(
    viewers: list[tuple[str, ViewerState]],
    world: World,
    treatment: Treatment,
    now_ms: int,
    fold: FoldConfig,
) -> CandidateSets:
    return candidate_sets([*viewers, *new_viewers(len(viewers))], world, treatment, now_ms, fold)


def train(
    examples: Examples, choices: Choices, sets: CandidateSets, settings: Settings, seed: int
) -> RankerBundle:
    """Train all passes, and judge them by the floors of the gate.

    Raises:
        ValueError: there is too little to learn from, or what was trained is refused.
        ArithmeticError: the training diverged.
    """
    # Imported here: what only serves needs no torch.
    from models.training.rankers import TrainingConfig, train_rankers

    config = TrainingConfig(
        seed=seed, threads=settings.training_threads, device=settings.training_device
    )
    bundle = train_rankers(examples, sets, config, choices)
    newest = np.argsort(examples.ts_n, kind="stable")[-round(len(examples) * HOLDOUT_SHARE) :]
    unseen = examples.take(newest[-HOLDOUT:])
    decision = RankerJudge(settings.ranker_margin).judge(bundle, unseen, choices)
    if not decision.promote:
        raise ValueError(f"rankers refused: {decision.reason}")
    logger.info("rankers passed: %s", decision.reason)
    return bundle


def served(
    bundle: RankerBundle, task: Task, sets: CandidateSets, settings: Settings, seed: int
) -> RankerBundle:
    """What is served of a bundle for a task: other weights need other earlier passes.

    Raises:
        ValueError: there are no candidate sets.
        ArithmeticError: the training diverged.
    """
    if task.weights == Weights():
        return bundle
    from models.training.rankers import TrainingConfig, bundled

    config = TrainingConfig(seed=seed, threads=settings.training_threads, value=task.weights)
    return bundled(bundle.final, sets, config, bundle.metrics, bundle.trained_ts, bundle.interest)


def _padded(rows: Sequence[NDArray[np.integer]], width: int) -> Lists:
    width = max(width, max((len(row) for row in rows), default=0))
    lists_gk = np.full((len(rows), width), -1, np.int32)
    for at, row in enumerate(rows):
        lists_gk[at, : len(row)] = row
    return lists_gk


class Learner:
    """Learns: builds examples in a world of its own, fits ig2vec, trains the passes."""

    def __init__(self, data: Dataset, settings: Settings, seed: int) -> None:
        self.world = empty_world(data)
        self.examples = Examples.empty()
        self.vectors: Vectors | None = None
        self._data, self._settings, self._seed = data, settings, seed
        self._query = query_of(settings)
        config = ExampleConfig(window_ms=settings.label_window_ms, fold=settings.fold_config())
        treatment = Treatment(rankers=PriorRankers(), weights=Weights(), query=self._query)
        self._builder = ExampleBuilder(self.world, config, finder(self.world, lambda: treatment))
        self._sampled = config.choices
        self.choices = Choices.empty()
        # Not learned yet.
        self._fresh: tuple[list[Examples], list[Choices]] = ([], [])
        self._histories = Histories()
        self._learning = RankerLearning(settings)
        self._observed, self._remembered, self._catalogued_ms = 0, 0, -1
        steps_n = (data.log.action_n != Action.VIEW) & data.log.first_times()
        self._step_n = steps_n
        self._fit_rows = _doublings(np.flatnonzero(steps_n))

    @property
    def observed(self) -> int:
        """Events of the log observed so far, from its beginning."""
        return self._observed

    @property
    def trained(self) -> bool:
        """Whether there are rankers to learn on from."""
        return self._learning.live is not None

    def advance(self, until_ms: int) -> None:
        """Observe everything older; ig2vec is fitted anew whenever there is twice as much."""
        log = self._data.log
        end = log.before(until_ms)
        while self._observed < end:
            due = [row for row in self._fit_rows if row > self._observed]
            stop = min(self._observed + OBSERVED, end, *due[:1])
            self._observe(stop)
            if due and stop == due[0]:
                # Sessions that are still open are not known: no vector knows what an example asks.
                self.fit(int(log.ts_n[stop - 1]) - self._settings.session_gap_ms)
        media = self._data.catalogue(self._catalogued_ms, until_ms)
        self._catalogued_ms = max(self._catalogued_ms, until_ms)
        if media:
            self.world.apply_media(media)

    def finish(self) -> None:
        """Build the examples that still wait for their labels: nothing more comes."""
        self._builder.flush()
        self.collect()

    def item_weights(self) -> ItemWeights | None:
        """Item weights fitted on everything observed so far."""
        self._builder.items.refit()
        return self._builder.items.weights

    def fit(self, until_ms: int) -> None:
        """Fit ig2vec on what is older; where that is too little, what there was stays."""
        end = self._data.log.before(until_ms)
        steps: dict[int, list[Step]] = {}
        rows = np.arange(self._remembered, end)
        log = self._data.log
        for n in rows[self._step_n[rows]].tolist():
            author = self._data.author_ids[int(log.author_m[log.media_n[n]])]
            step = Step(author, int(log.action_n[n]), int(log.ts_n[n]))
            steps.setdefault(int(log.viewer_n[n]), []).append(step)
        self._remembered = max(self._remembered, end)
        for viewer, of_viewer in steps.items():
            self._histories.add(self._data.viewer_ids[viewer], of_viewer)
        since_ms = until_ms - self._settings.embedding_window_ms
        try:
            model = Ig2Vec.fit(
                self._histories.corpus(since_ms),
                Ig2VecConfig(seed=self._seed),
                hard_negatives=self._histories.hard_negatives(since_ms),
                now_ms=until_ms,
            )
        except Ig2VecError as error:
            logger.info("ig2vec is not fitted: %s", error)
            return
        self.vectors = model.vectors()
        set_vectors(self.world, self.vectors)

    def train(self, now_ms: int) -> RankerBundle:
        """Train all passes on the examples so far; see :func:`train`."""
        sets = self.candidate_sets(now_ms)
        bundle = train(self.examples, self.choices, sets, self._settings, self._seed)
        self._learning.learn(*self._take_fresh())
        self._learning.promoted(bundle, learned_on=False)
        return bundle

    def learn_on(self, fresh: Examples, now_ms: int) -> tuple[RankerBundle | None, str]:
        """Learn new examples; the new bundle if it passes the gate, and why or why not."""
        self._learning.learn([fresh], self._take_fresh()[1])
        candidate = self._learning.candidate(self.candidate_sets(now_ms))
        if candidate is None:
            return None, "nothing new was learned"
        decision = self._learning.judge(candidate)
        if not decision.promote:
            return None, decision.reason
        self._learning.promoted(candidate, learned_on=True)
        return candidate, decision.reason

    def _take_fresh(self) -> tuple[list[Examples], list[Choices]]:
        taken, self._fresh = self._fresh, ([], [])
        return taken

    def candidate_sets(self, now_ms: int) -> CandidateSets:
        """Candidates of the viewers who came last, and of some without history."""
        viewers = list(self._builder.viewers())[-DISTILLATION_VIEWERS:]
        treatment = Treatment(
            rankers=self._learning.live or PriorRankers(), weights=Weights(), query=self._query
        )
        fold = self._settings.fold_config()
        return _candidate_sets(viewers, self.world, treatment, now_ms, fold)

    def _observe(self, stop: int) -> None:
        log = self._data.log
        last_ms = int(log.ts_n[stop - 1])
        media = self._data.catalogue(self._catalogued_ms, last_ms + 1)
        self._catalogued_ms = max(self._catalogued_ms, last_ms + 1)
        if media:
            self.world.apply_media(media)
        self._builder.observe(self._data.observed(np.arange(self._observed, stop)), last_ms)
        self._observed = stop

    def collect(self) -> Examples:
        """Take in the examples built since; returns those."""
        chosen = self._builder.take_choices()
        self.choices = Choices.concatenate([self.choices, chosen]).newest(self._sampled.keep)
        fresh = self._builder.take()
        self._fresh[0].append(fresh)
        self._fresh[1].append(chosen)
        merged = Examples.concatenate([self.examples, fresh])
        newest = np.argsort(merged.ts_n, kind="stable")[-self._settings.keep_examples :]
        self.examples = merged.take(newest)
        return fresh


def _doublings(rows: NDArray[np.int64]) -> list[int]:
    """Events after which there are FIRST_FIT, twice as many, … of `rows`."""
    sizes = FIRST_FIT << np.arange(40, dtype=np.int64)
    return [int(rows[size - 1]) + 1 for size in sizes[sizes <= len(rows)].tolist()]
