"""A ranker starts from a snapshot and reads on; one that cannot be right is refused."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from infra.artifacts import ArtifactStore
from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.embedded import embedded_kafka, embedded_redis
from infra.kafka import ClusterInfo, Follower, Message, prepare_cluster
from infra.supervisor import free_port
from models.events import MEDIA_TOPIC
from models.viewers.forgotten import Forgotten, ForgottenViewers
from models.world import World, WorldConfig
from streams.clock import now_ms
from streams.local.stack import role_argv
from streams.rights.forgotten import forgotten_message, hear, known
from streams.serving.world_feed import WorldFeed, embedding_messages
from streams.serving.world_snapshots import Start, start_world, world_snapshots
from streams.snapshots import WORLD, About
from streams.topology import RANKER, followed
from tests.integration.conftest import DEADLINE_S

FIRST = ("explore.forgotten", MEDIA_TOPIC, "catalog.accounts")
WORLD_CONFIG = WorldConfig(details=True)
NOW = now_ms() - 60_000


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Of a broker that holds nothing."""
    with embedded_kafka() as address:
        yield Settings(
            kafka_bootstrap_servers=address, partitions=2, session_timeout_s=3.0,
            rebalance_timeout_s=3.0, fetch_max_wait_ms=20,
            artifacts_url=str(tmp_path / "artifacts"),
        )  # fmt: skip


def media(number: int) -> Message:
    value = {"media_id": f"m{number}", "author_id": f"a{number % 7}", "created_ts": number + 1}
    return Message(MEDIA_TOPIC, f"m{number}", json.dumps(value).encode())


def like(viewer: str, number: int, at: int = 0) -> Message:
    value = {
        "event_id": f"{viewer}{number}{at}", "viewer_id": viewer, "media_id": f"m{number}",
        "ts": NOW + at,
    }  # fmt: skip
    return Message("events.like", viewer, json.dumps(value).encode())


async def world_read(
    settings: Settings, cluster: ClusterInfo, start: Start, *, write: bool = False
) -> WorldFeed:
    """What a ranker holds once it has read to the end; and, if asked for, has written it."""
    feed, forgotten = start.feed, ForgottenViewers()
    artifacts = ArtifactStore(settings.artifacts_url)
    snapshots = world_snapshots(settings, cluster, artifacts, feed, forgotten)
    follower = Follower(
        settings, cluster.partitions, followed(RANKER), first=FIRST, begin=start.begin
    )
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
                await snapshots.look()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    return feed


async def written(settings: Settings) -> ClusterInfo:
    """A log with something in it, and a snapshot of all of that."""
    cluster = await prepare_cluster(settings)
    await send_in_batches(settings, map(media, range(40)))
    await send_in_batches(settings, [like(f"v{n % 5}", n % 11, n) for n in range(60)])
    vectors = np.array([[1.0, n, 2.0] for n in range(7)], np.float32)
    names = [f"a{n}" for n in range(7)]
    await send_in_batches(settings, embedding_messages("space", names, vectors))
    await world_read(settings, cluster, await begin(settings, cluster), write=True)
    return cluster


async def begin(settings: Settings, cluster: ClusterInfo) -> Start:
    return await start_world(settings, cluster, ArtifactStore(settings.artifacts_url), WORLD_CONFIG)


def counts(feed: WorldFeed) -> dict[str, float]:
    """What is counted of each media, whatever its row is."""
    rows = feed.world.catalog.media_rows(ids := [f"m{number}" for number in range(60)])
    popular = feed.world.popularity.decayed_media(rows, NOW).sum(axis=1).round(9)
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
    whole = await world_read(settings, cluster, Start(WorldFeed(World(WORLD_CONFIG)), {}))
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
        ("format 0, this build reads", {"feed": {**about.content, "format": 0}}),
    ]
    for reason, changed in cases:
        caplog.clear()
        bad = restored_as(settings, **msgspec.to_builtins(changed))
        start = await begin(settings, cluster)
        assert start.begin != {} and start.feed.world.catalog.media_count == 40, reason
        assert f"snapshot {bad} of the world is not used" in caplog.text
        assert re.search(reason, caplog.text), reason
        store.prune(WORLD, 0, {good})
    # The last one is damaged, too: then there is the log.
    file = max(Path(settings.artifacts_url).rglob("*.npy"), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1])
    start = await begin(settings, cluster)
    assert start.begin == {} and start.feed.world.catalog.media_count == 0
    assert "the manifest says" in caplog.text


