"""One child process that cannot outlive this one.

Three layers see to that, each for what the one before cannot do:

1. :meth:`Child.stop` ends the child's whole process group: TERM, then KILL.
2. On Linux the kernel kills the child when its parent dies, however that happened
   (``PR_SET_PDEATHSIG``, set by a tiny launcher that then becomes the child).
3. A :class:`Watchdog` process notices the end of its parent as the end of a pipe and kills the
   process groups still there: grandchildren, and children where the kernel cannot do it.

The kernel counts the *thread* that started a child as its parent: start children from a thread
that lives as long as they shall.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from infra.errors import ChildError

READY_LINE: Final = b"ready"
#: A stopping worker finishes its batch and leaves its consumer group within this time.
STOP_TIMEOUT_S: Final = 8.0
#: Enough of a log's end for its last line.
TAIL_BYTES: Final = 8192

# Replaces itself by the child: a function run between fork and exec could deadlock in a process
# with threads. 1 is PR_SET_PDEATHSIG; the parent may be gone before the call was made.
_LAUNCHER: Final = (
    "import ctypes,os,signal,sys;"
    "ctypes.CDLL(None).prctl(1,signal.SIGKILL);"
    "os.getppid()==int(sys.argv[1]) or os._exit(1);"
    "os.execvp(sys.argv[2],sys.argv[2:])"
)
_WATCHDOG: Final = """
import os, shutil, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
groups = set()
for line in sys.stdin.buffer:
    group = int(line)
    groups.add(group) if group > 0 else groups.discard(-group)
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
if groups and len(sys.argv) > 1:
    shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to run and how to know that it is ready.

    Attributes:
        name: how errors and the log file call it.
        env: added to this process's environment.
        default_env: the same, but what this process's environment says goes first.
        probe: called with the child's process id until it returns true; None for a child that
            prints the line ``ready`` on its stdout.
        start_timeout_s: after this the child counts as failed.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = {}
    default_env: Mapping[str, str] = {}
    probe: Callable[[int], bool] | None = None
    start_timeout_s: float = 120.0


class Watchdog:
    """A process that kills the process groups it was told of when this process is gone.

    Args:
        folder: removed after that, unless no group was left.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCHDOG, *([str(folder)] if folder else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """Kill `group` when this process ends."""
        self._tell(group)

    def forget(self, group: int) -> None:
        """The group has ended; its number may soon belong to somebody else."""
        self._tell(-group)

    def close(self) -> None:
        """End the watchdog itself; what it still watches is killed."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, group: int) -> None:
        assert self._process.stdin is not None
        # Without a watchdog the other two layers still hold.
        with contextlib.suppress(OSError):
            self._process.stdin.write(b"%d\n" % group)
            self._process.stdin.flush()


class Child:
    """A running child process. Its stderr, and its stdout but for ``ready``, go to `log_path`."""

    def __init__(self, spec: ChildSpec, log_path: Path, watchdog: Watchdog) -> None:
        self.spec = spec
        self.log_path = log_path
        self._watchdog = watchdog
        self._ready = threading.Event()
        self._deadline = time.monotonic() + spec.start_timeout_s
        argv = list(spec.argv)
        if sys.platform == "linux":
            argv = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *argv]
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                # Passed on, not read: settings are read in infra.config alone.
                env={**spec.default_env, **os.environ, **spec.env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if spec.probe is None else log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        watchdog.watch(self.pid)
        self._reader: threading.Thread | None = None
        if spec.probe is None:
            self._reader = threading.Thread(target=self._read_stdout, daemon=True)
            self._reader.start()

    def poll_ready(self) -> bool:
        """Whether the child is ready by now.

        Raises:
            ChildError: it died, or its time to become ready is over.
        """
        self.check()
        if not self._ready.is_set():
            if self.spec.probe is not None and self.spec.probe(self.pid):
                self._ready.set()
            elif time.monotonic() > self._deadline:
                patience = f"{self.spec.start_timeout_s:g} s"
                raise ChildError(
                    self.spec.name, f"was not ready within {patience}{self._last_words()}"
                )
        return self._ready.is_set()

    def check(self) -> None:
        """Raise ChildError if the child is dead."""
        code = self._process.poll()
        if code is None:
            return
        self._finish_reading()
        how = f"ended with exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                how = f"was killed by {signal.Signals(-code).name}"
        raise ChildError(self.spec.name, f"{how}{self._last_words()}")

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the child and its descendants; nothing if they are gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def stop(self, deadline: float) -> None:
        """Wait for the end of a child that was sent TERM, then kill what is left of its group.

        Args:
            deadline: time on the monotonic clock at which patience ends.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        self.signal_group(signal.SIGKILL)
        self._process.wait()
        self._watchdog.forget(self.pid)
        self._finish_reading()

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines, self.log_path.open("ab", buffering=0) as log:
            for line in lines:
                if line.strip() == READY_LINE:
                    self._ready.set()
                else:
                    log.write(line)

    def _finish_reading(self) -> None:
        # Bounded: a descendant that left the process group may hold the pipe open.
        if self._reader is not None:
            self._reader.join(timeout=1.0)

    def _last_words(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = _COLOURS.sub("", log.read().decode(errors="replace"))
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f": {lines[-1]} (log: {self.log_path})" if lines else " and logged nothing"
