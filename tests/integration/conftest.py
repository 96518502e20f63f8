"""Real servers and workers: an ingest worker alone, or a whole stack with trained models."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from infra.config import Settings
from infra.embedded import embedded_kafka, embedded_redis, kafka_cluster_id
from infra.open_stores import open_stores
from infra.topics import DEAD_LETTERS_TOPIC
from models.viewers.decayed_counter import DecayedCounter
from models.viewers.state import ViewerState, counters
from streams.cli.inspect import inspect_stored_viewer
from streams.clock import now_ms
from streams.local import scenario
from streams.local.stack import Stack, role_argv, starting_stack
from streams.log.replay_files import unfolded, wait_folded
from tests.kafka.apache_kafka import ApacheKafka, apache_kafka_missing
from tests.kept import GROUPS, kept
from tests.paths import FIXTURES

TINY = FIXTURES / "tiny.jsonl"
PARTITIONS = 4
# A worker on a loaded machine joins its group and works off a backlog well within this.
DEADLINE_S = 60.0
BROKERS = ("embedded", "apache")


class Broker(NamedTuple):
    """A running broker and the settings that go with it.

    Attributes:
        name: one of `BROKERS`.
        apache: to be stopped, killed or paused; the embedded one loses its log with its process.
    """

    name: str
    settings: Settings
    apache: ApacheKafka | None = None


def pytest_report_collectionfinish(
    config: pytest.Config, items: Sequence[pytest.Item]
) -> str | None:
    """Say which brokers the tests use, having fetched what they need."""
    chosen = {item.callspec.params.get("broker") for item in items if hasattr(item, "callspec")}
    if "apache" not in chosen:
        return None
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    reason = apache_kafka_missing(terminal.write_line)
    return f"brokers: embedded only. {reason}" if reason else "brokers: embedded, Apache Kafka"


@pytest.fixture(scope="module", params=BROKERS)
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """A broker for the tests of a module, which run on one kind after the other."""
    if request.param == "embedded":
        with embedded_kafka() as address:
            settings = Settings(
                kafka_bootstrap_servers=address,
                partitions=PARTITIONS,
                # Joining a group takes as long as this, a member's return three times as long
                # from 4 s on.
                session_timeout_s=3.0,
                fetch_max_wait_ms=20,
            )
            yield Broker("embedded", settings)
        return
    if reason := apache_kafka_missing():
        pytest.skip(reason)
    with ApacheKafka(tmp_path_factory.mktemp("apache")) as kafka:
        settings = Settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers,
            partitions=PARTITIONS,
            session_timeout_s=4.0,
        )
        yield Broker("apache", settings, kafka)


class Pipeline:
    """Sends records, reads what became of them, and kills the worker when asked."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = KafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            max_request_size=settings.max_message_bytes,
        )
        self._ids = itertools.count()
        self._worker: subprocess.Popen[str] | None = None

    def start_worker(self, **env: str) -> None:
        settings = self.settings
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "streams.app", "worker"],
            env={
                **os.environ,
                "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
                "REDIS_URL": settings.redis_url,
                "PARTITIONS": str(settings.partitions),
                "SESSION_TIMEOUT_S": str(settings.session_timeout_s),
                "FETCH_MAX_WAIT_MS": str(settings.fetch_max_wait_ms),
                "PARKING_TTL_S": str(settings.parking_ttl_s),
                **env,
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._worker.stdout is not None
        assert self._worker.stdout.readline() == "ready\n"

    @property
    def worker_pid(self) -> int:
        assert self._worker is not None
        return self._worker.pid

    def stop_worker(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self._worker is not None
        self._worker.send_signal(how)
        with self._worker:
            return self._worker.wait(DEADLINE_S)

    def restart_worker(self, **env: str) -> None:
        assert self.stop_worker() == 0
        self.start_worker(**env)

    @contextmanager
    def waiting_briefly(self) -> Iterator[dict[str, str]]:
        """With a worker that soon gives up on unknown media; gives the environment it has."""
        env = {"PARKING_TTL_S": "1"}
        self.restart_worker(**env)
        try:
            yield env
        finally:
            self.restart_worker()

    def empty_redis(self) -> None:
        """Delete everything in Redis, below a running worker.

        The offsets in the state go with it: what is applied and not committed yet would be applied
        once more when a partition moves, to a state that knows nothing of it.
        """

        async def folded() -> None:
            await wait_folded(self.settings, await unfolded(self.settings))

        asyncio.run(folded())
        with redis.Redis.from_url(self.settings.redis_url) as client:
            client.flushdb()

    def worker_ended(self) -> int:
        """Wait for the worker to end by itself; returns its exit code."""
        assert self._worker is not None
        with self._worker:
            return self._worker.wait(DEADLINE_S)

    def send(self, topic: str, value: bytes | dict[str, Any] | None, key: str = "v") -> int:
        """Send one record; returns its offset."""
        data = value if isinstance(value, bytes | None) else json.dumps(value).encode()
        future = self.producer.send(topic, key=key.encode(), value=data)
        return int(future.get(DEADLINE_S).offset)

    def event(self, viewer: str, media: str, **fields: Any) -> dict[str, Any]:
        """A valid event, with the newest time and an id of its own."""
        number = next(self._ids)
        ts = time.time_ns() // 1_000_000
        event = {"event_id": f"e{number}", "viewer_id": viewer, "media_id": media, "ts": ts}
        return {**event, **fields}

    def new_viewer(self) -> str:
        return f"viewer-{next(self._ids)}"

    def state(self, viewer: str) -> ViewerState:
        async def read() -> ViewerState:
            async with open_stores(self.settings) as stores:
                [(_, state, *_)] = await stores.viewers.load([viewer])
            return state

        return asyncio.run(read())

    def counters(self, viewer: str) -> dict[str, dict[int, DecayedCounter]]:
        return counters(self.state(viewer), self.settings.half_life_ms)

    def liked(self, viewer: str) -> list[str]:
        return [entry.media_id for entry in self.state(viewer).strong.entries()]

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Wait for a condition to hold; returns its value."""
        deadline = time.monotonic() + DEADLINE_S
        while not (value := condition()):
            assert time.monotonic() < deadline, "the condition did not come to hold"
            time.sleep(0.02)
        return value

    def records(self, topic: str) -> list[Any]:
        """Everything in a topic now."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.settings.kafka_bootstrap_servers,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=20,
            max_partition_fetch_bytes=self.settings.max_message_bytes,
        )
        partitions = [TopicPartition(topic, p) for p in range(self.settings.partitions)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found = []
        while any(consumer.position(p) < ends[p] for p in partitions):
            for records in consumer.poll(timeout_ms=100).values():
                found.extend(records)
        consumer.close()
        return found

    def dead_letters(self) -> list[dict[str, Any]]:
        return [json.loads(record.value) for record in self.records(DEAD_LETTERS_TOPIC)]


@pytest.fixture(scope="module")
def pipeline(broker: Broker) -> Iterator[Pipeline]:
    """Servers and a worker, shared by the tests of a module."""
    with embedded_redis() as url:
        settings = broker.settings.model_copy(update={"redis_url": url})
        started = Pipeline(settings)
        started.start_worker()
        yield started
        started.producer.close()
        started.stop_worker()


class Explore(Pipeline):
    """A whole stack with trained models: events in, grids out of Redis and HTTP."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack.settings)
        self.stack = stack
        self.redis = redis.Redis.from_url(stack.endpoints.redis)
        self.http = httpx.Client(base_url=stack.endpoints.http, trust_env=False, timeout=30)

    def close(self) -> None:
        self.http.close()
        self.redis.close()
        self.producer.close()

    def wait(self, condition: Callable[[], Any]) -> Any:
        def alive() -> Any:
            self.stack.check()
            return condition()

        return super().wait(alive)

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get("/v1/status").raise_for_status().json()
        return answer

    def page(self, viewer: str, cursor: str | None = None) -> httpx.Response:
        """One page, as it was answered."""
        params = {} if cursor is None else {"cursor": cursor}
        return self.http.get(f"/v1/explore/{quote(viewer, safe='')}", params=params)

    def walk(self, viewer: str) -> list[list[dict[str, Any]]]:
        """The items of all pages of a new series, up to the last one that has any."""
        pages, cursor = [], None
        while True:
            answer = self.page(viewer, cursor).raise_for_status().json()
            if answer["items"]:
                pages.append(answer["items"])
            cursor = answer["next"]
            if cursor is None:
                return pages

    def reach(self, viewer: str) -> dict[str, dict[str, Any]]:
        """Every item the viewer can scroll to, by media."""
        return {item["media_id"]: item for page in self.walk(viewer) for item in page}

    def stored_grid(self, viewer: str) -> dict[str, Any] | None:
        """The ready grid, read as a client in another language would."""
        value: Any = self.redis.get(f"grid:{{{viewer}}}")
        return None if value is None else json.loads(value)

    def act(self, topic: str, event: dict[str, Any]) -> dict[str, Any]:
        """Send a viewer's event; returns the grid that reflects it."""
        self.send(topic, event, event["viewer_id"])

        def reflecting() -> dict[str, Any] | None:
            grid = self.stored_grid(event["viewer_id"])
            return grid if grid is not None and grid["reflects_ts"] >= event["ts"] else None

        grid: dict[str, Any] = self.wait(reflecting)
        return grid

    def known_viewer(self) -> str:
        """A new viewer who did something that changes no grid, and has a ready one."""
        viewer = self.new_viewer()
        follow = {"event_id": f"{viewer}-follows", "viewer_id": viewer, "author_id": "nobody",
                  "kind": "follow", "ts": now_ms()}  # fmt: skip
        self.act("events.follow", follow)
        return viewer

    def post(self, author: str, **fields: Any) -> str:
        """Put a new media of an author into the catalogue; returns its id."""
        media_id = f"media-{next(self._ids)}"
        media = {"media_id": media_id, "author_id": author, "created_ts": now_ms(), **fields}
        before = self.status()["media"]
        self.send("catalog.media", media, media_id)
        self.wait(lambda: self.status()["media"] > before)
        return media_id

    def env(self, **more: str) -> dict[str, str]:
        """The environment in which a command or another role finds the stack."""
        settings = self.settings
        names = (
            "kafka_bootstrap_servers", "redis_url", "artifacts_url", "http_host", "partitions",
            "session_timeout_s", "rebalance_timeout_s", "fetch_max_wait_ms",
        )  # fmt: skip
        given = {name.upper(): str(getattr(settings, name)) for name in names}
        return {**os.environ, **given, **more}

    def inspect(self, viewer: str) -> dict[str, Any]:
        """Everything stored about a viewer."""
        return asyncio.run(inspect_stored_viewer(self.settings, viewer))

    def inspect_command(self, viewer: str) -> dict[str, Any]:
        """The same, as ``freshgrid inspect viewer ID --json`` prints it."""
        command = [sys.executable, "-m", "streams.cli", "inspect", "viewer", viewer, "--json"]
        done = subprocess.run(command, env=self.env(), capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


@pytest.fixture(scope="module")
def argv_of() -> Callable[[str], tuple[str, ...]]:
    """The command line of each role of a stack."""
    return role_argv


@pytest.fixture(scope="module")
def explore(
    request: pytest.FixtureRequest, argv_of: Callable[[str], tuple[str, ...]]
) -> Iterator[Explore]:
    """A stack of a module's own, or of its group, trained on the tiny fixture, up to now."""
    if (module := request.node.nodeid) in GROUPS:
        yield kept(module, "stack", lambda: starting_explore(role_argv))
    else:
        with pytest.MonkeyPatch.context() as patch:
            # Seconds of a core, and no module that has a stack of its own looks at one.
            patch.setenv("ACCOUNT_MAP_EVERY_S", "0")
            with starting_explore(argv_of) as started:
                yield started


@contextmanager
def starting_explore(argv_of: Callable[[str], tuple[str, ...]]) -> Iterator[Explore]:
    """Such a stack, until left; then nothing of it is left."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "ARTIFACTS_URL", "HTTP_PORT"):
            patch.delenv(name, raising=False)
        # The fixture has 190 sessions: fitted once, and not again by what the tests add.
        patch.setenv("BOOTSTRAP_SESSIONS", "150")
        patch.setenv("BOOTSTRAP_POSITIVES", "5")
        patch.setattr(scenario, "FIXTURE", TINY)
        with starting_stack(Settings(), http_port=0, argv_of=argv_of) as stack:
            sent = scenario.replay_fixture(stack)
            stack.wait_ready()
            scenario.wait_trained(stack, sent)
            started = Explore(stack)
            # Grids made before the rankers were trained are being made again.
            started.wait(lambda: not started.status()["waiting_viewers"])
            yield started
            started.close()
            stack.check()
            endpoints = stack.endpoints
        host, port = endpoints.kafka.split(":")
        assert kafka_cluster_id(host, int(port)) is None
        assert not Path(endpoints.artifacts).exists()
