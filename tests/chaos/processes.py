"""Processes of a role that are killed and paused, and kept running as an orchestrator would."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from infra.child import Child, ChildSpec, Watchdog
from infra.config import Settings
from infra.errors import ChildError, FreshgridError
from infra.threads import ONE_THREAD

#: A process that was asked to stop finishes its chunk and leaves its group within this, even when
#: a server is away at that moment.
STOP_TIMEOUT_S: Final = 30.0
#: One joins a group of members that have just died within this.
READY_TIMEOUT_S: Final = 120.0
#: An orchestrator does not start again at once either.
RESTART_AFTER_S: Final = 0.5
#: Of the log of one that ended, its end: a traceback or two.
NOTED_CHARACTERS: Final = 6_000


class StuckError(FreshgridError):
    """Something that must come about did not."""


class Processes:
    """Processes of one role.

    Attributes:
        role: which.
        exits: how those ended that nobody had asked to.
        notes: the last words of each of those.
        unstopped: those that SIGTERM did not end in time.
    """

    def __init__(self, role: str, settings: Settings, folder: Path) -> None:
        self.role = role
        given = settings.model_dump(include=settings.model_fields_set)
        self._env = {name.upper(): str(value) for name, value in given.items()}
        # Started as what is installed is: compiled. The first one of a run pays for it.
        self._env |= {
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        }
        self._folder = folder
        self._watchdog = Watchdog()
        self._started = 0
        self._running: list[Child] = []
        self._restart_at: list[float] = []
        self.exits: Counter[str] = Counter()
        self.notes: list[str] = []
        self.unstopped = 0

    def start(self, clock_off_s: float = 0.0) -> Child:
        """Start one more, whose clock is ahead by so much."""
        self._started += 1
        module = ("tests.chaos.skewed", str(clock_off_s)) if clock_off_s else ("streams.app",)
        spec = ChildSpec(
            name=self.role,
            argv=(sys.executable, "-m", *module, self.role),
            env=self._env,
            default_env=ONE_THREAD,
            start_timeout_s=READY_TIMEOUT_S,
        )
        log = self._folder / f"{self.role}-{self._started}.log"
        self._running.append(Child(spec, log, self._watchdog))
        return self._running[-1]

    def ready(self) -> bool:
        """Whether all that should run do their work; what ended by itself is started again.

        Raises:
            StuckError: one does not become ready.
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
                self._note_exit(str(error), child.log_path)
        for moment in [m for m in self._restart_at if time.monotonic() >= m]:
            self._restart_at.remove(moment)
            self.start()
            ready.append(False)
        return not self._restart_at and all(ready)

    def _note_exit(self, ended: str, log: Path) -> None:
        self.exits[ended.partition(":")[0]] += 1
        # The log goes with the scene.
        self.notes.append(f"{ended}\n{log.read_text(errors='replace')[-NOTED_CHARACTERS:]}")
        self._restart_at.append(time.monotonic() + RESTART_AFTER_S)

    @property
    def running(self) -> list[Child]:
        """Those that run, the one started last at the end."""
        return list(self._running)

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
            self.notes.append(f"SIGTERM did not end a {self.role} (log: {child.log_path})")

    @contextmanager
    def paused(self, child: Child) -> Iterator[None]:
        """Meanwhile it stands still."""
        child.signal_group(signal.SIGSTOP)
        try:
            yield
        finally:
            child.signal_group(signal.SIGCONT)

    def end_all(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End all of them; returns how many there were."""
        count = len(self._running) + len(self._restart_at)
        self._restart_at.clear()
        for child in self.running:
            self.end(child, how)
        return count

    def close(self) -> None:
        """End all of them for good."""
        self.end_all()
        self._watchdog.close()
