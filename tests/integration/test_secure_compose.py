"""The files of the secure compose project, run by Apache Kafka and Valkey without Docker."""

from __future__ import annotations

import json
import os
import re
import shlex
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import redis

from infra.config import Settings
from infra.doctor import kafka_hello
from infra.embedded import HOST, redis_binary
from infra.errors import UnreachableError
from infra.kafka_clients import plain_producer
from infra.kafka_rights import allow
from infra.open_stores import store_hello
from infra.supervisor import ChildSpec, Supervisor, free_port
from streams.access_lists import kafka_rights
from streams.clock import now_ms
from streams.local.stack import role_argv, starting_stack
from streams.topology import COMMAND, LEARNER, OUTSIDE, RANKER, WORKER
from tests.certificates import Issued
from tests.compose import SECRETS, SECURE, Compose, make_secrets
from tests.kafka.apache_kafka import ApacheKafka, apache_kafka_missing, java_of, lasting_port
from tests.tls_proxy import tls_proxy

pytest.importorskip("yaml", reason="needs PyYAML")

#: Of the containers; the stack gives its own.
ELSEWHERE = ("HTTP_HOST", "HTTP_PORT", "METRICS_HOST", "METRICS_PORT")


class Project(NamedTuple):
    """Servers that run by the files of the project.

    Attributes:
        folder: what the script made.
        secrets: the same by the names that containers see.
    """

    compose: Compose
    folder: Path
    secrets: Path
    kafka: ApacheKafka
    redis_tls_port: int

    def environment(self, service: str) -> dict[str, str]:
        """What a service's container is given, for a process of this machine."""
        told = {
            name: str(value)
            .replace("kafka:19092", self.kafka.secured["INTERNAL"])
            .replace("redis:6379", f"{HOST}:{self.redis_tls_port}")
            .replace(SECRETS, f"{self.secrets}/")
            .replace("/artifacts", str(self.folder / "artifacts"))
            for name, value in self.compose.service(service)["environment"].items()
            if name not in ELSEWHERE
        }
        if "API_KEY" in told:
            told["API_KEY"] = (self.folder / "api_key").read_text().strip()
        return told

    def settings(self, identity: str) -> Settings:
        """Of a client that is no service: from outside, with the password that the script made."""
        password = (self.folder / f"{identity}_password").read_text().strip()
        given: dict[str, Any] = {
            "kafka_bootstrap_servers": self.kafka.secured["HOST"],
            "kafka_security_protocol": "SASL_SSL",
            "kafka_ca_file": str(self.folder / "ca.pem"),
            "kafka_username": identity,
            "kafka_password": password,
            "redis_url": f"rediss://{HOST}:{self.redis_tls_port}/0",
            "redis_ca_file": str(self.folder / "ca.pem"),
            "redis_username": identity,
            "redis_password": password,
        }
        return Settings(**given)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    if reason := apache_kafka_missing():
        pytest.skip(reason)
    compose = Compose.read()
    folder = tmp_path_factory.mktemp("made") / "secrets"
    make_secrets(folder)
    seen = tmp_path_factory.mktemp("run")
    for name, file in compose.secret_files(folder).items():
        (seen / name).symlink_to(file)
    shown = Issued(*(seen / name for name in ("redis_certificate", "redis_key", "ca")))
    with (
        started_kafka(tmp_path_factory.mktemp("kafka"), seen) as kafka,
        Supervisor() as supervisor,
        tls_proxy(started_valkey(supervisor, seen, folder), shown) as tls_port,
    ):
        yield Project(compose, folder, seen, kafka, tls_port)


