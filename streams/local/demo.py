"""``freshgrid demo``: real events through the whole stack, and one live like to watch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.config import Settings
from streams.local.scenario import (
    get_json,
    live_viewer,
    pick_viewers,
    rankers_refused,
    replay_fixture,
    wait_trained,
)
from streams.local.stack import Stack, starting_stack

if TYPE_CHECKING:
    from models.actions import STRONG_HEADS
from models.actions import STRONG_HEADS
from models.explore.grid import GridDocument

#: Without a terminal the replay tells its progress this many times.
PLAIN_STEPS: Final = 4
#: Wide enough for the table of a grid where the width of the output is unknown.
PLAIN_WIDTH: Final = 120


def run_demo(settings: Settings, *, once: bool, http_port: int | None = None) -> None:
    """Run the demo; with `once` return after the live like, else serve until interrupted.

    An interrupt before that passes as KeyboardInterrupt.

    Raises:
        FreshgridError: the stack does not start, a part of it dies, or no grid appears.
    """
    narrator = Narrator()
    viewer_id, likes = pick_viewers()[0]
    with starting_stack(settings, http_port=http_port) as stack:
        endpoints = stack.endpoints
        narrator.say(f"✓ Kafka at {endpoints.kafka}, Redis at {endpoints.redis}")
        # The log takes events from now on, though workers still start.
        with narrator.progress("replay real events through Kafka") as on_progress:
            sent = replay_fixture(stack, on_progress)
        with narrator.phase("start worker, learner and ranker"):
            stack.wait_ready()
        with narrator.phase("fold, learn account embeddings, train the rankers"):
            status = wait_trained(stack, sent)
        rankers = status["versions"]["rankers"]
        narrator.say(
            f"{status['media']} media, {status['accounts']} accounts with a vector; "
            f"ig2vec {status['versions']['ig2vec']}, rankers {rankers or 'untrained'}"
        )
        if rankers is None:
            narrator.say(f"Trained rankers were refused: {rankers_refused(stack)}")
        asyncio.run(_show(narrator, stack, viewer_id, likes))
        narrator.say(f"Done {narrator.elapsed_s():.1f} s after the start")
        if once:
            return
        narrator.say(f"Serving {endpoints.http}/v1/explore/{viewer_id} (Ctrl-C ends everything)")
        with suppress(KeyboardInterrupt):
            stack.wait()


async def _show(narrator: Narrator, stack: Stack, viewer_id: str, likes: int) -> None:
    """A grid, a live like, and what it changed."""
    # A request has the grid made if nothing touched the viewer since the rankers are live.
    await asyncio.to_thread(get_json, f"{stack.endpoints.http}/v1/explore/{viewer_id}")
    async with live_viewer(stack.endpoints) as live:
        before = await live.grid_reflecting(viewer_id, 0)
        narrator.grid(f"Explore grid of viewer {viewer_id} ({likes} likes)", before)
        narrator.say(f"First grid {narrator.elapsed_s():.1f} s after the start")
        liked = before.items[0]
        after, fresh_ms = await live.like(viewer_id, liked.media_id, liked.author_id)
    title = f"The same grid after a like of {liked.media_id} by {liked.author_id}"
    narrator.grid(title, after, before)
    narrator.say(f"Like → grid readable in Redis: {fresh_ms:.0f} ms")


def moves(before: GridDocument, after: GridDocument) -> list[str]:
    """How each item of the new grid stands to the old one: new, ↑n, ↓n or nothing."""
    places = {item.media_id: place for place, item in enumerate(before.items)}
    marks = []
    for place, item in enumerate(after.items):
        up = places.get(item.media_id, place) - place
        known = item.media_id in places
        marks.append("new" if not known else f"↑{up}" if up > 0 else f"↓{-up}" if up else "")
    return marks


class Narrator:
    """Tells what happens: spinners, a bar and colours on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = max(self.console.width, PLAIN_WIDTH)
        self._started = time.monotonic()

    def elapsed_s(self) -> float:
        """Seconds since this narrator was made."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """Print one line as it stands, without markup."""
        self.console.print(text, markup=False)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Show that `name` goes on, then how long it took."""
        started = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(name):
                yield
        else:
            self.say(f"{name} …")
            yield
        self._done(name, started)

    @contextmanager
    def progress(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Like `phase`; gives the callback that takes (done, total)."""
        started = time.monotonic()
        total_seen = 0
        if self.console.is_terminal:
            columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            with Progress(*columns, console=self.console, transient=True) as bar:
                task = bar.add_task(name, total=None)

                def advance(done: int, total: int) -> None:
                    nonlocal total_seen
                    total_seen = total
                    bar.update(task, completed=done, total=total)

                yield advance
        else:
            step = 0

            def tell(done: int, total: int) -> None:
                nonlocal step, total_seen
                total_seen = total
                while step < PLAIN_STEPS and done * PLAIN_STEPS >= total * (step + 1):
                    step += 1
                    self.say(f"{name}: {done} of {total}")

            yield tell
        self._done(f"{name}: {total_seen}", started)

    def grid(self, title: str, grid: GridDocument, before: GridDocument | None = None) -> None:
        """A grid as a table; with `before` also what is new and what moved."""
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        marks = moves(before, grid) if before else []
        for name in ("#", *(["change"] if before else [])):
            table.add_column(name, justify="right")
        for name in ("media", "author", "source", "seed"):
            table.add_column(name)
        for name in (*(f"P({head.word.replace('_', ' ')})" for head in STRONG_HEADS), "value"):
            table.add_column(name, justify="right")
        for place, item in enumerate(grid.items):
            chances = item.probabilities.by_head()
            table.add_row(
                str(place + 1),
                *(marks[place : place + 1]),
                *(item.media_id, item.author_id, item.source, item.seed or "–"),
                *(f"{chances[head.word]:.4f}" for head in STRONG_HEADS),
                f"{item.value:.4f}",
                style="green" if marks and marks[place] == "new" else None,
            )
        self.console.print()
        self.console.print(table)
        self.console.print()

    def _done(self, name: str, started: float) -> None:
        self.say(f"✓ {name}  {time.monotonic() - started:.1f} s")
