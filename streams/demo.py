"""``freshgrid demo``: real events through the whole stack, and one live like to watch."""

from __future__ import annotations

import asyncio
import gzip
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.config import Settings
from infra.errors import FreshgridError, UnreachableError
from streams.stack import Endpoints, Stack, starting_stack

if TYPE_CHECKING:
    from models.grid import GridDocument, GridItem

FIXTURE: Final = Path(__file__).parents[1] / "tests" / "fixtures" / "kuairand.jsonl.gz"
#: A viewer with this many likes is as good as one with more: the grid is full of their seeds.
MANY_LIKES: Final = 10
#: Folding takes seconds and training some more; a stack that needs minutes hangs.
TRAINED_TIMEOUT_S: Final = 300.0
#: A grid follows a like in a fraction of a second.
GRID_TIMEOUT_S: Final = 30.0
STATUS_POLL_S: Final = 0.2
#: The resolution of the measured freshness.
GRID_POLL_S: Final = 0.001
HTTP_TIMEOUT_S: Final = 10.0
#: Without a terminal the replay tells its progress this many times.
PLAIN_STEPS: Final = 4
#: Wide enough for the table of a grid where the width of the output is unknown.
PLAIN_WIDTH: Final = 120


class DemoError(FreshgridError):
    """The stack runs but does not get where the demo wants it."""


def run_demo(settings: Settings, *, once: bool, http_port: int | None = None) -> None:
    """Run the demo; with `once` return after the live like, else serve until interrupted.

    An interrupt before that passes as KeyboardInterrupt.

    Raises:
        FreshgridError: the stack does not start, a part of it dies, or no grid appears.
    """
    narrator = Narrator()
    viewer_id, likes = pick_viewer(FIXTURE)
    with starting_stack(settings, http_port=http_port) as stack:
        endpoints = stack.endpoints
        narrator.say(f"✓ Kafka at {endpoints.kafka}, Redis at {endpoints.redis}")
        # The log takes events from now on, though workers still start.
        with narrator.progress("replay real events through Kafka") as on_progress:
            _replay(stack, on_progress)
        with narrator.phase("start worker, learner and ranker"):
            stack.wait_ready()
        with narrator.phase("fold, learn account embeddings, train the rankers"):
            status = _wait_trained(stack)
        narrator.say(
            f"{status['viewers_touched']} viewers, {status['media']} media, "
            f"{status['accounts']} accounts; "
            f"ig2vec {status['versions']['ig2vec']}, rankers {status['versions']['rankers']}"
        )
        with narrator.phase(f"grid of viewer {viewer_id} ({likes} likes)"):
            before = asyncio.run(_first_grid(stack, viewer_id))
        narrator.grid(f"Explore grid of viewer {viewer_id}", before)
        liked = before.items[0]
        after, fresh_ms = asyncio.run(_like_and_watch(endpoints, viewer_id, liked))
        narrator.grid(
            f"The same grid after a like of {liked.media_id} by {liked.author_id}",
            after,
            before,
        )
        narrator.say(f"Like → grid readable in Redis: {fresh_ms:.0f} ms")
        narrator.say(f"Ready {narrator.elapsed_s():.1f} s after the start")
        if once:
            return
        narrator.say(f"Serving {endpoints.http}/v1/explore/{viewer_id} (Ctrl-C ends everything)")
        with suppress(KeyboardInterrupt):
            stack.wait()


