"""Retention that overtakes a group is said and counted, and takes what a forgotten viewer did."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from infra.embedded import embedded_redis
from infra.expiry import RETENTION, SEGMENT
from infra.supervisor import free_port
from infra.topics import VIEWER_TOPICS
from streams.clock import now_ms
from tests.integration.commands import report_of
from tests.integration.conftest import Broker, Pipeline

TOPIC = "events.like"
#: Of a topic that soon forgets.
RETENTION_MS, SEGMENT_MS = 1_000, 500
#: A broker looks every five minutes, and deletes files a minute later. That of the tests looks
#: twice a second.
LOOKS_MS = 360_000


@pytest.fixture
def stopped(broker: Broker) -> Iterator[Pipeline]:
    """Servers, and a worker that was there and is not."""
    if broker.apache is None:
        pytest.skip("the embedded broker deletes no records")
    with embedded_redis() as url:
        pipeline = Pipeline(broker.settings.model_copy(update={"redis_url": url}))
        pipeline.start_worker()
        yield pipeline
        pipeline.producer.close()


def delete_before(pipeline: Pipeline, ends: dict[int, int]) -> None:
    """Let retention take the records of the topic before these offsets."""

    async def delete() -> None:
        servers = pipeline.settings.kafka_bootstrap_servers
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        await admin.delete_records(
            {TopicPartition(TOPIC, at): RecordsToDelete(end) for at, end in ends.items()}
        )
        await admin.close()

    asyncio.run(delete())


def like(pipeline: Pipeline, viewer: str, media: str) -> int:
    return pipeline.send(TOPIC, pipeline.event(viewer, media, author_id="a"), viewer)


def test_what_retention_took_before_it_was_read_is_said_and_counted(
    stopped: Pipeline, tmp_path: Path
) -> None:
    pipeline, viewer = stopped, stopped.new_viewer()
    like(pipeline, viewer, "m0")
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m0"])
    assert pipeline.stop_worker() == 0
    for media in ("m1", "m2", "m3"):
        offset = like(pipeline, viewer, media)
    [partition] = {
        record.partition for record in pipeline.records(TOPIC) if record.key == viewer.encode()
    }
    delete_before(pipeline, {partition: offset})
    said, port = tmp_path / "stderr", free_port()
    settings = pipeline.settings
    with (
        said.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "streams.app", "worker"],
            env={
                **os.environ,
                "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
                "REDIS_URL": settings.redis_url,
                "PARTITIONS": str(settings.partitions),
                "SESSION_TIMEOUT_S": str(settings.session_timeout_s),
                "METRICS_PORT": str(port),
            },
            stderr=stderr,
        ) as worker,
    ):
        pipeline.wait(lambda: pipeline.liked(viewer) == ["m0", "m3"])
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        worker.terminate()
    text = said.read_text()
    assert f"{TOPIC}[{partition}]: retention deleted offsets {offset - 2} to {offset - 1}" in text
    assert "before group freshgrid-worker read them" in text
    assert "2 records are applied nowhere; set retention.ms" in text
    assert f'freshgrid_records_expired_total{{topic="{TOPIC}"}} 2.0' in metrics


def keep_briefly(pipeline: Pipeline) -> None:
    """Have all topics that name viewers keep records for a second."""
    configs = {RETENTION: str(RETENTION_MS), SEGMENT: str(SEGMENT_MS)}

    async def alter() -> None:
        servers = pipeline.settings.kafka_bootstrap_servers
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        of = ConfigResourceType.TOPIC
        await admin.alter_configs([ConfigResource(of, topic, configs) for topic in VIEWER_TOPICS])
        await admin.close()

    asyncio.run(alter())


def topics_of(pipeline: Pipeline) -> set[str]:
    """All topics that anybody may read."""

    async def named() -> set[str]:
        servers = pipeline.settings.kafka_bootstrap_servers
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        topics = set(await admin.list_topics())
        await admin.close()
        return {topic for topic in topics if not topic.startswith("__")}

    return asyncio.run(named())


def test_by_the_date_that_was_told_no_topic_names_a_forgotten_viewer(stopped: Pipeline) -> None:
    pipeline, viewer, other = stopped, stopped.new_viewer(), stopped.new_viewer()
    like(pipeline, viewer, "m0")
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m0"])
    assert pipeline.stop_worker() == 0
    # What other roles and other times would have written.
    for topic in VIEWER_TOPICS:
        pipeline.send(topic, {"viewer_id": viewer}, viewer)
    topics = topics_of(pipeline)
    assert topics > set(VIEWER_TOPICS)

    def naming() -> set[str]:
        # A segment that is still written to is to go as well.
        like(pipeline, other, "m1")
        return {
            topic
            for topic in topics
            for record in pipeline.records(topic)
            if viewer.encode() in (record.key or b"") + (record.value or b"")
        }

    assert naming() == set(VIEWER_TOPICS)
    keep_briefly(pipeline)
    before = now_ms()
    report = report_of(pipeline.settings, "viewer", "forget", viewer)
    told = set(report["kept_until_ms"].values())
    later = RETENTION_MS + SEGMENT_MS + LOOKS_MS
    assert report["kept_until_ms"].keys() == set(VIEWER_TOPICS)
    assert before + later <= min(told) <= max(told) <= now_ms() + later
    pipeline.wait(lambda: naming() == set())
    assert now_ms() < min(told)
