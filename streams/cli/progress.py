"""How far a command is: a bar on a terminal, a line now and then anywhere else; on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

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


@contextmanager
def showing_stages(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """Gives the callback that takes (stage, done, total); a bar for each stage on a terminal."""
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            tasks: dict[str, TaskID] = {}

            def show(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    for before in tasks.values():
                        bar.update(before, completed=bar.tasks[before].total or 0)
                    tasks[stage] = bar.add_task(stage, total=total)
                bar.update(tasks[stage], completed=done, total=total)

            yield show
        return
    next_line, last = 0.0, ""

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal next_line, last
        if stage != last or time.monotonic() >= next_line:
            next_line, last = time.monotonic() + LINE_INTERVAL_S, stage
            print(f"{name}: {stage}, {done} of {total}", file=sys.stderr, flush=True)

    yield tell
