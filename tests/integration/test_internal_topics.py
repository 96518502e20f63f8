"""Poison in every topic of Freshgrid's own, and a store that is no folder: every role goes on."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections import Counter

import httpx
import pytest

from infra.config import Settings
from infra.embedded import embedded_kafka, embedded_redis
from infra.supervisor import free_port
from infra.topics import DEAD_LETTERS_TOPIC
from streams.dead_letter import parse_dead_letter
from streams.topology import ROLES
from tests.integration.conftest import DEADLINE_S, Pipeline
from tests.poison import INTERNAL, LETTERED, POISON


class Roles:
    """All roles as processes of their own, at servers that are there already."""

    def __init__(self, settings: Settings, port: int) -> None:
        self._env = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "REDIS_URL": settings.redis_url,
            "ARTIFACTS_URL": settings.artifacts_url,
            "PARTITIONS": str(settings.partitions),
            "SESSION_TIMEOUT_S": "3",
            "REBALANCE_TIMEOUT_S": "3",
            "FETCH_MAX_WAIT_MS": "20",
            "HTTP_PORT": str(port),
        }
        self._running: dict[str, subprocess.Popen[str]] = {}

    def start(self, role: str) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.app", role],
            env=self._env,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._running[role] = process
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", role

    def check(self) -> None:
        for role, process in self._running.items():
            assert process.poll() is None, f"the {role} ended"

    def stop(self, role: str) -> int:
        process = self._running.pop(role)
        process.send_signal(signal.SIGTERM)
        with process:
            return process.wait(DEADLINE_S)

    def stop_all(self) -> None:
        for role in list(self._running):
            self.stop(role)


@pytest.fixture
def roles(tmp_path):
    """Nothing runs yet; the artifact store is a file."""
    store = tmp_path / "artifacts"
    store.write_text("no folder")
    with embedded_kafka() as kafka, embedded_redis() as redis:
        settings = Settings(
            kafka_bootstrap_servers=kafka,
            redis_url=redis,
            artifacts_url=str(store),
            partitions=2,
            fetch_max_wait_ms=20,
        )
        port = free_port()
        roles, pipeline = Roles(settings, port), Pipeline(settings)
        try:
            yield roles, pipeline, f"http://127.0.0.1:{port}"
        finally:
            roles.stop_all()
            pipeline.producer.close()


def dead_letters(pipeline):
    """What is in the topic besides the poison."""
    found = [parse_dead_letter(record.value) for record in pipeline.records(DEAD_LETTERS_TOPIC)]
    return [letter for letter in found if letter is not None]


def test_poison_everywhere_stops_nobody_and_has_one_letter_each(roles):
    processes, pipeline, url = roles
    processes.start("worker")  # it makes the topics
    sent = Counter()

    def poison():
        for topic in INTERNAL:
            for value in POISON:
                pipeline.send(topic, value, "rankers")
                sent[topic, value] += topic in LETTERED

    def letters():
        found = Counter()
        for letter in dead_letters(pipeline):
            found[letter.topic, base64.b64decode(letter.value_base64)] += 1
        return found

    def lettered():
        processes.check()
        return letters() == +sent

    poison()
    for role in ROLES[1:]:
        processes.start(role)
    pipeline.wait(lettered)
    # While all run, and once more after the learner, which reads topics whole, was restarted.
    poison()
    pipeline.wait(lettered)
    assert processes.stop("learner") == 0
    processes.start("learner")
    poison()
    pipeline.wait(lettered)

    viewer = pipeline.new_viewer()
    pipeline.send("events.like", pipeline.event(viewer, "m1", author_id="a"), viewer)
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m1"])
    with httpx.Client(base_url=url, trust_env=False) as http:
        assert http.get(f"/v1/explore/{viewer}").status_code == 200
    processes.check()
