"""Child processes as one unit: they start together, and when one dies all others end.

The readiness protocol: a child prints the single line ``ready`` on its stdout; everything else
it has to say goes to its log file ``<run folder>/<name>.log``. Servers that know nothing of it
are asked instead (:attr:`infra.child.ChildSpec.probe`).
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from infra.child import STOP_TIMEOUT_S, Child, ChildSpec, Watchdog
from infra.errors import ChildError, PortInUseError

__all__ = ["ChildSpec", "Supervisor", "check_port", "free_port", "stop_signals"]

#: How often children that start are looked at: well below what a person notices.
STARTING_POLL_S: Final = 0.02
#: How soon the death of a running child is noticed.
RUNNING_POLL_S: Final = 0.2
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Runs children; leaving its context ends every one of them and their descendants.

    Children started later are stopped earlier, so clients end before the servers they use::

        with Supervisor() as supervisor:
            supervisor.start(server)
            supervisor.wait_ready()
            supervisor.start(worker, api)
            supervisor.wait_ready()
            supervisor.wait()

    Attributes:
        run_dir: folder of the logs, and for what children keep while they run. Unless it is
            given it is a temporary one, and all that stays of it are the logs when a child failed.
    """

    def __init__(self, run_dir: Path | None = None) -> None:
        self._temporary = run_dir is None
        self.run_dir = run_dir or Path(tempfile.mkdtemp(prefix="freshgrid-"))
        self._batches: list[list[Child]] = []

    def __enter__(self) -> Self:
        self._watchdog = Watchdog(self.run_dir if self._temporary else None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _signals_held(discard=True):
            try:
                self.stop()
            finally:
                self._watchdog.close()
                if self._temporary:
                    failed = isinstance(error, ChildError) or (
                        error is not None and isinstance(error.__cause__, ChildError)
                    )
                    _remove(self.run_dir, keep_logs=failed)

    def start(self, *specs: ChildSpec) -> None:
        """Launch children side by side without waiting for them."""
        self._batches.append([])
        for spec in specs:
            # A signal between the launch and the note of it would lose the child.
            with _signals_held():
                log_path = self.run_dir / f"{spec.name}.log"
                self._batches[-1].append(Child(spec, log_path, self._watchdog))

    def wait_ready(self, *names: str) -> None:
        """Block until the named children, or all, are ready.

        Raises:
            ChildError: any child died, or one was not ready in time.
        """
        while not self.ready(*names):
            time.sleep(STARTING_POLL_S)

    def ready(self, *names: str) -> bool:
        """Whether the named children, or all, are ready now; raises as `wait_ready` does."""
        # Every child is asked: one that is not ready yet must not hide the death of another.
        ready = {child.spec.name: child.poll_ready() for child in self._all()}
        return all(ready[name] for name in names or ready)

    def pid(self, name: str) -> int | None:
        """Process id of a child that was started, None if there is none of that name."""
        return next((child.pid for child in self._all() if child.spec.name == name), None)

    def check(self) -> None:
        """Raise ChildError if any child is dead."""
        for child in self._all():
            child.check()

    def wait(self) -> None:
        """Block until a child dies, which raises ChildError, or a signal is raised."""
        while True:
            self.check()
            time.sleep(RUNNING_POLL_S)

    def stop(self) -> None:
        """End all children, the last started first."""
        while self._batches:
            self.stop_last()

    def stop_last(self) -> None:
        """End the children of the last call of `start`."""
        batch = self._batches[-1]
        for child in batch:
            child.signal_group(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in batch:
            child.stop(deadline)
        self._batches.pop()

    def _all(self) -> Iterator[Child]:
        for batch in self._batches:
            yield from batch


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into KeyboardInterrupt and ignore further ones.

    Cleaning up is bounded in time, so a second signal may not cut it short. SIGINT is set anew
    because a shell starts background jobs with it ignored.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        for name in STOP_SIGNALS:
            signal.signal(name, signal.SIG_IGN)
        raise KeyboardInterrupt

    # Ignored on purpose by nohup.
    names = [
        name
        for name in STOP_SIGNALS
        if name is not signal.SIGHUP or signal.getsignal(name) is not signal.SIG_IGN
    ]
    before = {name: signal.signal(name, stop) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@contextlib.contextmanager
def _signals_held(*, discard: bool = False) -> Iterator[None]:
    """Hold back stop signals inside the block; deliver them after it unless `discard`."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals in the main thread only
        return
    held: list[int] = []
    before = {name: signal.signal(name, lambda n, _: held.append(n)) for name in STOP_SIGNALS}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
        if held and not discard:
            signal.raise_signal(held[0])


def check_port(host: str, port: int, setting: str) -> None:
    """Make sure that nobody listens on `host`:`port`.

    Raises:
        PortInUseError: naming the port and the `setting` that chooses another one.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: the remains of closed connections do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUseError(
                f"port {port} on {host} cannot be used ({error.strerror}); "
                f"end the program that listens there or choose another port with {setting}"
            ) from error


def free_port() -> int:
    """A loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _remove(folder: Path, *, keep_logs: bool) -> None:
    if not keep_logs:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix != ".log" or not path.stat().st_size:
            path.unlink(missing_ok=True)
