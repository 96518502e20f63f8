"""Exposures and what came of them → trained rankers, announced when they are ready.

The learner keeps a world of its own, in which the example builder stands where each exposure
happened. Training runs in a thread; the rankers it gives are stored as one artifact and announced
on ``explore.versions``, where the ranking workers pick them up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from infra.artifacts import ArtifactStore
from infra.config import Settings
from models.distillation_sets import candidate_sets
from models.events import FOLLOW_TOPIC, FollowEvent, InvalidEventError, parse_event
from models.example_builder import ExampleBuilder, ExampleConfig, Observed
from models.examples import LABELS, CandidateSets, Examples
from models.ranker_bundle import RankerBundle
from models.viewer_state import ViewerState
from models.world import World
from streams.clock import now_ms
from streams.ingest import Sender
from streams.live_queries import LiveQueries
from streams.versions import RANKERS, Record, Version, announce
from streams.world_feed import media_events

#: Viewers whose candidates the earlier passes are distilled on.
DISTILLATION_VIEWERS: Final = 120
#: Events are sorted by time before they are observed: partitions are read unevenly. They wait for
#: the reader to reach the end of all partitions, or until there are this many.
MAX_UNSORTED: Final = 500_000
#: The first training begins when no event came in for this long.
QUIET_S: Final = 2.0

_STRONG: Final = [LABELS.index(name) for name in ("like", "save", "see_fewer")]
logger = logging.getLogger(__name__)


class Training:
    """Collects examples and trains when enough is new.

    Args:
        live: the rankers that are live already, if any: the first training is not urgent then.
    """

    def __init__(
        self,
        settings: Settings,
        world: World,
        artifacts: ArtifactStore,
        sender: Sender,
        *,
        live: Version | None = None,
    ) -> None:
        self._settings = settings
        self._artifacts = artifacts
        self._sender = sender
        self._builder = ExampleBuilder(world, ExampleConfig(fold=settings.fold_config()))
        self._world = world
        self._queries = LiveQueries(settings)
        self._unsorted: list[Observed] = []
        self._examples = Examples.empty()
        self._new_positives = 0
        self._arrived_s = time.monotonic()
        self._live = live
        self._training: asyncio.Task[None] | None = None

    def events(self, topic: str, records: Sequence[Record]) -> None:
        """Take in records of an event topic."""
        self._arrived_s = time.monotonic()
        if topic == FOLLOW_TOPIC:
            self._unsorted.extend(_follows(records))
        else:
            self._unsorted.extend(media_events(topic, records))

    async def polled(self, lag: int) -> None:
        """Observe what has arrived once nothing more is on its way; train if enough is new."""
        if self._unsorted and (lag == 0 or len(self._unsorted) > MAX_UNSORTED):
            events, self._unsorted = self._unsorted, []
            # In a thread, so that sessions and heartbeats go on meanwhile. The reader waits here,
            # so nothing else touches the world.
            await asyncio.to_thread(self._observe, events)
        if self._training is not None and self._training.done():
            self._training.result()  # a failure of the last training ends the learner
            self._training = None
        if self._training is None and lag == 0 and self._is_due():
            self._new_positives = 0
            sets = await asyncio.to_thread(self._candidate_sets)
            self._training = asyncio.create_task(self._train(self._examples, sets))

    def _observe(self, events: list[Observed]) -> None:
        started = time.monotonic()
        events.sort(key=lambda item: item[1].ts)
        self._builder.observe(events, now_ms())
        self._collect()
        took_s = time.monotonic() - started
        logger.info(
            "observed %d events in %.1f s: %d examples", len(events), took_s, len(self._examples)
        )

    def _is_due(self) -> bool:
        if self._world.space is None:
            return False
        if self._live is not None:
            return self._new_positives >= self._settings.train_every_positives
        # The first training reads a replay to its end first, but does not wait for ever.
        waited = time.monotonic() - self._arrived_s >= QUIET_S
        bound = self._settings.train_every_positives * 10
        return self._new_positives >= bound or (
            waited and self._new_positives >= self._settings.bootstrap_positives
        )

    def _collect(self) -> None:
        fresh = self._builder.take()
        if not len(fresh):
            return
        self._new_positives += int((fresh.labels_nh[:, _STRONG].max(axis=1) > 0).sum())
        merged = Examples.concatenate([self._examples, fresh])
        keep = self._settings.keep_examples
        if len(merged) > keep:
            merged = merged.take(np.argsort(merged.ts_n, kind="stable")[-keep:])
        self._examples = merged

    def _candidate_sets(self) -> CandidateSets:
        viewers = list(self._builder.viewers())[-DISTILLATION_VIEWERS:]
        # Viewers without history must be served well, too.
        viewers += [(f"new-{number}", ViewerState()) for number in range(len(viewers) // 10 + 1)]
        fold = self._settings.fold_config()
        # By the query that serves: what is distilled must sort what it finds.
        self._queries.reload()
        return candidate_sets(viewers, self._world, now_ms(), lambda _: self._queries.of(), fold)

    async def _train(self, examples: Examples, sets: CandidateSets) -> None:
        started = time.monotonic()
        try:
            bundle = await asyncio.to_thread(_train, examples, sets, self._settings)
        except (ValueError, ArithmeticError) as error:
            logger.warning("rankers not trained, the live ones stay: %s", error)
            return
        logger.info(
            "trained %s on %d examples in %.1f s: %s",
            bundle.version, len(examples), time.monotonic() - started, bundle.metrics,
        )  # fmt: skip
        await self._publish(bundle)

    async def _publish(self, bundle: RankerBundle) -> None:
        arrays, meta = bundle.to_arrays()
        version = await asyncio.to_thread(self._artifacts.put, RANKERS, arrays, meta)
        self._live = Version(
            kind=RANKERS,
            version=version,
            announced_ms=now_ms(),
            metrics=dict(meta["metrics"]),
            previous="" if self._live is None else self._live.version,
        )
        await announce(self._artifacts, self._sender, self._live, self._settings.keep_versions)

    def told(self, version: Version) -> None:
        """Take in a record of ``explore.versions``: what the next training replaces."""
        if version.kind == RANKERS:
            self._live = version


def _train(examples: Examples, sets: CandidateSets, settings: Settings) -> RankerBundle:
    # Imported here, in the thread that trains: torch takes seconds to import, and the learner can
    # read and learn embeddings meanwhile.
    from models.training.rankers import TrainingConfig, train_rankers

    return train_rankers(examples, sets, TrainingConfig(threads=settings.training_threads))


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
