"""Topics as they are created."""

from __future__ import annotations

import pytest

from infra.config import Settings
from infra.kafka import topics_to_create
from infra.topics import TOPICS


@pytest.mark.parametrize(("replicas", "in_step"), [(1, 1), (2, 1), (3, 2), (5, 4)])
def test_a_record_outlives_a_broker_where_there_are_replicas(replicas, in_step):
    topics = topics_to_create(Settings(replication_factor=replicas))
    assert {topic.name for topic in topics} == set(TOPICS)
    assert {topic.topic_configs["min.insync.replicas"] for topic in topics} == {str(in_step)}


def test_tombstones_of_compacted_topics_stay_and_their_time_is_the_brokers():
    for topic in topics_to_create(Settings()):
        if topic.topic_configs["cleanup.policy"] == "compact":
            years = int(topic.topic_configs["delete.retention.ms"]) / (365 * 86_400_000)
            assert years >= 100, topic.name
            assert topic.topic_configs["message.timestamp.type"] == "LogAppendTime"
