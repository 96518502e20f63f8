"""Partitions that are added: keys move, and nothing that was said of them is lost or comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from kafka import KafkaProducer

from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.embedded import embedded_redis
from infra.kafka import Follower, Message, prepare_cluster
from infra.partitions import PartitionWatch
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC
from models.world import World
from streams.serving.world_feed import WorldFeed
from tests.integration.conftest import Pipeline
from tests.kafka.apache_kafka import ApacheKafka, apache_kafka_missing

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Of an Apache Kafka: the embedded broker adds no partitions."""
    if reason := apache_kafka_missing():
        pytest.skip(reason)
    with ApacheKafka(tmp_path_factory.mktemp("apache")) as kafka:
        yield Settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers, partitions=2, session_timeout_s=4.0
        )


async def raise_partitions(settings: Settings, topic: str, count: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    try:
        await admin.create_partitions({topic: NewPartitions(count)})
    finally:
        await admin.close()
    while (await prepare_cluster(settings)).partitions[topic] < count:
        await asyncio.sleep(0.05)


def media(media_id: str) -> Message:
    value = {"media_id": media_id, "author_id": "a", "created_ts": 1}
    return Message(MEDIA_TOPIC, media_id, json.dumps(value).encode())


async def live_media(settings: Settings, partitions: Mapping[str, int]) -> set[str]:
    """What a ranker that starts now shows."""
    feed = WorldFeed(World())
    follower = Follower(settings, partitions, [MEDIA_TOPIC])
    caught_up = asyncio.Event()

    async def handle(topic, records):
        feed.apply(topic, records)

    async def polled():
        if follower.caught_up:
            caught_up.set()

    following = asyncio.ensure_future(follower.run(handle, polled))
    try:
        async with asyncio.timeout(DEADLINE_S):
            await caught_up.wait()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    catalog = feed.world.catalog
    return set(catalog.media_ids(catalog.newest(1000)))


async def test_deleted_media_do_not_come_back(settings):
    await prepare_cluster(settings)
    ids = [f"m{number}" for number in range(260)]
    await send_in_batches(settings, map(media, ids))
    await raise_partitions(settings, MEDIA_TOPIC, 3)
    await send_in_batches(settings, [Message(MEDIA_TOPIC, name, None) for name in ids[:200]])
    await send_in_batches(settings, [media("m0"), media("m1")])
    partitions = (await prepare_cluster(settings)).partitions
    assert partitions[MEDIA_TOPIC] == 3
    assert await live_media(settings, partitions) == {"m0", "m1", *ids[200:]}


def test_what_stands_in_an_added_partition_is_read_and_waited_for(settings):
    with embedded_redis() as url:
        mine = settings.model_copy(update={"redis_url": url, "parking_ttl_s": 1.0})
        asyncio.run(prepare_cluster(mine))
        pipeline = Pipeline(mine)
        pipeline.start_worker()
        try:
            asyncio.run(raise_partitions(mine, MEDIA_TOPIC, 9))
            asyncio.run(raise_partitions(mine, "events.like", 6))
            knows = KafkaProducer(bootstrap_servers=mine.kafka_bootstrap_servers)
            knows.send(MEDIA_TOPIC, media("added").value, b"added", partition=8).get(DEADLINE_S)
            # Neither names the author; the first is read long before the media.
            for viewer, partition in (("early", 0), ("late", 5)):
                like = json.dumps(pipeline.event(viewer, "added")).encode()
                knows.send("events.like", like, viewer.encode(), partition=partition)
            knows.close()
            for viewer in ("early", "late"):
                pipeline.wait(lambda viewer=viewer: pipeline.liked(viewer) == ["added"])
            assert pipeline.dead_letters() == []
        finally:
            pipeline.producer.close()
            pipeline.stop_worker()


async def test_a_follower_reads_partitions_that_are_added(settings, caplog):
    counts = (await prepare_cluster(settings)).partitions
    feed = WorldFeed(World())
    follower = Follower(settings, counts, [ACCOUNTS_TOPIC])

    async def handle(topic, records):
        feed.apply(topic, records)

    following = asyncio.ensure_future(follower.run(handle))
    watch = PartitionWatch(settings, counts)
    try:
        await send_in_batches(settings, [Message(ACCOUNTS_TOPIC, "a", b'{"account_id": "a"}')])
        await raise_partitions(settings, ACCOUNTS_TOPIC, 20)
        accounts = [f"a{number}" for number in range(100)]
        values = [(name, json.dumps({"account_id": name}).encode()) for name in accounts]
        messages = [Message(ACCOUNTS_TOPIC, name, value) for name, value in values]
        await send_in_batches(settings, messages)
        async with asyncio.timeout(60):
            while not (feed.world.catalog.author_rows(["a", *accounts]) >= 0).all():
                await asyncio.sleep(0.1)
        assert follower.caught_up
        assert (await watch.look())[ACCOUNTS_TOPIC] == 20
        assert f"{ACCOUNTS_TOPIC} has 20 partitions now, and had 2" in caplog.text
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
