"""Servers and processes of a benchmark, and what they used.

Kafka and Redis are those that the settings name, embedded ones otherwise. A benchmark fills and
empties them, so servers that are named must hold nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from aiokafka import TopicPartition
from redis import Redis

from infra.config import Settings
from infra.errors import FreshgridError
from infra.kafka import ClusterInfo, Ends, prepare_cluster
from infra.kafka_clients import kafka_consumer
from infra.open_stores import open_stores
from infra.redis_clients import blocking_redis
from infra.supervisor import ChildSpec, Supervisor
from infra.threads import ONE_THREAD
from models.actions import EVENT_TOPICS
from streams.bench.processes import cpu_seconds
from streams.local.stack import EMBEDDED_KAFKA, role_argv, start_servers

#: As many as the default setting gives a topic on a broker of one's own.
PARTITIONS: Final = 8


class NotEmptyError(FreshgridError):
    """A server that the settings name holds something."""


class BenchServers:
    """Kafka and Redis that belong to one benchmark.

    Attributes:
        settings: pointing at them.
        cluster: topics are there.
        redis: connected to Redis.
        run_dir: a folder that ends with the servers.
    """

    def __init__(self, settings: Settings, cluster: ClusterInfo, supervisor: Supervisor) -> None:
        self.settings = settings
        self.cluster = cluster
        self.redis = blocking_redis(settings)
        self._supervisor = supervisor
        self.run_dir = supervisor.run_dir

    def start(self, name: str, *argv: str) -> int:
        """Start a process that finds the servers in its environment; returns its process id.

        It counts as ready when it prints ``ready``.
        """
        names = ("kafka_bootstrap_servers", "redis_url", *EMBEDDED_KAFKA)
        env = {name.upper(): str(getattr(self.settings, name)) for name in names}
        self._supervisor.start(ChildSpec(name=name, argv=argv, env=env, default_env=ONE_THREAD))
        pid = self._supervisor.pid(name)
        assert pid is not None
        return pid

    def start_worker(self) -> int:
        """Start one ingest worker, as it runs in production."""
        return self.start("worker", *role_argv("worker"))

    def wait_ready(self) -> None:
        """Block until everything started is ready; raises ChildError if any of it dies."""
        self._supervisor.wait_ready()

    def check(self) -> None:
        """Raise ChildError if anything started is dead."""
        self._supervisor.check()

    def stop_last(self) -> None:
        """End the process started last."""
        self._supervisor.stop_last()

    def broker_cpu_s(self) -> float | None:
        """Processor time of the embedded broker; None for a broker elsewhere."""
        pid = self._supervisor.pid("kafka")
        return None if pid is None else cpu_seconds(pid)

    def redis_cpu_s(self) -> float:
        """Processor time of Redis, wherever it runs."""
        info: Any = self.redis.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def ends(self, *topics: str) -> Ends:
        """Where topics end, as the broker tells; the embedded one names slightly less."""
        return asyncio.run(_ends(self.settings, self.cluster, topics))

    def empty_redis(self) -> None:
        """Forget all keys; functions stay."""
        self.redis.flushdb()


def redis_version(redis: Redis) -> str:
    """Name and version of the server."""
    info: Any = redis.info("server")
    name = "Valkey" if "valkey_version" in info else "Redis"
    return f"{name} {info[f'{name.lower()}_version']}"


@contextmanager
def bench_servers(settings: Settings) -> Iterator[BenchServers]:
    """Servers for one benchmark; embedded ones end with the context.

    Raises:
        NotEmptyError: a server that the settings name holds keys or events.
        FreshgridError: a server is out of reach or cannot be started.
    """
    with Supervisor() as supervisor:
        profile = EMBEDDED_KAFKA | {"partitions": PARTITIONS}
        ours = start_servers(settings, supervisor, profile)
        settings = settings.model_copy(update=ours)
        cluster = asyncio.run(_prepare(settings))
        servers = BenchServers(settings, cluster, supervisor)
        try:
            yield servers
        finally:
            servers.redis.close()


async def _prepare(settings: Settings) -> ClusterInfo:
    with blocking_redis(settings) as redis:
        if keys := redis.dbsize():
            raise NotEmptyError(
                f"Redis holds {keys} keys, and a benchmark empties it; name a server for the "
                "benchmark alone in REDIS_URL, or unset it for an embedded one"
            )
    async with open_stores(settings) as stores:
        await stores.viewers.start()
    cluster = await prepare_cluster(settings)
    ends = await _ends(settings, cluster, EVENT_TOPICS)
    if events := sum(ends.values()):
        raise NotEmptyError(
            f"the event topics of Kafka hold {events} records that would be measured, too; name "
            "an empty cluster in KAFKA_BOOTSTRAP_SERVERS, or unset it for an embedded one"
        )
    return cluster


async def _ends(settings: Settings, cluster: ClusterInfo, topics: Sequence[str]) -> Ends:
    consumer = kafka_consumer(settings)
    await consumer.start()
    try:
        places = [TopicPartition(t, p) for t in topics for p in range(cluster.partitions[t])]
        ends = await consumer.end_offsets(places)
        return {(place.topic, place.partition): end for place, end in ends.items()}
    finally:
        await consumer.stop()
