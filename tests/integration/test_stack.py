"""The whole stack with real servers; stand-ins for the roles show what they are given."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from infra.config import Settings
from infra.embedded import embedded_redis, kafka_cluster_id
from infra.errors import ChildError, PortInUseError, UnreachableError
from infra.supervisor import free_port
from streams.local.stack import EMBEDDED_KAFKA, starting_stack
from streams.topology import ROLES
from tests.paths import ROOT

STAND_IN = Path(__file__).with_name("stand_in_role.py")


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "ARTIFACTS_URL", "HTTP_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def stand_in(folder: Path, behaviour: str = "") -> Callable[[str], tuple[str, ...]]:
    return lambda role: (sys.executable, str(STAND_IN), role, str(folder), behaviour)


def given(folder: Path, role: str) -> dict[str, str]:
    lines = (folder / role).read_text().splitlines()
    return {"pid": lines[0], **dict(line.split("=", 1) for line in lines[1:])}


def test_every_role_is_given_the_same_running_servers(tmp_path: Path) -> None:
    with starting_stack(Settings(), http_port=0, argv_of=stand_in(tmp_path)) as stack:
        stack.wait_ready()
        host, port = stack.endpoints.kafka.split(":")
        assert kafka_cluster_id(host, int(port)) is not None
        with redis.Redis.from_url(stack.endpoints.redis) as client:
            assert client.ping()
        for role in ROLES:
            env = given(tmp_path, role)
            assert env["KAFKA_BOOTSTRAP_SERVERS"] == stack.endpoints.kafka
            assert env["REDIS_URL"] == stack.endpoints.redis
            assert env["ARTIFACTS_URL"] == stack.endpoints.artifacts
            assert stack.endpoints.http.endswith(f":{env['HTTP_PORT']}")
            assert (env["PARTITIONS"], env["OMP_NUM_THREADS"]) == (
                str(EMBEDDED_KAFKA["partitions"]),
                "1",
            )
        assert stack.settings.redis_url == stack.endpoints.redis
        assert stack.settings.partitions == EMBEDDED_KAFKA["partitions"]
    for role in ROLES:
        with pytest.raises(ProcessLookupError):
            os.kill(int(given(tmp_path, role)["pid"]), 0)
    assert kafka_cluster_id(host, int(port)) is None


def test_servers_that_are_named_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded_redis() as url:
        monkeypatch.setenv("REDIS_URL", url)
        monkeypatch.setenv("ARTIFACTS_URL", "s3://bucket/freshgrid")
        settings = Settings()
        with starting_stack(settings, http_port=0, argv_of=stand_in(tmp_path)) as stack:
            stack.wait_ready()
            assert stack.endpoints.redis == url
            assert given(tmp_path, "worker")["REDIS_URL"] == url
            assert stack.endpoints.artifacts == "s3://bucket/freshgrid"
        with redis.Redis.from_url(url) as client:
            assert client.ping()


def test_a_named_server_out_of_reach_is_one_sentence(tmp_path: Path) -> None:
    nobody = f"redis://user:secret@127.0.0.1:{free_port()}/0"
    starting = starting_stack(Settings(redis_url=nobody), http_port=0, argv_of=stand_in(tmp_path))
    with pytest.raises(UnreachableError, match="REDIS_URL") as caught, starting:
        pytest.fail("started without Redis")
    assert "secret" not in str(caught.value)


def test_a_role_that_dies_ends_everything(tmp_path: Path) -> None:
    starting = starting_stack(Settings(), http_port=0, argv_of=stand_in(tmp_path, "learner fails"))
    failed = pytest.raises(ChildError, match=r"^learner ended with exit code 1: learner cannot")
    with failed, starting as stack:
        host, port = stack.endpoints.kafka.split(":")
        stack.wait()
    assert kafka_cluster_id(host, int(port)) is None


def test_a_taken_http_port_stops_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        starting = starting_stack(Settings(), http_port=port, argv_of=stand_in(tmp_path))
        with pytest.raises(PortInUseError, match=f"port {port} .*HTTP_PORT or --port"), starting:
            pytest.fail("started on a taken port")
    assert not list(tmp_path.iterdir())


UP = """
import sys
from functools import partial
import streams.local.stack
from streams.cli import app
folder, script = sys.argv[1], sys.argv[2]
roles = lambda role: (sys.executable, script, role, folder, "")
streams.local.stack.starting_stack = partial(streams.local.stack.starting_stack, argv_of=roles)
app(["up", "--port", "0"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_prints_one_line_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", UP, str(tmp_path), str(STAND_IN)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        # What it does is said while it does it, and not among what a script reads.
        assert program.stderr.readline().startswith("freshgrid up: Kafka at 127.0.0.1:")
        for role in ("worker", "ranker", "learner"):
            assert program.stderr.readline() == f"freshgrid up: starting the {role}\n"
        endpoints = json.loads(program.stdout.readline())
        assert endpoints.keys() == {"kafka", "redis", "http", "artifacts"}
        host, port = endpoints["kafka"].split(":")
        assert kafka_cluster_id(host, int(port)) is not None
        program.send_signal(number)
        assert program.stdout.read() == ""
        assert program.wait(60) == 0
    assert kafka_cluster_id(host, int(port)) is None
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
