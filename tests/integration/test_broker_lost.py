"""Three brokers, three replicas: one is killed under load, and nothing is lost or counts twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from infra.config import Settings
from infra.embedded import embedded_redis
from infra.topics import TOUCHED_TOPIC
from tests.integration.conftest import Pipeline
from tests.kafka.apache_kafka import apache_kafka_missing
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


@pytest.fixture
def admin(cluster: KafkaCluster) -> Iterator[KafkaAdminClient]:
    with closing(KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)) as client:
        yield client


def test_a_broker_that_is_lost_under_load_costs_nothing(
    cluster: KafkaCluster, pipeline: Pipeline, admin: KafkaAdminClient
) -> None:
    worker, viewers = pipeline.worker_pid, [f"viewer-{number}" for number in range(VIEWERS)]
    [topic] = admin.describe_topics(["events.like"])
    # Of a leader, so that its partitions move.
    lost = cluster.brokers[topic["partitions"][0]["leader_id"] - 1]
    killing = threading.Timer(0.25, lost.kill)
    producer = KafkaProducer(
        bootstrap_servers=cluster.bootstrap_servers, acks="all", enable_idempotence=True
    )
    with closing(producer):
        killing.start()
        for number in range(MEDIA):
            for viewer in viewers:
                event = pipeline.event(viewer, f"m{number}", author_id="a")
                value = json.dumps(event).encode()
                producer.send("events.like", key=viewer.encode(), value=value)
            time.sleep(0.02)
        killing.join()
        producer.flush(60)
    assert lost.pid is None
    media = [f"m{number}" for number in range(MEDIA)]

    def all_there() -> bool:
        return all(sorted(pipeline.liked(viewer)) == sorted(media) for viewer in viewers)

    pipeline.wait(all_there)
    for viewer in viewers:
        [counted] = pipeline.counters(viewer)["a"].values()
        assert counted.count == MEDIA, "each counts once"
    assert pipeline.worker_pid == worker
    lost.start()
    assert pipeline.dead_letters() == []
    for described in admin.describe_topics(["events.like", TOUCHED_TOPIC]):
        assert {len(one["replica_nodes"]) for one in described["partitions"]} == {NODES}
    # And on: with the broker back, the next like counts as well.
    pipeline.send("events.like", pipeline.event(viewers[0], "last", author_id="a"), viewers[0])
    pipeline.wait(lambda: pipeline.liked(viewers[0])[-1] == "last")
