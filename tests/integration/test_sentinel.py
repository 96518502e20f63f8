"""Redis behind Sentinel: the primary is killed under load, and nothing is lost or counts twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest
import redis

from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.embedded import HOST, embedded_kafka, redis_binary, redis_process_id
from infra.errors import SettingsError
from infra.kafka import Message
from infra.open_stores import store_hello
from infra.redis_bulk import NotNowError, connect, exchange
from infra.redis_clients import blocking_redis
from infra.redis_sentinel import close_client, parse_sentinel
from infra.supervisor import ChildSpec, Supervisor, free_port
from tests.integration.conftest import Pipeline

SERVICE: Final = "grids"
SERVERS: Final = 3
VIEWERS: Final = tuple(f"viewer-{number}" for number in range(20))


class Servers:
    """A primary and two replicas, and three sentinels that look after them."""

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        self._supervisor, self._folder = supervisor, folder
        self.ports = [free_port() for _ in range(SERVERS)]
        self.sentinels = [free_port() for _ in range(SERVERS)]
        hosts = ",".join(f"{HOST}:{port}" for port in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/{SERVICE}/0"

    def start(self) -> None:
        first = self.ports[0]
        quiet = ("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0")
        self._start("redis", self.ports, lambda port: (
            *quiet, *(("--replicaof", f"{HOST} {first}") if port != first else ()),
        ))  # fmt: skip
        for port in self.sentinels:
            # They write into it what they find.
            (self._folder / f"{port}.conf").write_text(
                f"sentinel monitor {SERVICE} {HOST} {first} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} 500\n"
                f"sentinel failover-timeout {SERVICE} 3000\n"
            )
        self._start("sentinel", self.sentinels, lambda _: ("--sentinel",))

    def _start(self, name, ports, options) -> None:
        def spec(port: int) -> ChildSpec:
            config = self._folder / f"{port}.conf"
            given = (str(config),) if config.exists() else ()
            return ChildSpec(
                name=f"{name}-{port}",
                argv=(
                    redis_binary(), *given, "--port", str(port), "--bind", HOST,
                    "--dir", str(self._folder), *options(port),
                ),
                probe=lambda pid: redis_process_id(HOST, port) == pid,
            )  # fmt: skip

        self._supervisor.start(*map(spec, ports))
        self._supervisor.wait_ready()

    def complete(self) -> bool:
        """Whether every sentinel knows the others and both replicas."""
        for port in self.sentinels:
            with redis.Redis(host=HOST, port=port) as client:
                told = client.sentinel_masters()[SERVICE]
            if told["num-slaves"] != SERVERS - 1 or told["num-other-sentinels"] != SERVERS - 1:
                return False
        return True

    def primary(self) -> int:
        with redis.Redis(host=HOST, port=self.sentinels[0]) as client:
            return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])

    def kill(self, port: int) -> None:
        pid = self._supervisor.pid(f"redis-{port}")
        assert pid is not None
        os.killpg(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Supervisor() as supervisor:
        started = Servers(supervisor, tmp_path_factory.mktemp("sentinel"))
        started.start()
        yield started


@pytest.fixture(scope="module")
def pipeline(servers: Servers) -> Iterator[Pipeline]:
    with embedded_kafka() as kafka:
        settings = Settings(
            kafka_bootstrap_servers=kafka, redis_url=servers.url, redis_wait_replicas=1,
            partitions=2, session_timeout_s=3.0, fetch_max_wait_ms=20,
        )  # fmt: skip
        started = Pipeline(settings)
        started.wait(servers.complete)
        started.start_worker(REDIS_WAIT_REPLICAS="1")
        yield started
        started.producer.close()
        started.stop_worker()


def test_a_failover_under_load_loses_nothing_and_counts_nothing_twice(
    servers: Servers, pipeline: Pipeline
) -> None:
    settings, lost = pipeline.settings, servers.primary()
    assert f"{HOST}:{lost}" in store_hello(settings, 5.0)
    media = [f"m{number}" for number in range(60)]
    for number, media_id in enumerate(media):
        events = [pipeline.event(viewer, media_id, author_id="a") for viewer in VIEWERS]
        messages = [
            Message("events.like", event["viewer_id"], msgspec.json.encode(event))
            for event in events
        ]
        asyncio.run(send_in_batches(settings, messages))
        if number == len(media) // 4:
            # The last to have been applied, and some that are being applied now.
            servers.kill(lost)
    pipeline.wait(lambda: all(sorted(pipeline.liked(v)) == sorted(media) for v in VIEWERS))
    for viewer in VIEWERS:
        [counted] = pipeline.counters(viewer)["a"].values()
        assert counted.count == len(media)
    assert servers.primary() != lost
    with blocking_redis(settings) as client:
        assert client.info("replication")["role"] == "master"
    assert pipeline.dead_letters() == []


async def test_a_write_that_replicas_lack_does_not_count(servers: Servers) -> None:
    client = connect(Settings(redis_url=servers.url))
    try:
        assert await exchange(client, [("SET", "some", 1), ("GET", "some")], 1) == [b"OK", b"1"]
        with pytest.raises(NotNowError, match=r"NOREPLICAS [12] of 3 replicas have the write"):
            await exchange(client, [("SET", "some", 2)], SERVERS)
        # What only reads waits for nobody.
        assert await exchange(client, [("GET", "some")], SERVERS) == [b"2"]
    finally:
        await close_client(client)


def test_a_url_says_who_is_asked_for_what() -> None:
    found = parse_sentinel("rediss+sentinel://me:p%40ss@one:1,two/grids/3")
    assert found.sentinels == (("one", 1), ("two", 26379))
    assert (found.service, found.tls) == ("grids", True)
    assert found.options == {"username": "me", "password": "p@ss", "db": 3}
    for wrong in ("redis+sentinel://host:1", "redis+sentinel:///grids", "redis+sentinel://h:x/g"):
        with pytest.raises(SettingsError, match=r"redis\+sentinel://USER:PASSWORD@HOST"):
            blocking_redis(Settings(redis_url=wrong))
