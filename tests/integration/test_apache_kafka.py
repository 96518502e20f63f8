"""Apache Kafka, started for real, and what the tests rely on when they end it in some way."""

import re

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from infra.embedded import HOST, kafka_cluster_id
from tests.kafka.apache_kafka import POM, ApacheKafka, apache_kafka_missing
from tests.paths import ROOT


@pytest.fixture
def kafka(tmp_path):
    if reason := apache_kafka_missing():
        pytest.skip(reason)
    with ApacheKafka(tmp_path) as kafka:
        yield kafka


def test_what_was_acknowledged_outlives_the_broker(kafka):
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    admin.create_topics([NewTopic("kept", 1, 1)])
    admin.close()
    place = TopicPartition("kept", 0)
    before = kafka.bootstrap_servers, kafka.cluster_id
    for number, end in enumerate((kafka.stop, kafka.kill)):
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
        assert producer.send("kept", b"%d" % number).get(30).offset == number
        producer.close()
        end()
        assert kafka_cluster_id(HOST, kafka.port) is None
        kafka.start()
        assert kafka_cluster_id(HOST, kafka.port) == kafka.cluster_id
    assert (kafka.bootstrap_servers, kafka.cluster_id) == before
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    found = []
    while consumer.position(place) < 2:
        found += [r.value for records in consumer.poll(1000).values() for r in records]
    consumer.close()
    assert found == [b"0", b"1"]


def test_a_paused_broker_keeps_silent_and_goes_on(kafka, monkeypatch):
    monkeypatch.setattr("infra.embedded.PROBE_TIMEOUT_S", 0.2)
    kafka.pause()
    assert kafka_cluster_id(HOST, kafka.port) is None
    monkeypatch.undo()
    kafka.resume()
    assert kafka_cluster_id(HOST, kafka.port) == kafka.cluster_id
    kafka.pause()  # a paused one can be stopped


def test_it_is_the_version_that_docker_compose_runs():
    compose = (ROOT / "docker-compose.yml").read_text()
    [image] = re.findall(r"image: apache/kafka:([\d.]+)@", compose)
    [jar] = re.findall(r"<artifactId>kafka_2.13</artifactId>\s*<version>(\S+)<", POM.read_text())
    assert image == jar