async def test_who_was_forgotten_since_does_not_come_back(settings):
    cluster = await written(settings)
    gone = Forgotten.of("v0", now_ms())
    await send_in_batches(settings, [forgotten_message(gone)])
    start = await begin(settings, cluster)
    assert start.begin
    counted = start.feed.world._counted.to_arrays()
    keys = np.concatenate([array for name, array in counted.items() if name.endswith("key")])
    halves = set((keys >> np.uint64(32)).tolist())
    assert int(gone.viewer[:8], 16) not in halves
    assert len(halves) == 4


async def test_without_an_interval_nothing_is_written_or_read(settings):
    cluster = await written(settings)
    off = settings.model_copy(update={"world_snapshot_every_s": 0.0})
    assert (await begin(off, cluster)).begin == {}


@contextmanager
def a_ranker(settings: Settings, redis_url: str, **env: str) -> Iterator[Settings]:
    """A ranker in a process of its own, from when it is ready."""
    here = settings.model_copy(update={"http_port": free_port(), "metrics_port": free_port()})
    names = (
        "kafka_bootstrap_servers", "partitions", "session_timeout_s", "rebalance_timeout_s",
        "fetch_max_wait_ms", "artifacts_url", "http_port", "metrics_port",
    )  # fmt: skip
    given = {name.upper(): str(getattr(here, name)) for name in names}
    process = subprocess.Popen(
        role_argv(RANKER),
        env={**os.environ, **given, "REDIS_URL": redis_url, **env},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield here
    finally:
        process.terminate()
        with process:
            assert process.wait(DEADLINE_S) == 0


def figure(ranker: Settings, name: str) -> float:
    """One of the metrics of a ranker."""
    text = httpx.get(f"http://127.0.0.1:{ranker.metrics_port}/metrics").text
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


def grid(ranker: Settings) -> list[str]:
    """What a viewer of whom nothing is known is shown: made here, of the world alone."""
    url = f"http://127.0.0.1:{ranker.http_port}/v1/explore/nobody"
    items = httpx.get(url).raise_for_status().json()["items"]
    return [item["media_id"] for item in items]


async def test_two_rankers_of_which_one_started_from_a_snapshot_show_one_grid(settings, tmp_path):
    await prepare_cluster(settings)
    await send_in_batches(settings, map(media, range(200)))
    # Each of another worth, so that no order is a matter of chance.
    liked = [like(f"v{viewer}", number) for number in range(31) for viewer in range(number + 1)]
    await send_in_batches(settings, liked)
    store = ArtifactStore(settings.artifacts_url)
    with (
        embedded_redis() as one,
        embedded_redis() as other,
        a_ranker(
            settings, one, WORLD_SNAPSHOT_EVERY_S="0.5", KEEP_WORLD_SNAPSHOTS="1000"
        ) as writer,
    ):
        async with asyncio.timeout(DEADLINE_S):
            while not store.list(WORLD):
                await asyncio.sleep(0.05)
        assert figure(writer, "freshgrid_world_snapshot_age_seconds") == -1
        # The first, which has not seen what comes now.
        copy, first = tmp_path / "copy", store.list(WORLD)[0]
        shutil.copytree(Path(settings.artifacts_url, WORLD, first), copy / WORLD / first)
        later = [like(f"w{viewer}", 150 + n) for n in range(7) for viewer in range(40 + n)]
        await send_in_batches(settings, later)
        with a_ranker(settings, other, ARTIFACTS_URL=str(copy)) as started:
            used = figure(started, 'freshgrid_world_snapshots_total{outcome="used"}')
            assert used == 1
            assert figure(started, "freshgrid_world_snapshot_age_seconds") > 0
            assert figure(started, "freshgrid_start_seconds") > 0
            # What nobody is known for is made anew every minute.
            async with asyncio.timeout(2 * DEADLINE_S):
                while (shown := grid(started)) != grid(writer):
                    await asyncio.sleep(0.5)
            assert shown[0] == "m156"
