"""What the learner says and shows when the predictions of live rankers drift."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from aiokafka import TopicPartition

from infra.config import Settings
from infra.kafka import ClusterInfo
from infra.metrics import SCORE_DRIFT
from infra.topics import EXAMPLES_TOPIC, IMPRESSIONS_TOPIC
from models.actions import MEDIA_EVENT_TOPICS
from models.evaluation.score_drift import REFERENCE
from models.explore.grid import Probabilities
from streams.examples import ExampleStream
from tests.unit.models.examples.test_from_pages import page

MEDIA = 250
PAGES = REFERENCE // MEDIA


class Record(NamedTuple):
    offset: int
    timestamp: int
    value: bytes


class Nobody:
    async def send(self, messages: list[Any]) -> None:
        raise AssertionError("no page is due")


def served(seed: int, like: float) -> list[Record]:
    """As many predictions as make a reference, likes about this probable."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(PAGES):
        blank = page(f"{seed}-{number}", media=MEDIA)
        items = [
            msgspec.structs.replace(
                item, probabilities=Probabilities(float(p), 0.05, float(p) / 100)
            )
            for item, p in zip(
                blank.items, rng.beta(20 * like, 20 * (1 - like), MEDIA), strict=True
            )
        ]
        versions = {**blank.versions, "rankers": "seven"}
        logged = msgspec.structs.replace(blank, items=items, versions=versions)
        records.append(Record(number, 0, msgspec.json.encode(logged)))
    return records


@pytest.fixture
def take():
    topics = [IMPRESSIONS_TOPIC, EXAMPLES_TOPIC, *MEDIA_EVENT_TOPICS]
    cluster = ClusterInfo("log", dict.fromkeys(topics, 1))
    stream = ExampleStream(Settings(), cluster, Nobody())
    return lambda records: stream._take(TopicPartition(IMPRESSIONS_TOPIC, 0), records)


def test_a_drift_is_shown_and_told_of_once(take, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        for seed in range(3):
            take(served(seed, like=0.1))
        assert SCORE_DRIFT.labels("like")._value.get() < 0.05
        assert caplog.text == ""
        for seed in range(3, 8):
            take(served(seed, like=0.3))
    assert SCORE_DRIFT.labels("like")._value.get() > 0.2
    assert SCORE_DRIFT.labels("save")._value.get() < 0.05
    [alarm] = caplog.messages
    assert "predictions of rankers seven have drifted since they went live (like " in alarm
