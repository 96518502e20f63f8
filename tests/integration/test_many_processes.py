"""Three workers, three rankers and two processes that only answer, of one log and one Redis."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
import msgspec
import pytest

from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.embedded import embedded_redis
from infra.kafka import Message, prepare_cluster
from infra.supervisor import ChildSpec, Supervisor, free_port
from infra.threads import ONE_THREAD
from models.events import MEDIA_TOPIC
from streams.local.stack import role_argv
from streams.topology import RANKER, WORKER
from tests.integration.conftest import Pipeline
from tests.kafka.apache_kafka import ApacheKafka, apache_kafka_missing

WORKERS: Final = ("worker-1", "worker-2", "worker-3")
RANKERS: Final = ("ranker-1", "ranker-2", "ranker-3")
ANSWERING: Final = ("api-1", "api-2")
VIEWERS: Final = tuple(f"viewer-{number}" for number in range(12))


class Processes(Pipeline):
    """All of them, by name; every one of them may be killed.

    Attributes:
        ports: of the HTTP APIs that live.
    """

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        super().__init__(settings)
        self.supervisor = supervisor
        self.ports = {name: free_port() for name in (*RANKERS, *ANSWERING)}
        self._http = httpx.Client(trust_env=False, timeout=30)

    def start(self) -> None:
        settings = self.settings
        names = (
            "kafka_bootstrap_servers", "redis_url", "artifacts_url", "partitions",
            "session_timeout_s", "rebalance_timeout_s",
        )  # fmt: skip
        env = {name.upper(): str(getattr(settings, name)) for name in names}
        more: dict[str, Mapping[str, str]] = {
            **{name: {} for name in WORKERS},
            **{name: {"HTTP_PORT": str(port)} for name, port in self.ports.items()},
        }
        self.supervisor.start(
            *(
                ChildSpec(
                    name=name,
                    argv=role_argv(WORKER if name in WORKERS else RANKER),
                    env={**env, **of, "RANK_TOUCHED": str(name not in ANSWERING)},
                    default_env=ONE_THREAD,
                )
                for name, of in more.items()
            )
        )
        self.supervisor.wait_ready()

    def kill(self, *names: str) -> None:
        for name in names:
            pid = self.supervisor.pid(name)
            assert pid is not None
            os.killpg(pid, signal.SIGKILL)
            self.ports.pop(name, None)

    def grids(self, viewer: str) -> dict[str, Any]:
        """What each process that answers shows of a viewer."""
        return {
            name: self._http.get(f"http://127.0.0.1:{port}/v1/explore/{viewer}")
            .raise_for_status()
            .json()["items"]
            for name, port in self.ports.items()
        }

    def like(self, media: int) -> None:
        """Every viewer likes a media."""
        events = [self.event(viewer, f"m{media}") for viewer in VIEWERS]
        messages = [
            Message("events.like", event["viewer_id"], msgspec.json.encode(event))
            for event in events
        ]
        asyncio.run(send_in_batches(self.settings, messages))

    def close(self) -> None:
        self._http.close()
        self.producer.close()


def media(number: int) -> Message:
    value = {"media_id": f"m{number}", "author_id": f"a{number % 9}", "created_ts": number + 1}
    return Message(MEDIA_TOPIC, f"m{number}", msgspec.json.encode(value))


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    if reason := apache_kafka_missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("many")
    with (
        ApacheKafka(folder / "kafka") as kafka,
        embedded_redis() as url,
        Supervisor() as supervisor,
    ):
        settings = Settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers, redis_url=url,
            artifacts_url=str(folder / "artifacts"), partitions=6, session_timeout_s=3.0,
            rebalance_timeout_s=5.0,
        )  # fmt: skip
        asyncio.run(prepare_cluster(settings))
        asyncio.run(send_in_batches(settings, map(media, range(120))))
        started = Processes(settings, supervisor)
        started.start()
        yield started
        started.close()


def test_every_process_shows_one_grid_and_nothing_is_lost_with_one_of_each(processes):
    processes.like(1)
    processes.wait(lambda: all(processes.liked(viewer) == ["m1"] for viewer in VIEWERS))
    for viewer in VIEWERS:
        processes.wait(lambda viewer=viewer: _agreed(processes.grids(viewer)))
    # Killed with what they have fetched and not committed, ranked and not stored.
    for number in range(2, 12):
        processes.like(number)
        if number == 5:
            processes.kill("worker-2", "ranker-1", "api-2")
    expected = [f"m{number}" for number in range(1, 12)]
    processes.wait(lambda: all(processes.liked(viewer) == expected for viewer in VIEWERS))
    for viewer in VIEWERS:
        counted = processes.counters(viewer).values()
        assert sum(one.count for of in counted for one in of.values()) == len(expected)
        shown = processes.wait(lambda viewer=viewer: _agreed(processes.grids(viewer)))
        assert len(processes.ports) == 3
        assert not {item["media_id"] for item in shown} & set(expected)
    assert processes.dead_letters() == []


def _agreed(shown: dict[str, Any]) -> Any:
    """What all of them show, None where they differ."""
    [first, *others] = shown.values()
    return first if all(other == first for other in others) else None
