"""Kafka ends and hangs; its topics get more partitions, and lose what is old."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from infra.kafka import committed_offsets, partition_counts
from infra.log_reader import LogReader, Span
from models.actions import EVENT_TOPICS
from models.events import MEDIA_TOPIC
from streams.topology import WORKER_GROUP
from tests.chaos.faults.fault import Fault, fault
from tests.chaos.scene import Scene
from tests.chaos.servers import Apache


@asynccontextmanager
async def _admin(scene: Scene) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=scene.settings.kafka_bootstrap_servers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


def _restarted(scene: Scene, how: signal.Signals) -> Iterator[None]:
    assert isinstance(scene.kafka, Apache)
    scene.kafka.end(how)
    scene.rest_between(0, scene.longest_away_s)
    yield
    scene.kafka.start()


@fault("Kafka killed", "Kafka", group="end", durable=True)
def killed(scene: Scene) -> Iterator[None]:
    """`kill -9`; started again with its log."""
    yield from _restarted(scene, signal.SIGKILL)


@fault("Kafka restarted", "Kafka", group="end", durable=True)
def restarted(scene: Scene) -> Iterator[None]:
    """SIGTERM; started again with its log."""
    yield from _restarted(scene, signal.SIGTERM)


@fault("Kafka paused", "Kafka")
def paused(scene: Scene) -> Iterator[None]:
    """Stands still for longer than a session of its groups."""
    scene.kafka.pause()
    try:
        scene.rest(scene.pause_s)
        yield
    finally:
        scene.kafka.resume()


@fault("partitions raised", "Kafka", durable=True)
def partitions_raised(scene: Scene) -> Iterator[None]:
    """One of the event topics, or `catalog.media`, has one partition more."""
    topic = scene.rng.choice([*EVENT_TOPICS, MEDIA_TOPIC])

    async def raise_them() -> None:
        count = (await partition_counts(scene.settings, [topic]))[topic]
        async with _admin(scene) as admin:
            await admin.create_partitions({topic: NewPartitions(count + 1)})

    asyncio.run(raise_them())
    yield


@fault("events truncated", "Kafka", durable=True, last=True)
def truncated(scene: Scene) -> Iterator[None]:
    """Retention takes what the workers have applied of one event topic (`DeleteRecords`)."""
    topic = scene.rng.choice(EVENT_TOPICS)

    async def truncate() -> None:
        count = (await partition_counts(scene.settings, [topic]))[topic]
        places = [(topic, number) for number in range(count)]
        committed = await committed_offsets(scene.settings, WORKER_GROUP, places)
        async with LogReader(scene.settings) as reader:
            spans = await reader.spans(places)
            gone = {
                at: Span(span.oldest, span.start, min(committed[at], span.end))
                for at, span in spans.items()
            }
            async for of, number, records in reader.read(gone):
                scene.truncated.setdefault((of, number), []).extend(records)
        cuts = {
            TopicPartition(*at): RecordsToDelete(span.end)
            for at, span in gone.items()
            if span.end > span.start
        }
        async with _admin(scene) as admin:
            await admin.delete_records(cuts)

    asyncio.run(truncate())
    yield


FAULTS: Final[tuple[Fault, ...]] = (killed, restarted, paused, partitions_raised, truncated)
