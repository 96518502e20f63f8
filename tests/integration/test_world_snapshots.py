"""A ranker starts from a snapshot and reads on; one that cannot be right is refused with a reason."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import pytest

from infra.artifacts import ArtifactStore
from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.embedded import embedded_kafka, embedded_redis
from infra.kafka import ClusterInfo, Follower, Message, prepare_cluster
from infra.supervisor import free_port
from models.events import MEDIA_TOPIC
from models.viewers.forgotten import Forgotten, ForgottenViewers
from models.world import WorldConfig
from streams.clock import now_ms
from streams.rights.forgotten import forgotten_message, hear, known
from streams.serving.world_feed import WorldFeed, embedding_messages, world_config
from streams.serving.world_snapshots import WORLD, About, Start, WorldSnapshots, start_world
from streams.topology import RANKER, followed
from tests.integration.conftest import DEADLINE_S

FIRST = ("explore.forgotten", MEDIA_TOPIC, "catalog.accounts")
WORLD_CONFIG = WorldConfig(details=True)


@pytest.fixture(scope="module")
def broker() -> Iterator[Settings]:
    with embedded_kafka() as address:
        yield Settings(
            kafka_bootstrap_servers=address, partitions=2, session_timeout_s=3.0,
            rebalance_timeout_s=3.0, fetch_max_wait_ms=20,
        )  # fmt: skip


@pytest.fixture
def settings(broker, tmp_path) -> Settings:
    return broker.model_copy(update={"artifacts_url": str(tmp_path / "artifacts")})


def media(number: int) -> Message:
    value = {"media_id": f"m{number}", "author_id": f"a{number % 7}", "created_ts": number + 1}
    return Message(MEDIA_TOPIC, f"m{number}", json.dumps(value).encode())


def like(viewer: str, number: int, at: int = 0) -> Message:
    value = {
        "event_id": f"{viewer}{number}{at}", "viewer_id": viewer, "media_id": f"m{number}",
        "ts": now_ms() - 60_000 + at,
    }  # fmt: skip
    return Message("events.like", viewer, json.dumps(value).encode())


async def world_read(
    settings: Settings, cluster: ClusterInfo, start: Start, *, write: bool = False
) -> WorldFeed:
    """What a ranker holds once it has read to the end; and, if asked for, has written it."""
    feed, forgotten = start.feed, ForgottenViewers()
    snapshots = WorldSnapshots(settings, cluster, ArtifactStore(settings.artifacts_url), feed, forgotten)
    follower = Follower(settings, cluster.partitions, followed(RANKER), first=FIRST, begin=start.begin)
    caught_up = asyncio.Event()

    async def handle(topic, records):
        if topic == "explore.forgotten":
            hear(forgotten, records)
        else:
            feed.apply(topic, known(forgotten, records) if topic.startswith("events.") else records)

    async def polled():
        feed.polled(follower.lag)
        if follower.caught_up:
            caught_up.set()
            await snapshots.polled(follower)

    following = asyncio.ensure_future(follower.run(handle, polled))
    try:
        async with asyncio.timeout(DEADLINE_S):
            await caught_up.wait()
            if write:
                await snapshots._look()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    return feed


async def written(settings: Settings) -> ClusterInfo:
    """A log with something in it, and a snapshot of all of that."""
    cluster = await prepare_cluster(settings)
    await send_in_batches(settings, map(media, range(40)))
    await send_in_batches(settings, [like(f"v{n % 5}", n % 11, n) for n in range(60)])
    vectors = [[1.0, n, 2.0] for n in range(7)]
    import numpy as np

    sent = embedding_messages("space", [f"a{n}" for n in range(7)], np.array(vectors, np.float32))
    await send_in_batches(settings, sent)
    await world_read(settings, cluster, await begin(settings, cluster), write=True)
    return cluster


async def begin(settings: Settings, cluster: ClusterInfo) -> Start:
    return await start_world(settings, cluster, ArtifactStore(settings.artifacts_url), WORLD_CONFIG)


def counts(feed: WorldFeed) -> dict[str, float]:
    """What is counted of each media, whatever its row is."""
    catalog, now = feed.world.catalog, now_ms()
    rows = catalog.media_rows(ids := sorted(f"m{number}" for number in range(60)))
    popular = feed.world.popularity.decayed_media(rows, now).sum(axis=1).round(6)
    return dict(zip(ids, popular.tolist(), strict=True))


async def test_a_start_from_a_snapshot_reads_only_what_came_since(settings):
    cluster = await written(settings)
    await send_in_batches(settings, map(media, range(40, 60)))
    # One of them again, which was counted before the snapshot was written.
    await send_in_batches(settings, [like("v9", 50), like("v0", 5, 5)])
    start = await begin(settings, cluster)
    assert start.feed.world.catalog.media_count == 40
    assert sum(to.offset for to in start.begin.values()) >= 40 + 60
    some = await world_read(settings, cluster, start)
    whole = await world_read(settings, cluster, Start(WorldFeed(type(some.world)(WORLD_CONFIG)), {}))
    assert some.world.catalog.live_media_count == whole.world.catalog.live_media_count == 60
    assert counts(some) == counts(whole)
    assert some.world.space_name == whole.world.space_name == "space"


def restored_as(settings: Settings, **changed: Any) -> str:
    """The snapshot of the store once more, with something else said of it."""
    store = ArtifactStore(settings.artifacts_url)
    found = store.get(WORLD, store.list(WORLD)[-1])
    return store.put(WORLD, found.arrays, {**found.meta, **changed})


async def test_what_cannot_be_right_is_refused_and_the_one_before_is_used(settings, caplog):
    cluster = await written(settings)
    store = ArtifactStore(settings.artifacts_url)
    [good] = store.list(WORLD)
    about = msgspec.convert(store.manifest(WORLD, good).meta, About)
    beyond = [
        msgspec.structs.replace(place, offset=place.offset + (place.topic == MEDIA_TOPIC) * 10**6)
        for place in about.places
    ]
    other = [msgspec.structs.replace(place, last_ms=7) for place in about.places]
    cases: list[tuple[str, Mapping[str, Any]]] = [
        ("is of log elsewhere", {"log_id": "elsewhere"}),
        (r"catalog.media\[\d\] up to offset 10000\d\d, and the log holds 0 to", {"places": beyond}),
        ("holds another record at offset", {"places": other}),
        ("is not described", {"made_ms": "then"}),
        ("format 0, this build reads", {"feed": {**about.feed, "format": 0}}),
    ]
    for reason, changed in cases:
        caplog.clear()
        bad = restored_as(settings, **msgspec.to_builtins(changed))
        start = await begin(settings, cluster)
        assert start.begin != {} and start.feed.world.catalog.media_count == 40, reason
        assert f"snapshot {bad} of the world is not used" in caplog.text
        assert next(caplog.records and __import__("re").finditer(reason, caplog.text), None), reason
        store.prune(WORLD, 0, {good})
    # The last one is damaged, too: then there is the log.
    file = next((p for p in __import__("pathlib").Path(settings.artifacts_url).rglob("*.npy") if p.stat().st_size > 200))
    file.write_bytes(file.read_bytes()[:-1])
    start = await begin(settings, cluster)
    assert start.begin == {} and start.feed.world.catalog.media_count == 0
    assert "the manifest says" in caplog.text


async def test_who_was_forgotten_since_does_not_come_back(settings):
    cluster = await written(settings)
    gone = Forgotten.of("v0", now_ms())
    await send_in_batches(settings, [forgotten_message(gone)])
    try:
        start = await begin(settings, cluster)
        assert start.begin
        counted = start.feed.world._counted.to_arrays()
        halves = {int(key) >> 32 for name, keys in counted.items() if name.endswith("key") for key in keys}
        assert int(gone.viewer[:8], 16) not in halves and len(halves) == 4
    finally:
        await send_in_batches(settings, [forgotten_message(Forgotten.of("v0", now_ms(), allowed=True))])


async def test_without_an_interval_nothing_is_written_or_read(settings):
    cluster = await written(settings)
    off = settings.model_copy(update={"world_snapshot_every_s": 0.0})
    assert (await begin(off, cluster)).begin == {}
