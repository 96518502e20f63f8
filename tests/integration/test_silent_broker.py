"""A broker that says nothing: who keeps a copy of its topics knows that it may be old."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from aiokafka.structs import ConsumerRecord

from infra.config import Settings
from infra.kafka import SILENT_S, Follower, prepare_cluster
from infra.topics import TOUCHED_TOPIC
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC
from tests.chaos.servers import Apache, Embedded
from tests.integration.conftest import BROKERS
from tests.kafka.apache_kafka import apache_kafka_missing


async def ignored(_: str, __: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
    """Take records."""


async def until(condition: Callable[[], bool], timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", BROKERS)
async def test_a_silent_broker_is_not_taken_for_one_that_has_nothing_new(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker: Apache | Embedded
    if name == "embedded":
        broker = Embedded()
    else:
        if reason := apache_kafka_missing():
            pytest.skip(reason)
        broker = Apache(tmp_path)
        broker.start()
    try:
        settings = Settings(kafka_bootstrap_servers=broker.servers, partitions=4)
        cluster = await prepare_cluster(settings)
        topics = [MEDIA_TOPIC, ACCOUNTS_TOPIC, TOUCHED_TOPIC]
        follower = Follower(settings, cluster.partitions, topics)
        following = asyncio.ensure_future(follower.run(ignored))
        await until(lambda: follower.up_to_date, 20)
        # While nothing is wrong it is heard of all the time.
        await asyncio.sleep(2 * SILENT_S)
        assert follower.up_to_date
        assert follower.silent_s < SILENT_S
        caplog.clear()
        broker.pause()
        await until(lambda: not follower.up_to_date, SILENT_S + 5)
        assert follower.caught_up
        assert follower.lag == 0
        await until(lambda: "Kafka has said nothing" in caplog.text, 5)
        broker.resume()
        await until(lambda: follower.up_to_date, 30)
        said = [r.getMessage() for r in caplog.records if r.name == "infra.kafka"]
        assert [text.partition(" of ")[0] for text in said] == [
            "Kafka has said nothing", "Kafka answers again: its topics are read on",
        ]  # fmt: skip
        assert all(r.levelno == logging.WARNING for r in caplog.records if r.name == "infra.kafka")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    finally:
        broker.close()
