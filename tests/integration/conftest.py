"""A real broker, a real Redis-protocol server and a real ingest worker."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from infra.config import Settings
from infra.embedded import embedded_kafka, embedded_redis
from infra.kafka import DEAD_LETTERS_TOPIC
from infra.redis_store import RedisStore, connect
from models.viewer_state import ViewerState

PARTITIONS = 4
# A worker on a loaded machine joins its group and works off a backlog well within this.
DEADLINE_S = 60.0


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

    def stop_worker(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self._worker is not None
        self._worker.send_signal(how)
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
            store = RedisStore(connect(self.settings), self.settings)
            [(_, state)] = await store.load([viewer])
            await store.close()
            return state

        return asyncio.run(read())

    def liked(self, viewer: str) -> list[str]:
        return [entry.media_id for entry in self.state(viewer).strong]

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
def pipeline() -> Iterator[Pipeline]:
    """Servers and a worker, shared by the tests of a module."""
    with embedded_kafka() as kafka, embedded_redis() as redis:
        settings = Settings(
            kafka_bootstrap_servers=kafka,
            redis_url=redis,
            partitions=PARTITIONS,
            session_timeout_s=4.0,
            fetch_max_wait_ms=20,
            parking_ttl_s=3.0,
        )
        started = Pipeline(settings)
        started.start_worker()
        yield started
        started.producer.close()
        started.stop_worker()
