"""``freshgrid demo``: real events through the whole stack, and one live like to watch."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import webbrowser
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlencode

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.config import Settings
from models.actions import STRONG_HEADS, STRONG_POSITIVE, Action
from models.explore.grid import GridDocument, GridItem
from streams.local.bundled import Act, Bundled, BundledViewer
from streams.local.scenario import (
    live_viewer,
    rankers_refused,
    replay_fixture,
    wait_current,
    wait_trained,
)
from streams.local.stack import Stack, starting_stack

#: Without a terminal the replay tells its progress this many times.
PLAIN_STEPS: Final = 4
#: Wide enough for the table of a grid where the width of the output is unknown.
PLAIN_WIDTH: Final = 120
#: Smaller probabilities print as 0.
LEAST_SHOWN: Final = 5e-5


def run_demo(settings: Settings, *, once: bool, http_port: int | None = None) -> None:
    """Run the demo; with `once` return after the live like, else serve until interrupted.

    An interrupt before that passes as KeyboardInterrupt.

    Raises:
        FreshgridError: the stack does not start, a part of it dies, or no grid appears.
    """
    narrator = Narrator()
    with starting_stack(settings, http_port=http_port) as stack:
        endpoints = stack.endpoints
        narrator.say(f"✓ Kafka at {endpoints.kafka}, Redis at {endpoints.redis}")
        # The log takes events from now on, though workers still start.
        with narrator.progress("replay real events through Kafka") as on_progress:
            sent = replay_fixture(stack, on_progress)
        with narrator.phase("start worker, learner and ranker"):
            bundled = Bundled()
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
        viewer = bundled.to_show()
        asyncio.run(_show(narrator, stack, bundled, viewer))
        narrator.say(f"Done {narrator.elapsed_s():.1f} s after the start")
        if once:
            return
        address = page_address(endpoints.http, viewer.viewer_id)
        narrator.say(f"\nSee it, like it: {address} (Ctrl-C ends everything)")
        if narrator.console.is_terminal:
            open_browser(address)
        with suppress(KeyboardInterrupt):
            stack.wait()


def page_address(http: str, viewer_id: str) -> str:
    """Where a viewer's Explore page is seen."""
    return f"{http}/#/explore?{urlencode({'viewer': viewer_id})}"


def open_browser(address: str) -> None:
    """Open the page where there is a screen with a browser; elsewhere its address is enough."""
    screen = sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if screen:
        # A browser that does not start is no reason to end the demo.
        with suppress(webbrowser.Error, OSError):
            webbrowser.open(address)


async def _show(narrator: Narrator, stack: Stack, bundled: Bundled, viewer: BundledViewer) -> None:
    """What a viewer did, the grid that comes of it, a live like, and what it changed."""
    viewer_id, topics = viewer.viewer_id, bundled.topics
    await asyncio.to_thread(wait_current, stack, viewer_id)
    async with live_viewer(stack.settings) as live:
        before = await live.grid_reflecting(viewer_id, 0)
        narrator.history(viewer, topics, before)
        narrator.say(
            f"{len(viewer.likes()) / viewer.shown:.1%} of what was shown is liked by this viewer, "
            f"{bundled.like_rate():.1%} by all of them"
        )
        narrator.grid(f"Explore grid of viewer {viewer_id}", before, viewer.acts, topics)
        narrator.say(f"First grid {narrator.elapsed_s():.1f} s after the start")
        liked = before.items[0]
        after, fresh_ms = await live.like(viewer_id, liked.media_id, liked.author_id)
    title = f"The same grid after a like of {liked.media_id} by {liked.author_id}"
    acts = (Act(Action.LIKE, liked.media_id, liked.author_id), *viewer.acts)
    narrator.grid(title, after, acts, topics, before)
    narrator.say(f"Like → grid readable in Redis: {fresh_ms:.0f} ms")


def cause(item: GridItem, acts: Sequence[Act]) -> Act | None:
    """What the viewer did that led to an item: the strongest, newest act on the seed's media.

    None for an item that everybody's likes led to, or its own newness.
    """
    return next((act for act in acts if act.author_id == item.seed), None)


def told(action: Action) -> str:
    """What the viewer did, as a verb: liked, saved, watched."""
    return action.row.meaning.partition(" a media")[0]


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

    def history(
        self, viewer: BundledViewer, topics: Mapping[str, Sequence[str]], grid: GridDocument
    ) -> None:
        """What a viewer did before a grid, and which of its items each act led to."""
        led = [(cause(item, viewer.acts), str(n)) for n, item in enumerate(grid.items, 1)]
        counts = Counter(told(act.action) for act in viewer.acts)
        did = ", ".join(f"{word} {count}" for word, count in counts.items())
        table = Table(box=None, pad_edge=False)
        for name in ("did", "media", "author", "topics", "led to items"):
            table.add_column(name)
        left = 0
        for act in viewer.acts:
            items = [place for found, place in led if found == act]
            if items or act.action in STRONG_POSITIVE:
                of = ", ".join(topics.get(act.media_id, ()))
                table.add_row(
                    told(act.action), act.media_id, act.author_id, of, ", ".join(items) or "–"
                )
            else:
                left += 1
        self.say(f"\nBefore: viewer {viewer.viewer_id} was shown {viewer.shown} media, {did}")
        self.console.print(table)
        if left:
            self.say(f"and {left} more watched, which led to none")

    def grid(
        self,
        title: str,
        grid: GridDocument,
        acts: Sequence[Act],
        topics: Mapping[str, Sequence[str]],
        before: GridDocument | None = None,
    ) -> None:
        """A grid as a table, with what led to each item; `before` adds what is new and moved.

        Heads that nobody's grid is about, because nothing like it ever happened, are left out.
        """
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        marks = moves(before, grid) if before else []
        chances = [item.probabilities.by_head() for item in grid.items]
        heads = [
            head
            for head in STRONG_HEADS
            if any(chance[head.word] >= LEAST_SHOWN for chance in chances)
        ]
        for name in ("#", *(["change"] if before else [])):
            table.add_column(name, justify="right")
        for name in ("media", "author", "topics", "source", "because you"):
            table.add_column(name)
        for name in (*(f"P({head.word.replace('_', ' ')})" for head in heads), "value"):
            table.add_column(name, justify="right")
        for place, (item, chance) in enumerate(zip(grid.items, chances, strict=True)):
            act = cause(item, acts)
            table.add_row(
                str(place + 1),
                *(marks[place : place + 1]),
                *(item.media_id, item.author_id, ",".join(topics.get(item.media_id, ()))),
                *(item.source, f"{told(act.action)} {act.media_id}" if act else "–"),
                *(f"{chance[head.word]:.4f}" for head in heads),
                f"{item.value:.4f}",
                style="green" if marks and marks[place] == "new" else None,
            )
        self.console.print()
        self.console.print(table)
        self.console.print()

    def _done(self, name: str, started: float) -> None:
        self.say(f"✓ {name}  {time.monotonic() - started:.1f} s")