def started_kafka(folder: Path, secrets: Path) -> ApacheKafka:
    """The broker on a log that the container's own script formatted."""
    config, programs = folder / "server.properties", folder / "bin"
    told = (SECURE / "kafka.properties").read_text()
    for port in ("19092", "9092", "9093", "9094"):
        told = re.sub(rf":{port}\b", f":{lasting_port()}", told)
    told = told.replace("://:", f"://{HOST}:").replace("localhost", HOST)
    told = told.replace("//kafka:", f"//{HOST}:").replace(SECRETS, f"{secrets}/")
    # Both names of a listener have one port.
    listeners, advertised = (
        dict(one.split("://") for one in re.findall(rf"^{name}=(.*)$", told, re.M)[0].split(","))
        for name in ("listeners", "advertised.listeners")
    )
    assert {name: listeners[name] for name in advertised} == advertised
    config.write_text(told.replace("/var/lib/kafka/data", str(folder / "data")))
    programs.mkdir()
    tool = programs / "kafka-storage.sh"
    tool.write_text(f'#!/bin/sh\nexec {shlex.join(java_of("kafka.tools.StorageTool"))} "$@"\n')
    (programs / "kafka-server-start.sh").write_text('#!/bin/sh\necho "starts by $1"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    script = (SECURE / "start_kafka.sh").read_text()
    for there, here in (
        ("/etc/freshgrid/kafka.properties", config), ("/var/lib/kafka", folder),
        ("/opt/kafka/bin", programs), ("/run/secrets", secrets),
    ):  # fmt: skip
        script = script.replace(there, str(here))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == [f"starts by {config}"], done.stderr
    return ApacheKafka(folder)


def started_valkey(supervisor: Supervisor, secrets: Path, folder: Path) -> int:
    """The server by its file, but for TLS, which the wheel's does not speak; returns its port."""
    port = free_port()
    told = (SECURE / "valkey.conf").read_text().replace(SECRETS, f"{secrets}/")
    lines = [line for line in told.splitlines() if not line.startswith(("port", "tls-", "dir"))]
    config, data = supervisor.run_dir / "valkey.conf", supervisor.run_dir
    config.write_text("\n".join([*lines, f"port {port}", f"bind {HOST}", f"dir {data}", ""]))
    password = (folder / "command_password").read_text().strip()

    def answers(_: int) -> bool:
        with redis.Redis(port=port, username=COMMAND, password=password) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    supervisor.start(ChildSpec(name="valkey", argv=(redis_binary(), str(config)), probe=answers))
    supervisor.wait_ready("valkey")
    return port


def send(settings: Settings, *records: tuple[str, str, dict[str, Any]]) -> None:
    """Send (topic, key, value) as this client."""
    producer = plain_producer(settings)
    for topic, key, value in records:
        producer.send(topic, json.dumps(value).encode(), key.encode())
    producer.flush(30)
    producer.close()


def test_an_event_goes_the_whole_way_by_the_files_of_the_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    [command] = project.compose.service("rights")["command"]
    command = command.replace("freshgrid", f"{sys.executable} -m streams.cli")
    given = os.environ | project.environment("rights")
    subprocess.run(["sh", "-c", command], env=given, check=True, capture_output=True)

    def argv_of(role: str) -> tuple[str, ...]:
        if role == LEARNER:
            idle = "import signal; print('ready', flush=True); signal.pause()"
            return (sys.executable, "-c", idle)
        env = project.environment(role)
        return ("env", *(f"{name}={value}" for name, value in env.items()), *role_argv(role))

    for name, value in project.environment(COMMAND).items():
        monkeypatch.setenv(name, value)
    ranker = project.environment(RANKER)
    ours = Settings(
        http_certificate_file=ranker["HTTP_CERTIFICATE_FILE"],
        http_key_file=ranker["HTTP_KEY_FILE"],
    )
    with starting_stack(ours, http_port=0, argv_of=argv_of) as stack:
        now = now_ms()
        media = [(f"m{n}", f"a{n}") for n in range(5)]
        send(
            project.settings(OUTSIDE),
            *(
                ("catalog.media", of, {"media_id": of, "author_id": by, "created_ts": now})
                for of, by in media
            ),
            (
                "events.like",
                "ann",
                {"event_id": "e", "viewer_id": "ann", "media_id": "m1", "ts": now},
            ),
        )
        stack.wait_ready()
        trusted = ssl.create_default_context(cafile=str(project.folder / "ca.pem"))
        key = {"Authorization": f"Bearer {ranker['API_KEY']}"}
        with httpx.Client(
            base_url=stack.endpoints.http, verify=trusted, trust_env=False, timeout=30
        ) as http:
            assert http.get("/v1/explore/ann").status_code == 401
            assert http.get("/readyz").status_code == 200

            def page() -> list[str]:
                stack.check()
                answer = http.get("/v1/explore/ann", headers=key).raise_for_status().json()
                return [item["media_id"] for item in answer["items"]]

            deadline = time.monotonic() + 60
            while set(page()) != {"m0", "m2", "m3", "m4"}:
                assert time.monotonic() < deadline, page()
                time.sleep(0.05)
    assert project.kafka.denied == []


def test_who_has_another_password_is_not_let_in(project: Project) -> None:
    other = project.settings("reader").redis_password
    wrong = {"kafka_password": other, "redis_password": other}
    settings = project.settings(WORKER).model_copy(update=wrong)
    with pytest.raises(UnreachableError, match="KAFKA_PASSWORD"):
        kafka_hello(settings)
    with pytest.raises(UnreachableError, match="REDIS_PASSWORD"):
        store_hello(settings, 5.0)
    with pytest.raises(UnreachableError, match="lets worker give no rights"):
        allow(project.settings(WORKER), {"User:worker": kafka_rights(RANKER)})
    with (
        redis.Redis(
            port=project.redis_tls_port, ssl=True, ssl_ca_certs=str(project.folder / "ca.pem")
        ) as nobody,
        pytest.raises(redis.AuthenticationError),
    ):
        nobody.ping()
