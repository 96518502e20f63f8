"""Partitions that are added: keys move, and nothing that was said of them is lost or comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.kafka import Follower, Message, prepare_cluster
from models.events import MEDIA_TOPIC
from models.world import World
from streams.serving.world_feed import WorldFeed
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
