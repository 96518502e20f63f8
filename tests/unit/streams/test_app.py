"""A role's start, while Kafka comes and goes, and on which event loop it runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiokafka.errors import KafkaConnectionError

from infra import kafka_waiting
from infra.config import Settings
from infra.kafka import ClusterInfo
from streams import app


async def test_a_start_that_kafka_leaves_closes_what_it_opened_and_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away: list[Exception] = [KafkaConnectionError("closed"), TimeoutError()]
    seen: list[str] = []
    work: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def role(_: Settings, cluster: ClusterInfo) -> AsyncIterator[asyncio.Future[None]]:
        seen.append(f"opened at {cluster.log_id}")
        try:
            if away:
                raise away.pop(0)
            yield work
        finally:
            seen.append("closed")

    async def prepared(_: Settings) -> ClusterInfo:
        return ClusterInfo(f"cluster {len(seen)}", {})

    monkeypatch.setattr(kafka_waiting, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(app, "_role", lambda name: role)
    monkeypatch.setattr(app, "prepare_cluster", prepared)
    async with AsyncExitStack() as stack:
        assert await app._started("worker", Settings(), stack) is work
        # The cluster is asked anew: another one may have come.
        expected = ["opened at cluster 0", "closed", "opened at cluster 2", "closed"]
        assert seen == [*expected, "opened at cluster 4"]
    assert seen[-1] == "closed"


def test_rankers_run_on_uvloop_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    uvloop = pytest.importorskip("uvloop")
    factory = app.loop_of("ranker")
    assert factory is uvloop.new_event_loop
    assert app.loop_of("worker") is None
    assert app.loop_of("learner") is None
    # Where it is not installed, Python's does.
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with asyncio.Runner(loop_factory=app.loop_of("ranker")) as runner:
        assert isinstance(runner.get_loop(), asyncio.BaseEventLoop)
