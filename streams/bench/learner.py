"""How many labelled pages and events a learner takes in per second, while nothing is trained.

Pages are records of ``explore.examples`` as Kafka hands them over, each of 25 items with its
features, request ids all different. They are given to the learner's own intake in batches, as its
follower does, with the room for examples full; reading them from a broker is not in the figure.
Beside it a task of the same event loop asks every few milliseconds how late it is called: sessions
and heartbeats of the learner are served by that loop.

Events are the bundled ones as many viewers have them (:mod:`streams.bench.population`), of which
examples and choices are built as they are old enough, and item weights fitted.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.kafka import Message
from models.actions import HEAD_NAMES
from models.examples.examples import Examples
from models.examples.from_pages import LabelledPage
from models.explore.impressions import pack_features
from models.feature_schema import DENSE_NAMES, FEATURE_VERSION, SPARSE_NAMES, FeatureMatrix
from models.world import World
from streams.bench.population import Population
from streams.bench.progress import say
from streams.clock import now_ms
from streams.local.scenario import FIXTURE
from streams.log.replay import read_fixture
from streams.serving.world_feed import WorldFeed, world_config
from streams.topology import CATALOG
from streams.training import Training

ITEMS: Final = 25
#: Pages with different features; the others repeat them under request ids of their own.
DISTINCT: Final = 500
#: As many as a fetch of one partition brings.
BATCH: Final = 500
#: Events between two looks at whether examples can be built.
POLL: Final = 5_000
NEVER: Final = 2**40
TICK_S: Final = 0.005
SEED: Final = 7


def run(
    settings: Settings,
    *,
    pages: Annotated[int, Meta(ge=1, description="Labelled pages to take in.")] = 30_000,
    kept: Annotated[int, Meta(ge=1, description="Examples kept, all there before.")] = 300_000,
    events: Annotated[int, Meta(ge=1, description="Events to build examples of.")] = 100_000,
    viewers: Annotated[int, Meta(ge=1, description="Viewers whose events they are.")] = 1_000_000,
) -> dict[str, Any]:
    """Fill the room, then take in labelled pages, and then events, as fast as it goes."""
    changed = {
        "keep_examples": kept,
        # Nothing is trained.
        "bootstrap_positives": NEVER,
        "train_every_positives": NEVER,
        "bootstrap_choices": NEVER,
    }
    with tempfile.TemporaryDirectory() as folder:
        settings = settings.model_copy(update=changed)
        told = asyncio.run(_run(settings, folder, pages))
        return told | asyncio.run(_build(settings, folder, events, viewers))


async def _build(settings: Settings, folder: str, events: int, viewers: int) -> dict[str, Any]:
    feed = WorldFeed(World(world_config(settings)))
    catalogue: dict[str, list[Any]] = {topic: [] for topic in CATALOG}
    for line in read_fixture(FIXTURE):
        if line.topic in catalogue:
            catalogue[line.topic].append(line)
    for topic, lines in catalogue.items():
        feed.apply(topic, lines)
    training = Training(settings, feed.world, ArtifactStore(folder), _Nowhere())
    say(f"{events} events of {viewers} viewers are put together …")
    # By topic, as fetches are.
    batches: list[dict[str, list[_Record]]] = []
    for number, message in enumerate(Population().stream(viewers, events)):
        if number % POLL == 0:
            batches.append({})
        assert message.value is not None
        record = _Record(message.value, number, key=message.key.encode())
        batches[-1].setdefault(message.topic, []).append(record)
    say("examples are built of them …")
    started, cpu_started = time.perf_counter(), time.process_time()
    for batch in batches:
        for topic, records in batch.items():
            training.events(topic, records)
        await training.polled(0)
    took_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    return {
        "events_per_s": round(events / took_s),
        "events_cpu_s": round(cpu_s, 1),
        "events": events,
        "viewers": viewers,
        "built_examples": len(training._intake.kept),
        "built_choices": training._new_choices,
        "item_weights_fits": training._builder.items.fits,
    }


async def _run(settings: Settings, folder: str, pages: int) -> dict[str, Any]:
    training = Training(settings, World(), ArtifactStore(folder), _Nowhere())
    say(f"{settings.keep_examples} examples are put in …")
    training._intake.add(_examples(settings.keep_examples))
    records = list(labelled_pages(pages))
    say(f"{pages} labelled pages are taken in …")
    late = _Lateness()
    watching = asyncio.create_task(late.watch())
    before, started = training._intake.positives, time.perf_counter()
    for first in range(0, pages, BATCH):
        await training.examples(records[first : first + BATCH])
        await training.polled(pages - first)
    took_s = time.perf_counter() - started
    watching.cancel()
    return {
        "pages_per_s": round(pages / took_s),
        "pages": pages,
        "kept_examples": len(training._intake.kept),
        "positives": training._intake.positives - before,
        "record_bytes": round(float(np.mean([len(record.value) for record in records]))),
        "loop_late_p99_ms": round(late.quantile(0.99) * 1000, 1),
        "loop_late_max_ms": round(late.quantile(1.0) * 1000, 1),
    }


class _Record(NamedTuple):
    value: bytes
    offset: int
    partition: int = 0
    key: bytes | None = b"v"
    timestamp: int = 0


class _Nowhere:
    async def send(self, messages: Any) -> None:
        """Nothing is published."""
        _: list[Message] = list(messages)


class _Lateness:
    """How much later than asked for a task of the event loop is called."""

    def __init__(self) -> None:
        self._late_s = [0.0]

    async def watch(self) -> None:
        while True:
            due = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            self._late_s.append(max(time.perf_counter() - due, 0.0))

    def quantile(self, share: float) -> float:
        return float(np.quantile(self._late_s, share))


def _features(rng: np.random.Generator, n: int) -> FeatureMatrix:
    return FeatureMatrix(
        rng.normal(size=(n, len(DENSE_NAMES))).astype(np.float32),
        rng.integers(0, 1000, (n, len(SPARSE_NAMES))).astype(np.int32),
    )


def _examples(n: int) -> Examples:
    rng = np.random.default_rng(SEED)
    return Examples(
        features=_features(rng, n),
        labels_nh=(rng.random((n, len(HEAD_NAMES))) < 0.1).astype(np.float32),
        weights_n=np.ones(n, np.float32),
        groups_n=rng.integers(0, 2**62, n),
        ts_n=now_ms() - rng.integers(0, 86_400_000, n),
        positions_n=rng.integers(1, ITEMS, n).astype(np.int16),
    )


def labelled_pages(pages: int) -> Iterator[_Record]:
    """So many records of ``explore.examples``, by the thousand of some hundred viewers."""
    rng = np.random.default_rng(SEED)
    served_ms = now_ms()
    distinct = [
        LabelledPage(
            viewer_id=f"v{number}",
            request_id="",
            served_ms=served_ms,
            feature_version=FEATURE_VERSION,
            features=pack_features(_features(rng, ITEMS)),
            media_ids=[f"m{media}" for media in rng.integers(0, 10**9, ITEMS)],
            first_position=1,
            propensities=[1.0] * ITEMS,
            seen=list(range(ITEMS)),
            # Two of three pages come to something.
            labels={"like": [number % ITEMS]} if number % 3 else {},
            versions={"features": FEATURE_VERSION},
        )
        for number in range(DISTINCT)
    ]
    for number in range(pages):
        page = msgspec.structs.replace(distinct[number % DISTINCT], request_id=f"r{number}")
        yield _Record(msgspec.json.encode(page), number)
