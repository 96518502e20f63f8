"""What somebody new meets when something is wrong at the start: one sentence that says what."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.embedded import embedded_kafka, embedded_redis
from infra.supervisor import free_port
from streams.app import STOP_TIMEOUT_S
from streams.topology import ROLES
from tests.integration.conftest import DEADLINE_S
from tests.kafka.apache_kafka import ApacheKafka, apache_kafka_missing

ERROR = re.compile(r"^\S+ (ERROR|CRITICAL) ", re.MULTILINE)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """The environment that names servers which run."""
    with embedded_kafka() as kafka, embedded_redis() as redis:
        yield {
            "KAFKA_BOOTSTRAP_SERVERS": kafka, "REDIS_URL": redis, "PARTITIONS": "2",
            "SESSION_TIMEOUT_S": "3", "REBALANCE_TIMEOUT_S": "3", "FETCH_MAX_WAIT_MS": "20",
        }  # fmt: skip


def started(role: str, env: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    """A role, what it says going to files of the folder."""
    with (folder / f"{role}.out").open("w") as out, (folder / f"{role}.err").open("w") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "streams.app", role],
            env={**os.environ, "ARTIFACTS_URL": str(folder / "artifacts"), **env},
            stdout=out,
            stderr=said,
            text=True,
        )


def test_a_port_that_is_taken_is_one_sentence(servers: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ranker = started("ranker", {**servers, "HTTP_PORT": str(port)}, tmp_path)
        assert ranker.wait(DEADLINE_S) == 1
    [sentence] = (tmp_path / "ranker.err").read_text().splitlines()
    assert f"port {port} on 127.0.0.1 cannot be used" in sentence
    assert "HTTP_PORT" in sentence
    assert (tmp_path / "ranker.out").read_text() == ""


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("after_s", [0.5, 1.5])
def test_a_start_that_is_stopped_says_nothing(
    servers: dict[str, str], tmp_path: Path, role: str, after_s: float
) -> None:
    process = started(role, {**servers, "HTTP_PORT": str(free_port())}, tmp_path)
    # It listens to signals once it begins to connect.
    time.sleep(after_s)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) in (0, -signal.SIGTERM)
    assert (tmp_path / f"{role}.err").read_text() == ""


@pytest.mark.parametrize("role", ROLES)
def test_a_start_waits_for_kafka_says_so_and_goes_on(
    servers: dict[str, str], tmp_path: Path, role: str
) -> None:
    port = free_port()
    env = {
        **servers, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}", "HTTP_PORT": str(free_port()),
    }  # fmt: skip
    process = started(role, env, tmp_path)
    deadline = time.monotonic() + DEADLINE_S
    while "waiting for Kafka: " not in (said := (tmp_path / f"{role}.err").read_text()):
        assert process.poll() is None, said
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "check KAFKA_BOOTSTRAP_SERVERS" in said
    assert (tmp_path / f"{role}.out").read_text() == ""
    with embedded_kafka(port):
        while (tmp_path / f"{role}.out").read_text() != "ready\n":
            assert process.poll() is None, (tmp_path / f"{role}.err").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0


def test_a_start_without_kafka_obeys(servers: dict[str, str], tmp_path: Path) -> None:
    env = {**servers, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}
    process = started("worker", env, tmp_path)
    deadline = time.monotonic() + DEADLINE_S
    while "waiting for Kafka: " not in (tmp_path / "worker.err").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    # Later it ends itself, and not with 0.
    assert process.wait(2 * STOP_TIMEOUT_S) == 0


def test_nothing_normal_is_an_error_on_a_fresh_kafka(tmp_path: Path) -> None:
    if reason := apache_kafka_missing():
        pytest.skip(reason)
    with ApacheKafka(tmp_path / "kafka") as kafka, embedded_redis() as redis:
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "REDIS_URL": redis,
            "HTTP_PORT": str(free_port()), "PARTITIONS": "2",
        }  # fmt: skip
        roles = {role: started(role, env, tmp_path) for role in ROLES}
        deadline = time.monotonic() + DEADLINE_S
        while not all((tmp_path / f"{role}.out").read_text() == "ready\n" for role in ROLES):
            assert time.monotonic() < deadline, "not every role became ready"
            assert all(process.poll() is None for process in roles.values())
            time.sleep(0.1)
        for process in roles.values():
            process.send_signal(signal.SIGTERM)
        assert [process.wait(DEADLINE_S) for process in roles.values()] == [0, 0, 0]
    said = {role: (tmp_path / f"{role}.err").read_text() for role in ROLES}
    assert {role: text for role, text in said.items() if ERROR.search(text)} == {}
