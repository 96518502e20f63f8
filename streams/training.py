"""Exposures and what came of them → trained rankers, announced when they are ready.

The learner keeps a world of its own, in which the example builder stands where each exposure
happened; pages that Freshgrid served itself come labelled, with their features
(:mod:`streams.examples`). The same builder samples what viewers chose among candidates, which needs
no exposures, and fits item weights, which are published whenever they are new. The first rankers
are trained from the beginning; from then on they learn on from every example, and what they have
become is judged and goes live every few minutes. Now and then they are trained from the beginning
again, because some things do not learn on: the scale of features, and the sizes of the network.
All this runs in a thread, one piece of work at a time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from numpy.typing import NDArray

from infra.artifacts import ArtifactError, ArtifactStore
from infra.config import Settings
from infra.metrics import CANDIDATE_SETS, VERSIONS
from infra.topics import CANDIDATES_TOPIC
from models.actions import FOLLOW_TOPIC
from models.arrays.stored import Arrays, described, number_of, part_of, prefixed
from models.evaluation.ranker_gate import RankerDecision
from models.events import FollowEvent, InvalidEventError, parse_event
from models.examples.candidate_log import CandidateLog
from models.examples.candidate_sets import DISTILLATION_VIEWERS, candidate_sets, new_viewers
from models.examples.choices import Choices, finder
from models.examples.examples import CandidateSets, Examples
from models.examples.from_events import ExampleBuilder, ExampleConfig
from models.examples.waiting_events import Observed, packed_events, unpacked_events
from models.explore.treatment import Treatment
from models.rankers.bundle import RankerBundle
from models.rankers.prior import PriorRankers
from models.viewers.forgotten import NOBODY_GONE, Gone, IsForgotten
from models.viewers.state import ViewerState
from models.world import World
from streams.clock import now_ms
from streams.learning.example_intake import ExampleIntake
from streams.learning.item_publishing import ItemPublishing
from streams.learning.kept_versions import MOST
from streams.learning.ranker_learning import RankerLearning
from streams.records import Record, Refuse, Sender, read_records, skip
from streams.serving.live_queries import LiveQueries
from streams.serving.own_operators import load_operators
from streams.serving.world_feed import media_events
from streams.versions import (
    DECISION_NOTE,
    RANKERS,
    STORE_AGAIN_S,
    Version,
    earlier,
    note_live,
    tell,
)

#: Of so many viewers candidates must have been logged before those are distilled on and none are
#: found anew.
ENOUGH_LOGGED: Final = 100
#: Events are sorted by time before they are observed: partitions are read unevenly. They wait for
#: the reader to reach the end of all partitions, or until there are this many.
MAX_UNSORTED: Final = 500_000
#: The first training begins when no event came in for this long.
QUIET_S: Final = 2.0
#: A stream of which there is always more to read is not waited for longer than this.
NEVER_LEVEL_S: Final = 10.0

logger = logging.getLogger(__name__)


class Training:
    """Collects examples, trains when enough is new, and learns on meanwhile.

    Args:
        live: the rankers that are live already, if any: the first training is not urgent then.
        live_items: the item weights that are live already, if any.
        refuse: what to do with a record of Freshgrid's own topics that says nothing.
    """

    def __init__(
        self,
        settings: Settings,
        world: World,
        artifacts: ArtifactStore,
        sender: Sender,
        *,
        live: Version | None = None,
        live_items: Version | None = None,
        refuse: Refuse = skip,
    ) -> None:
        self._settings = settings
        self._artifacts = artifacts
        self._sender = sender
        self._refuse = refuse
        config = ExampleConfig(window_ms=settings.label_window_ms, fold=settings.fold_config())
        self._queries = LiveQueries(settings, load_operators(settings))
        self._builder = ExampleBuilder(world, config, finder(world, self._treatment))
        self._keep_choices = config.choices.keep
        self._world = world
        self._unsorted: list[Observed] = []
        self._logged = CandidateLog(DISTILLATION_VIEWERS)
        self._intake = ExampleIntake(settings.keep_examples, config.negative_rate, refuse)
        self._fresh_choices: list[Choices] = []
        self._trained_positives = self._new_choices = 0
        self._arrived_s = self._judged_s = self._level_s = time.monotonic()
        self._live = live
        stored = None if live is None else self._stored(live)
        before = [] if live is None or stored is None else self._stored_before(live)
        self._learning = RankerLearning(settings, stored, before)
        self._items = ItemPublishing(settings, artifacts, sender, live_items)
        self._work: asyncio.Task[None] | None = None
        # A candidate that the artifact store did not take, and whether it was learned on.
        self._unstored: tuple[RankerBundle, bool] | None = None
        self._store_again_s = -math.inf

    def events(self, topic: str, records: Sequence[Record]) -> None:
        """Take in records of an event topic."""
        self._arrived_s = time.monotonic()
        if topic == FOLLOW_TOPIC:
            self._unsorted.extend(_follows(records))
        else:
            self._unsorted.extend(media_events(topic, records))

    def forget(self, is_forgotten: IsForgotten, groups: Collection[int]) -> None:
        """Forget viewers: what is remembered under their ids, and examples by their groups.

        What was learned of them stays in the weights of what was trained, and sampled choices,
        which name nobody, until newer ones took their place.
        """
        self._unsorted = [one for one in self._unsorted if not is_forgotten(one[1].viewer_id)]
        self._builder.forget(is_forgotten)
        self._logged.forget(is_forgotten)
        self._intake.forget(groups)
        self._learning.forget(groups)

    @property
    def settled(self) -> bool:
        """Whether nothing is being learned, so that :meth:`to_arrays` may be asked."""
        return self._work is None or self._work.done()

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """All that was read, without the world, and JSON beside it.

        What was learned of it is not in it: that is stored as versions are, and who starts learns
        on from the live one. Another thread may ask, as long as this is :attr:`settled` and nothing
        is taken in.
        """
        builder, of_builder = self._builder.to_arrays()
        intake, of_intake = self._intake.to_arrays()
        choices = Choices.concatenate([self._learning.choices, *self._fresh_choices])
        parts: dict[str, Arrays] = {
            "builder": builder,
            "intake": intake,
            "logged": self._logged.to_arrays(),
            "choices": choices.newest(self._keep_choices).to_arrays(),
            "unsorted": packed_events(self._unsorted),
        }
        return (
            {k: v for name, part in parts.items() for k, v in prefixed(name, part).items()},
            {
                "builder": of_builder,
                "intake": of_intake,
                "trained_positives": self._trained_positives,
                "new_choices": self._new_choices,
            },
        )

    def load(self, arrays: Arrays, meta: Mapping[str, Any], gone: Gone = NOBODY_GONE) -> None:
        """Go on from what :meth:`to_arrays` gave, once packed, in the world that stood beside it.

        Args:
            gone: viewers of whom the arrays may still tell; nothing here does then.

        Raises:
            StoredArraysError: these are not such arrays; this is of no use then.
        """
        builder = part_of(arrays, "builder")
        self._builder.load(builder, described(meta, "builder"), gone)
        self._intake.load(part_of(arrays, "intake"), described(meta, "intake"))
        self._logged.load(part_of(arrays, "logged"))
        choices = Choices.from_arrays(part_of(arrays, "choices"))
        self._fresh_choices = [choices] if len(choices) else []
        self._unsorted = unpacked_events(part_of(arrays, "unsorted"))
        self._trained_positives = number_of(meta, "trained_positives")
        self._new_choices = number_of(meta, "new_choices")
        self.forget(gone.covers, gone.groups)

    async def examples(self, records: Sequence[Record]) -> None:
        """Take in records of ``explore.examples``."""
        # In a thread, as all that takes time by how much comes in.
        await asyncio.to_thread(self._intake.read, records)

    def candidates(self, records: Sequence[Record]) -> None:
        """Take in records of ``explore.candidates``."""
        read = read_records(CANDIDATES_TOPIC, records, self._logged.add, self._refuse)
        for outcome in read:
            CANDIDATE_SETS.labels(outcome).inc()
        CANDIDATE_SETS.labels("damaged").inc(len(records) - len(read))

    async def polled(self, lag: int, caught_up: bool = False) -> None:
        """Observe what has arrived once nothing more is on its way; train if enough is new.

        Args:
            lag: records that the topics have and that were not given yet.
            caught_up: what there was when the process began has been given. A stream that is never
                level is not waited for then.
        """
        now = time.monotonic()
        if lag == 0:
            self._level_s = now
        elif caught_up and now - self._level_s >= NEVER_LEVEL_S:
            lag = 0
        if self._unsorted and (lag == 0 or len(self._unsorted) > MAX_UNSORTED):
            events, self._unsorted = self._unsorted, []
            # In a thread, so that sessions and heartbeats go on meanwhile. The reader waits here,
            # so nothing else touches the world.
            await asyncio.to_thread(self._observe, events)
        if not lag:
            await self._items.offer(self._builder.items, self._world.catalog)
        if self._work is not None and self._work.done():
            self._work.result()  # a failure of the last training ends the learner
            self._work = None
        if self._work is not None or lag:
            return
        if self._unstored is not None and time.monotonic() >= self._store_again_s:
            bundle, learned_on = self._unstored
            self._work = asyncio.create_task(self._offer(bundle, learned_on=learned_on))
        elif self._is_due():
            self._trained_positives, self._new_choices = self._intake.positives, 0
            sets = await asyncio.to_thread(self._candidate_sets)
            examples = await asyncio.to_thread(self._intake.kept.all)
            self._work = asyncio.create_task(self._train(examples, sets))
        elif self._learning.live is not None and (len(self._intake.fresh) or self._fresh_choices):
            judge = time.monotonic() - self._judged_s >= self._settings.rankers_every_s
            judged_on = await asyncio.to_thread(self._candidate_sets) if judge else None
            self._work = asyncio.create_task(self._learn_on(judged_on))

    def _observe(self, events: list[Observed]) -> None:
        started = time.monotonic()
        events.sort(key=lambda item: item[1].ts)
        self._builder.observe(events, now_ms())
        self._intake.add(self._builder.take())
        self._collect_choices(self._builder.take_choices())
        took_s = time.monotonic() - started
        logger.info(
            "observed %d events in %.1f s: %d examples", len(events), took_s, len(self._intake.kept)
        )

    def _is_due(self) -> bool:
        if self._world.space is None:
            return False
        settings, bound = self._settings, self._settings.train_every_positives
        new_positives = self._intake.positives - self._trained_positives
        if self._learning.learns_on:
            return new_positives >= bound
        # The first training reads a replay to its end first, but does not wait for ever.
        waited = time.monotonic() - self._arrived_s >= QUIET_S
        if new_positives >= bound or (waited and new_positives >= settings.bootstrap_positives):
            return True
        # No exposures to learn from, or none that came to anything: choices do without. What
        # they teach is kept up to date by learning on.
        return (
            waited
            and self._learning.live is None
            and self._new_choices >= settings.bootstrap_choices
            and not self._intake.positives
        )

    def _collect_choices(self, fresh: Choices) -> None:
        if not len(fresh):
            return
        self._new_choices += len(fresh)
        self._fresh_choices.append(fresh)
        if sum(map(len, self._fresh_choices)) > 4 * self._keep_choices:
            # Nothing is learned yet, and nobody will ask for the old ones. So many are kept of
            # either kind.
            newest = Choices.concatenate(self._fresh_choices).newest(self._keep_choices)
            self._fresh_choices = [newest]

    def _treatment(self) -> Treatment:
        """What finds candidates for the learner."""
        return Treatment(rankers=self._learning.live or PriorRankers(), query=self._queries.of())

    def _candidate_sets(self) -> CandidateSets:
        # By queries that serve: what is distilled must sort what they find.
        self._queries.reload()
        logged = self._logged.found_by(self._queries.versions().values())
        viewers: list[tuple[str, ViewerState]] = []
        if len(logged) < ENOUGH_LOGGED:
            logged = []
            viewers = list(self._builder.viewers())[-DISTILLATION_VIEWERS:]
        viewers += new_viewers(len(logged) + len(viewers))
        logger.info(
            "candidates to distil on: %d sets as they were logged, of %d viewers found anew",
            len(logged), len(viewers),
        )  # fmt: skip
        fold = self._settings.fold_config()
        return candidate_sets(viewers, self._world, self._treatment(), now_ms(), fold, logged)

    async def _train(self, examples: Examples, sets: CandidateSets) -> None:
        """Train from the beginning, judge, publish."""
        started = time.monotonic()
        try:
            await self._learn()
            bundle = await asyncio.to_thread(self._learning.train, examples, sets)
        except (ValueError, ArithmeticError) as error:
            self._failed("not trained", error)
            return
        logger.info(
            "trained %s on %d examples and %d choices in %.1f s: %s",
            bundle.version, len(examples), len(self._learning.choices),
            time.monotonic() - started, bundle.metrics,
        )  # fmt: skip
        await self._offer(bundle, learned_on=False)

    async def _learn_on(self, sets: CandidateSets | None) -> None:
        """Learn what is new; with candidate sets also judge what that gave, and publish it."""
        try:
            await self._learn()
            if sets is None or not self._learning.judgeable:
                return
            self._judged_s = time.monotonic()
            bundle = await asyncio.to_thread(self._learning.candidate, sets)
        except (ValueError, ArithmeticError) as error:
            self._failed("not learned on", error)
            return
        if bundle is not None:
            await self._offer(bundle, learned_on=True)

    async def _learn(self) -> None:
        choices, self._fresh_choices = self._fresh_choices, []
        await asyncio.to_thread(lambda: self._learning.learn([self._intake.fresh.take()], choices))

    def _failed(self, what: str, error: Exception) -> None:
        if isinstance(error, ArithmeticError):
            VERSIONS.labels(RANKERS, "diverged").inc()
        logger.warning("rankers %s, the live ones stay: %s", what, error)

    async def _offer(self, bundle: RankerBundle, *, learned_on: bool) -> None:
        """Judge a candidate beside the rankers that were live lately, and publish it if it passes.

        The decision is recorded with the version, whatever it is.
        """
        decision = await asyncio.to_thread(self._learning.judge, bundle)
        self._unstored = None
        try:
            told = await self._store(bundle, decision)
        except ArtifactError as error:
            VERSIONS.labels(RANKERS, "unstored").inc()
            logger.error("rankers are not stored, the live ones stay: %s", error)
            self._unstored = bundle, learned_on
            self._store_again_s = time.monotonic() + STORE_AGAIN_S
            return
        if told is None:
            return  # nothing was learned that changes a weight
        version = told.version
        if not decision.promote:
            VERSIONS.labels(RANKERS, "refused").inc()
            logger.warning("rankers %s refused, the live ones stay: %s", version, decision.reason)
            return
        logger.info("rankers %s passed: %s", version, decision.reason)
        self._learning.promoted(bundle, learned_on=learned_on)
        self._live = told
        await tell(self._artifacts, self._sender, told, self._settings.keep_versions)

    async def _store(self, bundle: RankerBundle, decision: RankerDecision) -> Version | None:
        """Store a candidate with what was decided; what is to be told of it, None of the live one.

        Raises:
            ArtifactError: the store does not take all of it.
        """
        arrays, meta = bundle.to_arrays()
        version = await asyncio.to_thread(self._artifacts.put, RANKERS, arrays, meta)
        if self._live is not None and version == self._live.version:
            return None
        await asyncio.to_thread(
            self._artifacts.write_note, RANKERS, version, DECISION_NOTE, decision
        )
        told = Version(
            kind=RANKERS,
            version=version,
            announced_ms=now_ms(),
            metrics={**meta["metrics"], **figures_of(decision)},
            previous="" if self._live is None else self._live.version,
            reason=decision.reason,
        )
        if decision.promote:
            await note_live(self._artifacts, told)
        return told

    def live(self) -> list[Version]:
        """The rankers and item weights that are live as this process knows it."""
        return [of for of in (self._live, self._items.live) if of is not None]

    def told(self, version: Version) -> None:
        """Take in a record of ``explore.versions``: what the next training replaces.

        Where somebody promoted or rolled back, learning goes on from what is live now, and what
        was live before is no example to new rankers any more.
        """
        self._items.told(version)
        if version.kind != RANKERS or (
            self._live is not None and version.version == self._live.version
        ):
            return
        self._live = version
        bundle = self._stored(version)
        if bundle is not None:
            self._learning.replace(bundle)

    def _stored(self, version: Version) -> RankerBundle | None:
        try:
            artifact = self._artifacts.get(RANKERS, version.version)
            return RankerBundle.from_arrays(artifact.arrays, artifact.meta)
        except (ArtifactError, ValueError) as error:
            logger.error("rankers cannot be learned on, they will be trained again: %s", error)
            return None

    def _stored_before(self, live: Version) -> list[RankerBundle]:
        """What was live before and can still be loaded, oldest first."""
        back = list(earlier(self._artifacts, live))[: MOST - 1]
        found = [self._stored(msgspec.structs.replace(live, version=of)) for of in reversed(back)]
        return [bundle for bundle in found if bundle is not None]


def figures_of(decision: RankerDecision) -> dict[str, float]:
    """The candidate's figures on what was held out, flat, by name."""
    grids = decision.grids
    told = {} if grids is None or grids.ndcg is None else {"holdout_grid_ndcg": grids.ndcg}
    if decision.candidate is None:
        return told
    return told | {
        f"holdout_{name}_{head}": value
        for head, figures in decision.candidate.heads.items()
        for name, value in (
            ("auc", figures.auc),
            ("ne", figures.normalised_entropy),
            ("calibration_error", figures.calibration_error),
        )
        if value is not None
    }


def _follows(records: Sequence[Record]) -> list[Observed]:
    follows: list[Observed] = []
    for record in records:
        try:
            event = parse_event(FOLLOW_TOPIC, record.value, now_ms())
        except InvalidEventError:
            continue
        if isinstance(event, FollowEvent):
            follows.append((None, event))
    return follows
