"""How far a command is: a bar on a terminal, a line now and then anywhere else; on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import Progress

#: Often enough to see that it goes on, rare enough for a log.
LINE_INTERVAL_S: Final = 5.0


@contextmanager
def showing_progress(name: str, unit: str = "records") -> Iterator[Callable[[int, int], None]]:
    """Gives the callback that takes (done, total)."""
    if sys.stderr.isatty():
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(name, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    next_line = time.monotonic() + LINE_INTERVAL_S

    def tell(done: int, total: int) -> None:
        nonlocal next_line
        if time.monotonic() >= next_line:
            next_line = time.monotonic() + LINE_INTERVAL_S
            print(f"{name}: {done} of {total} {unit}", file=sys.stderr, flush=True)

    yield tell
