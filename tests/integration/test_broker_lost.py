"""Three brokers, three replicas: one is killed under load, and nothing is lost or counts twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from infra.config import Settings
from infra.embedded import embedded_redis
from infra.topics import TOUCHED_TOPIC
from tests.integration.conftest import Pipeline
from tests.kafka.apache_kafka import apache_kafka_missing
from tests.kafka.cluster import NODES, KafkaCluster

VIEWERS = 20
#: Records of each viewer before the broker is killed, and while it is away.
EACH = 25


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


def test_a_broker_that_is_lost_under_load_costs_nothing(
    cluster: KafkaCluster, pipeline: Pipeline
) -> None:
    worker, killed = pipeline.worker_pid, threading.Event()
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)
    [topic] = admin.describe_topics(["events.like"])
    # Of a leader, so that its partitions move.
    lost = cluster.brokers[topic["partitions"][0]["leader"] - 1]
    producer = KafkaProducer(
        bootstrap_servers=cluster.bootstrap_servers, acks="all", enable_idempotence=True
    )
    viewers = [f"viewer-{number}" for number in range(VIEWERS)]
    sent: list[object] = []

    def send(numbers: range) -> None:
        for number in numbers:
            for viewer in viewers:
                event = pipeline.event(viewer, f"m{number}", author_id="a")
                value = json.dumps(event).encode()
                sent.append(producer.send("events.like", key=viewer.encode(), value=value))
            time.sleep(0.02)

    def kill() -> None:
        lost.kill()
        killed.set()

    killing = threading.Timer(0.25, kill)
    killing.start()
    send(range(EACH))
    killing.join()
    assert killed.is_set()
    send(range(EACH, 2 * EACH))
    producer.flush(60)
    media = {f"m{number}" for number in range(2 * EACH)}

    def all_there() -> bool:
        return all(set(pipeline.liked(viewer)) == media for viewer in viewers)

    pipeline.wait(all_there)
    for viewer in viewers:
        assert len(pipeline.liked(viewer)) == 2 * EACH, "each counts once"
    assert pipeline.worker_pid == worker
    assert pipeline.dead_letters() == []
    lost.start()
    described = admin.describe_topics(["events.like", TOUCHED_TOPIC])
    for topic in described:
        assert {len(partition["replicas"]) for partition in topic["partitions"]} == {NODES}
    admin.close()
    # And on: with the broker back, the next like counts as well.
    pipeline.send("events.like", pipeline.event(viewers[0], "last", author_id="a"), viewers[0])
    pipeline.wait(lambda: pipeline.liked(viewers[0])[0] == "last")
