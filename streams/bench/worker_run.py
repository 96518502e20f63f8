"""One worker process against a log that is complete before it starts."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec
from aiokafka import TopicPartition

from infra.errors import FreshgridError
from infra.kafka import Ends
from infra.kafka_clients import kafka_consumer
from infra.topics import TOUCHED_TOPIC
from streams.bench.processes import cpu_seconds, peak_rss_mb
from streams.bench.servers import BenchServers
from streams.topology import WORKER_GROUP

#: One small request each: what the measuring costs stays below one percent of a core.
POLL_S: Final = 0.05
#: A worker folds thousands of events per second; one that needs this long hangs.
TIMEOUT_S: Final = 1800.0


class NotFoldedInTimeError(FreshgridError):
    """The worker did not get through the events of a benchmark."""


class WorkerRun(msgspec.Struct):
    """What one worker did with a number of events.

    Attributes:
        seconds: from the worker's ``ready``, when it has its partitions and begins to fetch, until
            the committed offsets of all partitions stood at their ends. So it holds everything
            that makes events safe, up to the wait for the last commit: offsets are committed once
            a second, and nothing is subtracted for that.
        max_rss_mb: the most memory the worker had resident since it was started.
        worker_cpu_s, redis_cpu_s, broker_cpu_s: processor time within `seconds`; None where it
            cannot be told.
    """

    events: int
    seconds: float
    events_per_s: float
    max_rss_mb: float | None
    worker_cpu_s: float | None
    redis_cpu_s: float | None
    broker_cpu_s: float | None


def run_worker(servers: BenchServers, events: int, ends: Ends, *, drain: bool = False) -> WorkerRun:
    """Start a worker, time it until it has committed `ends`, and stop it.

    Args:
        drain: let it go through what it sent to itself before it is stopped, so that the next
            worker does not find that. Not timed.
    """
    pid = servers.start_worker()
    try:
        servers.wait_ready()
        started, before = time.monotonic(), _used(servers, pid)
        asyncio.run(wait_committed(servers, WORKER_GROUP, ends))
        seconds, after = time.monotonic() - started, _used(servers, pid)
        used = map(_difference, before, after)
        rss_mb = peak_rss_mb(pid)
        if drain:
            asyncio.run(wait_committed(servers, WORKER_GROUP, servers.ends(TOUCHED_TOPIC)))
        return WorkerRun(
            events,
            round(seconds, 2),
            round(events / seconds),
            rss_mb,
            *used,
        )
    finally:
        servers.stop_last()


async def wait_committed(servers: BenchServers, group: str, ends: Ends) -> None:
    """Wait until a group has committed all of `ends`.

    Partition after partition, so that a look costs one request: when the last one is there, all
    of them are.

    Raises:
        NotFoldedInTimeError: it does not get there.
        ChildError: a process of the benchmark died.
    """
    deadline = time.monotonic() + TIMEOUT_S
    # Assigned by hand, so that asking does not join the group.
    consumer = kafka_consumer(servers.settings, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        places = {TopicPartition(*place): end for place, end in ends.items()}
        consumer.assign(list(places))
        for place, end in places.items():
            while (await consumer.committed(place) or 0) < end:
                servers.check()
                if time.monotonic() > deadline:
                    raise NotFoldedInTimeError(
                        f"{group} has not committed offset {end} of {place.topic} partition "
                        f"{place.partition} within {TIMEOUT_S:g} s; is the machine busy?"
                    )
                await asyncio.sleep(POLL_S)
    finally:
        await consumer.stop()


def _used(servers: BenchServers, worker_pid: int) -> tuple[float | None, ...]:
    return cpu_seconds(worker_pid), servers.redis_cpu_s(), servers.broker_cpu_s()


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else round(after - before, 2)
