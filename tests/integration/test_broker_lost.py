"""Three brokers, three replicas: one is killed under load, and nothing is lost or counts twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from infra.batch_sender import batch_sender, send_in_batches
from infra.config import Settings
from infra.embedded import embedded_redis
from infra.kafka import Message
from infra.kafka_clients import kafka_admin
from infra.topics import TOUCHED_TOPIC
from tests.integration.conftest import Pipeline
from tests.kafka.apache_kafka import ApacheKafka, apache_kafka_missing
from tests.kafka.cluster import NODES, KafkaCluster

VIEWERS = 20
#: That each of them likes: the broker is killed among the first.
MEDIA = 50


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    if reason := apache_kafka_missing():
        pytest.skip(reason)
    with KafkaCluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture(scope="module")
def pipeline(cluster: KafkaCluster) -> Iterator[Pipeline]:
    with embedded_redis() as url:
        settings = Settings(
            kafka_bootstrap_servers=cluster.bootstrap_servers,
            redis_url=url,
            partitions=4,
            replication_factor=NODES,
            session_timeout_s=6.0,
        )
        started = Pipeline(settings)
        started.start_worker(REPLICATION_FACTOR=str(NODES))
        yield started
        started.producer.close()
        started.stop_worker()


async def described(settings: Settings, *topics: str) -> list[dict[str, Any]]:
    admin = kafka_admin(settings)
    try:
        await admin.start()
        found: list[dict[str, Any]] = await admin.describe_topics(list(topics))
        return found
    finally:
        await admin.close()


def like(pipeline: Pipeline, viewer: str, media: str) -> Message:
    event = pipeline.event(viewer, media, author_id="a")
    return Message("events.like", viewer, msgspec.json.encode(event))


async def send(pipeline: Pipeline, viewers: list[str], media: list[str], lost: ApacheKafka) -> None:
    """Every viewer likes every media; one broker is killed among the first."""
    async with batch_sender(pipeline.settings) as sender:
        for number, media_id in enumerate(media):
            for viewer in viewers:
                await sender.add(like(pipeline, viewer, media_id))
            if number == len(media) // 4:
                lost.kill()
            await asyncio.sleep(0.02)
        await sender.finish()


def test_a_broker_that_is_lost_under_load_costs_nothing(
    cluster: KafkaCluster, pipeline: Pipeline
) -> None:
    worker, viewers = pipeline.worker_pid, [f"viewer-{number}" for number in range(VIEWERS)]
    [topic] = asyncio.run(described(pipeline.settings, "events.like"))
    # Of a leader, so that its partitions move.
    lost = cluster.brokers[topic["partitions"][0]["leader"] - 1]
    media = [f"m{number}" for number in range(MEDIA)]
    asyncio.run(send(pipeline, viewers, media, lost))
    assert lost.pid is None
    pipeline.wait(lambda: all(sorted(pipeline.liked(v)) == sorted(media) for v in viewers))
    for viewer in viewers:
        [counted] = pipeline.counters(viewer)["a"].values()
        assert counted.count == MEDIA, "each counts once"
    assert pipeline.worker_pid == worker
    lost.start()
    for of in asyncio.run(described(pipeline.settings, "events.like", TOUCHED_TOPIC)):
        assert {len(one["replicas"]) for one in of["partitions"]} == {NODES}
    assert pipeline.dead_letters() == []
    # And on: with the broker back, the next like counts as well.
    asyncio.run(send_in_batches(pipeline.settings, [like(pipeline, viewers[0], "last")]))
    pipeline.wait(lambda: pipeline.liked(viewers[0])[-1] == "last")
