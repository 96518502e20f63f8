"""Worker processes that are killed and paused, and kept running as an orchestrator would."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

from infra.child import Child, ChildSpec, Watchdog
from infra.config import Settings
from infra.errors import ChildError, FreshgridError

#: A worker that was asked to stop finishes its chunk and leaves its group within this, even when
#: a server is away at that moment.
STOP_TIMEOUT_S: Final = 30.0
#: A worker joins a group of members that have just died within this.
READY_TIMEOUT_S: Final = 120.0
#: An orchestrator does not start again at once either.
RESTART_AFTER_S: Final = 0.5


class StuckError(FreshgridError):
    """Something that must come about did not."""


class Workers:
    """Workers of one group.

    Attributes:
        exits: how workers ended that nobody had asked to.
        notes: the last words of each of those.
        unstopped: workers that SIGTERM did not end in time.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        names = (
            "kafka_bootstrap_servers", "redis_url", "partitions", "session_timeout_s",
            "rebalance_timeout_s", "fetch_max_wait_ms", "parking_ttl_s",
        )  # fmt: skip
        self._spec = ChildSpec(
            name="worker",
            argv=(sys.executable, "-m", "streams.app", "worker"),
            env={name.upper(): str(getattr(settings, name)) for name in names},
            start_timeout_s=READY_TIMEOUT_S,
        )
        self._folder = folder
        self._watchdog = Watchdog()
        self._started = 0
        self._running: list[Child] = []
        self._restart_at: list[float] = []
        self.exits: Counter[str] = Counter()
        self.notes: list[str] = []
        self.unstopped = 0

    def start(self) -> None:
        """Start one more."""
        self._started += 1
        log = self._folder / f"worker-{self._started}.log"
        self._running.append(Child(self._spec, log, self._watchdog))

    def ready(self) -> bool:
        """Whether all that should run do their work; what ended by itself is started again.

        Raises:
            StuckError: a worker does not become ready.
        """
        ready = []
        for child in list(self._running):
            try:
                ready.append(child.poll_ready())
            except ChildError as error:
                if "was not ready" in str(error):
                    raise StuckError(str(error)) from error
                self._running.remove(child)
                child.stop(0)
                self._note_exit(str(error))
        for moment in [m for m in self._restart_at if time.monotonic() >= m]:
            self._restart_at.remove(moment)
            self.start()
            ready.append(False)
        return not self._restart_at and all(ready)

    def _note_exit(self, ended: str) -> None:
        self.exits[ended.removeprefix("worker ").partition(":")[0]] += 1
        self.notes.append(ended)
        self._restart_at.append(time.monotonic() + RESTART_AFTER_S)

    def pick(self, rng: Random) -> Child:
        """Any of them, waited for until there is one."""
        while not self._running:
            self.ready()
            time.sleep(0.01)
        return rng.choice(self._running)

    def end(self, child: Child, how: signal.Signals) -> None:
        """End one of them by a signal; it is not started again."""
        if child not in self._running:
            return  # ended by itself meanwhile, and is started again
        self._running.remove(child)
        child.signal_group(how)
        asked = time.monotonic()
        child.stop(asked + STOP_TIMEOUT_S)
        if time.monotonic() - asked >= STOP_TIMEOUT_S:
            self.unstopped += 1
            self.notes.append(f"SIGTERM did not end a worker (log: {child.log_path})")

    def close(self) -> None:
        """End all of them."""
        self._restart_at.clear()
        for child in list(self._running):
            self.end(child, signal.SIGTERM)
        self._watchdog.close()