def pick_viewer(fixture: Path) -> tuple[str, int]:
    """A viewer of the fixture with several likes, always the same one, and how many likes."""
    likes: Counter[str] = Counter()
    try:
        with gzip.open(fixture) as lines:
            for line in lines:
                # Most lines are views: only likes are worth decoding.
                if b'"events.like"' in line:
                    likes[msgspec.json.decode(line)["viewer_id"]] += 1
    except OSError as error:
        raise DemoError(
            f"the demo's events cannot be read from {fixture} ({error.strerror or error}); "
            "run it from a clone of the repository"
        ) from error
    viewer_id = max(likes, key=lambda viewer: (min(likes[viewer], MANY_LIKES), viewer))
    return viewer_id, likes[viewer_id]


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
        """Seconds since the start."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """One line."""
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
        for name in ("P(like)", "P(save)", "P(see fewer)", "value"):
            table.add_column(name, justify="right")
        for place, item in enumerate(grid.items):
            p = item.probabilities
            table.add_row(
                str(place + 1),
                *(marks[place : place + 1]),
                *(item.media_id, item.author_id, item.source, item.seed or "–"),
                *(f"{number:.4f}" for number in (p.like, p.save, p.see_fewer, item.value)),
                style="green" if marks and marks[place] == "new" else None,
            )
        self.console.print()
        self.console.print(table)
        self.console.print()

    def _done(self, name: str, started: float) -> None:
        self.say(f"✓ {name}  {time.monotonic() - started:.1f} s")


def _replay(stack: Stack, on_progress: Callable[[int, int], None]) -> None:
    # Imported while the children start.
    from infra.kafka import prepare_cluster
    from streams.replay import replay_to_kafka

    def advance(done: int, total: int) -> None:
        stack.check()
        on_progress(done, total)

    asyncio.run(prepare_cluster(stack.settings))
    replay_to_kafka([FIXTURE], stack.settings, shift_to_now=True, on_progress=advance)


def _wait_trained(stack: Stack) -> dict[str, Any]:
    deadline = time.monotonic() + TRAINED_TIMEOUT_S
    while True:
        stack.check()
        status: dict[str, Any] = _get(f"{stack.endpoints.http}/v1/status")
        if status["caught_up"] and all(status["versions"].values()):
            return status
        if time.monotonic() > deadline:
            raise DemoError(f"no trained rankers within {TRAINED_TIMEOUT_S:g} s; status: {status}")
        time.sleep(STATUS_POLL_S)


def _get(url: str) -> Any:
    # A proxy of the environment has no business with an address of this machine.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(url, timeout=HTTP_TIMEOUT_S) as answer:
            return msgspec.json.decode(answer.read())
    except (URLError, OSError, msgspec.DecodeError) as error:
        raise UnreachableError(f"the HTTP API does not answer at {url}: {error}") from error


async def _first_grid(stack: Stack, viewer_id: str) -> GridDocument:
    # A request has the grid made if nothing touched the viewer since the rankers are live.
    _get(f"{stack.endpoints.http}/v1/explore/{viewer_id}")
    return await _grid_reflecting(stack.endpoints.redis, viewer_id, 0)


async def _like_and_watch(
    endpoints: Endpoints, viewer_id: str, liked: GridItem
) -> tuple[GridDocument, float]:
    """Send a like; returns the grid that reflects it and the ms from produce to readable."""
    from aiokafka import AIOKafkaProducer

    topic = "events.like"
    producer = AIOKafkaProducer(bootstrap_servers=endpoints.kafka)
    await producer.start()
    try:
        await producer.partitions_for(topic)  # a producer that runs knows its topics already
        ts = time.time_ns() // 1_000_000
        value = {
            "event_id": uuid.uuid4().hex,
            "viewer_id": viewer_id,
            "media_id": liked.media_id,
            "author_id": liked.author_id,
            "ts": ts,
        }
        started = time.perf_counter()
        await producer.send(topic, key=viewer_id.encode(), value=msgspec.json.encode(value))
        grid = await _grid_reflecting(endpoints.redis, viewer_id, ts)
        return grid, (time.perf_counter() - started) * 1000
    finally:
        await producer.stop()


async def _grid_reflecting(redis_url: str, viewer_id: str, ts: int) -> GridDocument:
    """Poll Redis for the viewer's grid until it reflects events up to `ts`."""
    from redis.asyncio import Redis

    from models.grid import from_json

    key = f"grid:{{{viewer_id}}}"
    deadline = time.monotonic() + GRID_TIMEOUT_S
    async with Redis.from_url(redis_url) as client:
        known: object = None
        while time.monotonic() < deadline:
            found = await client.get(key)
            if isinstance(found, bytes) and found != known:
                known = found
                grid = from_json(found)
                if grid.reflects_ts >= ts and grid.items:
                    return grid
            await asyncio.sleep(GRID_POLL_S)
    raise DemoError(
        f"no grid of viewer {viewer_id} that reflects {ts} appeared in Redis under {key} "
        f"within {GRID_TIMEOUT_S:g} s"
    )
