"""A simulated world goes to Kafka at the rate that was asked for."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from infra.kafka import prepare_cluster
from models.events import HOUR_MS
from models.simulation.config import SimulationConfig
from models.simulation.world import SimulatedWorld
from streams.simulated.feed import records, send


async def test_records_arrive_at_the_rate_and_none_is_lost(broker):
    config = SimulationConfig(
        viewers=10, accounts=10, days=1, backlog_days=2.0, sessions_per_day=1.0, slot_ms=HOUR_MS,
        spam=None,
    )  # fmt: skip
    messages = list(records(SimulatedWorld.of(config), 10))
    told: list[int] = []
    started = time.monotonic()
    ends = await send(broker.settings, iter(messages), 400.0, told.append)
    assert time.monotonic() - started >= len(messages) / 400.0 - 0.1
    assert sum(ends.values()) == len(messages)
    assert told[-1] == len(messages)
    # No more was sent at once than had come due.
    assert max(b - a for a, b in pairwise(told)) < len(messages)


@pytest.fixture(scope="module", autouse=True)
def topics(broker):
    asyncio.run(prepare_cluster(broker.settings))
