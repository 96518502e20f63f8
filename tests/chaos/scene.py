"""What a run has running, and what faults do with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

from infra.config import Settings
from infra.kafka import Message
from streams.clock import now_ms
from tests.chaos.processes import Processes, StuckError
from tests.chaos.producer import Producer
from tests.chaos.servers import Apache, Embedded, Redis
from tests.chaos.workload import Workload

#: Longer than anything here takes on a loaded machine.
READY_TIMEOUT_S: Final = 180.0
POLL_S: Final = 0.02


class Scene:
    """The servers and processes of a run.

    Attributes:
        pause_s: what stands still does so for as long: longer than a session of a group.
        longest_away_s: a server that is restarted is away for up to this long.
        truncated: records that retention took: (topic, partition) → them, oldest first.
    """

    def __init__(
        self,
        rng: Random,
        settings: Settings,
        folder: Path,
        redis: Redis,
        kafka: Apache | Embedded,
        workload: Workload,
        pause_s: float,
        longest_away_s: float,
    ) -> None:
        self.rng = rng
        self.settings = settings
        self.folder = folder
        self.redis = redis
        self.kafka = kafka
        self.workload = workload
        self.pause_s = pause_s
        self.longest_away_s = longest_away_s
        self.workers = Processes("worker", settings, folder)
        self.learners = Processes("learner", settings, folder)
        self.rankers = Processes("ranker", settings, folder)
        self.truncated: dict[tuple[str, int], list[Any]] = {}
        self.producer: Producer
        self._numbers = 0

    @property
    def processes(self) -> tuple[Processes, Processes, Processes]:
        """Those of every role."""
        return self.workers, self.learners, self.rankers

    @property
    def artifacts(self) -> Path:
        """The folder of the artifact store."""
        return Path(self.settings.artifacts_url)

    def number(self) -> int:
        """One that no other has."""
        self._numbers += 1
        return self._numbers

    def close(self) -> None:
        """End all processes; servers are ended by whoever started them."""
        for processes in self.processes:
            processes.close()

    def tend(self) -> bool:
        """Start again what ended by itself; returns whether all processes do their work."""
        # Each is asked: one that is not ready yet must not hide the end of another.
        ready = [processes.ready() for processes in self.processes]
        return all(ready)

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float) -> None:
        """Wait for a condition; meanwhile what ended by itself is started again.

        Raises:
            StuckError: it did not come about in time.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.tend()
            if self.producer.error is not None:
                raise self.producer.error
            if time.monotonic() > deadline:
                raise StuckError(f"after {timeout_s:g} s still not: {what}")
            time.sleep(POLL_S)

    def wait_ready(self, *processes: Processes) -> None:
        """Wait until every process does its work, or every one of these roles."""
        for of in processes or self.processes:
            self.wait(of.ready, f"every {of.role} ready", READY_TIMEOUT_S)

    def rest(self, seconds: float) -> None:
        """Let events flow for a while."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= until, "the end of a pause", seconds + 60)

    def rest_between(self, least_s: float, most_s: float) -> None:
        """Let events flow for a random while."""
        self.rest(self.rng.uniform(least_s, most_s))

    def like(self, viewer: str) -> int:
        """Send a like of somebody new, beside the workload; returns its time in ms."""
        ts = now_ms()
        self.producer.send_now(self.workload.like(viewer, ts))
        return ts

    def poison(self, topic: str, key: str, value: bytes) -> None:
        """Send what must become a dead letter; no other record of the topic has the key."""
        self.workload.poison.add((topic, key))
        self.producer.send_now(Message(topic, key, value))
