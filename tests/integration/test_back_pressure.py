"""Redis stops answering: the worker waits, holds little, and goes on where it was."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

from infra.batch_sender import send_in_batches
from infra.embedded import redis_process_id
from infra.memory_store import MemoryStore
from infra.supervisor import free_port
from streams.bench.population import Population
from streams.bench.verification import fold_offline
from streams.log.replay import state_hash
from streams.log.replay_files import stored_hash
from tests.integration.test_metrics import scrape

EVENTS = 100_000
#: What the events take as Python objects is several times this.
ROOM_MB = 80


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_a_worker_waits_for_redis_holding_little_and_loses_nothing(pipeline):
    port = free_port()
    assert pipeline.stop_worker() == 0
    pipeline.start_worker(METRICS_PORT=str(port))
    population = Population()
    messages = list(population.stream(population.viewers_for(EVENTS), EVENTS))
    expected = MemoryStore(pipeline.settings)
    asyncio.run(fold_offline(expected, messages, pipeline.settings))
    # Warm: what any work takes is not what waiting takes.
    asyncio.run(send_in_batches(pipeline.settings, messages[:5000]))
    pipeline.wait(lambda: sum_of(port, "freshgrid_events_total") >= 5000)

    redis = urlsplit(pipeline.settings.redis_url)
    redis_pid = redis_process_id(redis.hostname, redis.port)
    before_mb = resident_mb(pipeline.worker_pid)
    os.kill(redis_pid, signal.SIGSTOP)
    try:
        ends = asyncio.run(send_in_batches(pipeline.settings, messages))
        # It has waited for an answer, given up the connection and tried another one.
        pipeline.wait(lambda: scrape(port)["freshgrid_redis_failures_total"] >= 2)
        assert sum_of(port, "freshgrid_lag_records") > 10_000
        assert sum_of(port, "freshgrid_events_total") < EVENTS
        assert resident_mb(pipeline.worker_pid) - before_mb < ROOM_MB
    finally:
        os.kill(redis_pid, signal.SIGCONT)
    assert asyncio.run(stored_hash(pipeline.settings, ends)) == asyncio.run(state_hash(expected))
    assert resident_mb(pipeline.worker_pid) - before_mb < ROOM_MB


def sum_of(port: int, metric: str) -> float:
    return sum(value for name, value in scrape(port).items() if name.startswith(metric))
