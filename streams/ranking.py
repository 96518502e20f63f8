"""Viewer touched → a fresh grid in Redis.

Touches of one viewer coalesce, so each is ranked once for many events. When touches arrive faster
than grids can be made, it matters who comes first: whoever asked for a page lately, since she may
be looking at it; then who followed somebody or did an action other than a view; then who only
viewed something. Among equals it is the one touched last, but of many some are those who waited
longest, of these and of who is less urgent: however long it lasts, nobody waits for ever. Viewers
touched by old events (a replay, a backlog after a pause) and viewers to be ranked again because the
models changed wait in the background. Whoever did not ask for a page gets a share of the time
(`SHARES`). A chunk of touches is finished once every viewer in it has a grid, stands in a newer
chunk, or was dropped because too many wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from itertools import islice
from typing import Protocol

from infra.errors import UnreachableError
from infra.metrics import GRIDS, GRIDS_FAILED, GRIDS_WAITING
from infra.stores import Store
from models.events import HOUR_MS, MAX_AHEAD_MS, MINUTE_MS
from models.explore.grid import GridDocument
from models.explore.impressions import EncodedGrid
from models.viewers.forgotten import IsForgotten
from models.viewers.state import ViewerState
from streams.clock import now_ms
from streams.grid_figures import note_answered, note_made
from streams.records import Finish, Touched

#: A viewer who asked for a page within this time may still be looking at it.
WATCHING_S = 5 * 60.0
#: A touch by an event older than this is background work: its viewer is not looking at a grid now.
FRESH_MS = 15 * MINUTE_MS
#: But clocks may be slow: of all producers, whose newest events are late by so much at most; and of
#: one who asked for a page lately, and so is looking, by as much as a clock may be fast.
MAX_SLOW_MS = HOUR_MS
MAX_SLOW_WATCHING_MS = MAX_AHEAD_MS
#: How late the newest events are is told from the touches of this time, and of once more before.
SLOWNESS_S = 60.0
#: Viewers waiting at most; beyond, the least urgent who waited longest is dropped. A page she asks
#: for is made on request.
MAX_WAITING = 50_000
#: Viewers remembered as recently active, to be ranked again when the models change.
MAX_ACTIVE = 10_000

#: Viewers ranked at once in the background, or where many wait: a batch takes about the half per
#: grid.
BATCH = 8
#: Where so many wait, each of them is served sooner by the batches that clear the queue than the
#: newest is by being ranked alone.
MANY_WAIT = 2 * BATCH
#: Of such a batch so many are who waited longest of their urgency, and so many of a lesser one.
LONGEST = 1
#: A store that takes no grids is tried again after this.
STORE_AGAIN_S = 1.0

logger = logging.getLogger(__name__)


class GridError(Exception):
    """A grid that cannot be made of a viewer's state."""


class GridMaker(Protocol):
    """Makes the first pages of viewers' grids from their states."""

    def make(
        self, viewer_ids: Sequence[str], states: Sequence[ViewerState], now_ms: int
    ) -> list[EncodedGrid]:
        """The grids, one for each viewer in order."""
        ...

    def is_full(self, document: GridDocument) -> bool:
        """Whether there were as many items as asked for."""
        ...


class Urgency(IntEnum):
    """Why a viewer waits for a grid, the most urgent first."""

    WATCHING = 0
    ACTED = 1
    VIEWED = 2
    BACKGROUND = 3


#: Share of the time that may go into grids that nobody is known to look at. A ranker that always
#: works takes the processor from those who fold events, and each of the many turns of the event
#: loop between a touch in Kafka and its place in the queue waits for another grid.
SHARES = {Urgency.ACTED: 0.6, Urgency.VIEWED: 0.4, Urgency.BACKGROUND: 0.25}
#: The same where many wait: then it is the grids that are behind.
BUSY_SHARE = 0.85


class _Chunk:
    """Counts the viewers of a chunk that still wait."""

    __slots__ = ("_finish", "_waiting")

    def __init__(self, waiting: int, finish: Finish) -> None:
        self._waiting = waiting
        self._finish = finish

    def done(self) -> None:
        self._waiting -= 1
        if self._waiting == 0:
            self._finish()


def _done(chunk: _Chunk | None) -> None:
    if chunk is not None:
        chunk.done()


class _Slowness:
    """How late even the newest events of the last minute or two are, in ms."""

    def __init__(self) -> None:
        self._least, self._before = math.inf, math.inf
        self._since_s = -math.inf

    def of(self, late_ms: float, now_s: float) -> float:
        """Note how late events are; returns the least, 0 where it is more than a clock's fault."""
        if now_s - self._since_s >= SLOWNESS_S:
            passed = now_s - self._since_s >= 2 * SLOWNESS_S
            self._before, self._since_s = math.inf if passed else self._least, now_s
            self._least = math.inf
        self._least = min(self._least, max(late_ms, 0))
        least = min(self._least, self._before)
        return least if least <= MAX_SLOW_MS else 0.0


class Ranking:
    """Keeps grids fresh for touched viewers.

    Args:
        made: told each viewer and stored grid (JSON) that was made, before it is stored.
        is_forgotten: of whom no grid is stored.
        stored: told whose grids are stored.
    """

    def __init__(
        self,
        store: Store,
        maker: GridMaker,
        made: Callable[[str, bytes], None] = lambda *_: None,
        is_forgotten: IsForgotten = lambda _: False,
        stored: Callable[[Iterable[str]], None] = lambda _: None,
    ) -> None:
        self._is_forgotten = is_forgotten
        self._store = store
        self._maker = maker
        self._made, self._stored = made, stored
        self._waiting: dict[Urgency, OrderedDict[str, _Chunk | None]] = {
            urgency: OrderedDict() for urgency in Urgency
        }
        self._active: OrderedDict[str, None] = OrderedDict()
        self._asked_s: OrderedDict[str, float] = OrderedDict()
        self._short: OrderedDict[str, None] = OrderedDict()
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._making = asyncio.Lock()
        self._storing = True
        self._slowness = _Slowness()
        self.ranked = 0

    @property
    def waiting(self) -> int:
        """Viewers touched whose grid is not made yet."""
        return sum(map(len, self._waiting.values()))

    def touch(self, touches: Sequence[Touched], finish: Finish) -> None:
        """Rank these viewers soon; calls `finish` when nothing of this chunk waits any more."""
        now, watching_from = now_ms(), time.monotonic() - WATCHING_S
        newest_late = now - max((touch.ts for touch in touches), default=0)
        fresh_from = now - FRESH_MS - self._slowness.of(newest_late, time.monotonic())
        urgencies: dict[str, Urgency] = {}
        for touch in touches:
            asked = self._asked_s.get(touch.viewer_id, -math.inf) >= watching_from
            if asked and touch.ts >= now - MAX_SLOW_WATCHING_MS:
                urgency = Urgency.WATCHING
            elif touch.ts < fresh_from:
                urgency = Urgency.BACKGROUND
            else:
                urgency = Urgency.VIEWED if touch.viewed else Urgency.ACTED
            urgencies[touch.viewer_id] = min(urgency, urgencies.get(touch.viewer_id, urgency))
        if not urgencies:
            finish()
            return
        chunk = _Chunk(len(urgencies), finish)
        for viewer_id, urgency in urgencies.items():
            for before, queue in self._waiting.items():
                if viewer_id in queue:
                    _done(queue.pop(viewer_id))
                    urgency = min(urgency, before)
            self._waiting[urgency][viewer_id] = chunk
            self._active.pop(viewer_id, None)
            self._active[viewer_id] = None
        while len(self._active) > MAX_ACTIVE:
            self._active.popitem(last=False)
        self._drop_beyond(MAX_WAITING)
        self._wake.set()
        if min(urgencies.values()) not in SHARES:
            self._urgent.set()

    def _drop_beyond(self, most: int) -> None:
        beyond = self.waiting - most
        for queue in reversed(self._waiting.values()):
            while queue and beyond > 0:
                _done(queue.popitem(last=False)[1])
                beyond -= 1

    def asked(self, viewer_id: str) -> None:
        """A page of this viewer was asked for: what she does next is to show at once."""
        if self._is_forgotten(viewer_id):
            return
        self._asked_s.pop(viewer_id, None)
        self._asked_s[viewer_id] = time.monotonic()
        while len(self._asked_s) > MAX_ACTIVE:
            self._asked_s.popitem(last=False)

    def active(self, most: int) -> list[str]:
        """Viewers who were touched last, the last one first."""
        return list(islice(reversed(self._active), most))

    def forget(self) -> None:
        """Drop who is forgotten by now from all that is remembered of viewers."""
        for remembered in (self._active, self._asked_s, self._short):
            for viewer_id in [name for name in remembered if self._is_forgotten(name)]:
                del remembered[viewer_id]
        for queue in self._waiting.values():
            for viewer_id in [name for name in queue if self._is_forgotten(name)]:
                _done(queue.pop(viewer_id))

    def behind(self, viewer_id: str) -> None:
        """Make the grid of a viewer anew soon: the one that was answered is not of what is live."""
        for urgency, queue in self._waiting.items():
            if viewer_id in queue:
                if urgency is Urgency.BACKGROUND:
                    self._waiting[Urgency.VIEWED][viewer_id] = queue.pop(viewer_id)
                return
        self._waiting[Urgency.VIEWED][viewer_id] = None
        self._drop_beyond(MAX_WAITING)
        self._wake.set()

    def later(self, viewer_id: str) -> None:
        """Make the grid of a viewer anew in the background."""
        self._again([viewer_id])
        self._drop_beyond(MAX_WAITING)

    def refresh(self) -> None:
        """Rank recently active viewers again, in the background."""
        self._again(self._active)

    def inventory_changed(self) -> None:
        """Rank viewers again whose grid is short: a like may come before the media it is near."""
        self._again(self._short)

    def _again(self, viewer_ids: Iterable[str]) -> None:
        for viewer_id in viewer_ids:
            if not self.waits(viewer_id):
                self._waiting[Urgency.BACKGROUND][viewer_id] = None
        self._wake.set()

    async def run(self) -> None:
        """Make grids, the most urgent first, until cancelled."""
        while True:
            urgency = next((u for u, queue in self._waiting.items() if queue), None)
            if urgency is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            self._urgent.clear()
            share = SHARES.get(urgency)
            if share is not None and urgency is not Urgency.BACKGROUND and self._many(urgency):
                share = BUSY_SHARE
            stored, worked_s = await self._rank(self._next(urgency))
            if not stored:
                await asyncio.sleep(STORE_AGAIN_S)
            elif share is not None:
                # Of the work alone: after a store that was away nobody need wait any longer.
                pause = worked_s * (1 / share - 1)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._urgent.wait(), pause)

    def _next(self, urgency: Urgency) -> list[str]:
        """Some who wait, of this urgency, which is the greatest of all, and of lesser ones."""
        queue, many = self._waiting[urgency], self._many(urgency)
        if not many and urgency is not Urgency.BACKGROUND:
            return [next(reversed(queue))]
        # Few at once: whatever waits for the event loop, a touch or a lookup, waits for these.
        if not many:
            return list(islice(reversed(queue), BATCH))
        longest = list(islice(queue, LONGEST))
        lesser = (self._waiting[of] for of in Urgency if of > urgency)
        longest += islice(next(filter(None, lesser), ()), LONGEST)
        return [*islice(reversed(queue), BATCH - len(longest)), *longest]

    def _many(self, urgency: Urgency) -> bool:
        return len(self._waiting[urgency]) >= MANY_WAIT

    async def _rank(self, names: list[str]) -> tuple[bool, float]:
        """Make grids of some who wait; returns whether they were stored, and seconds of work."""
        _, stored, worked_s = await self._make(names)
        return stored, worked_s

    def waits(self, viewer_id: str) -> bool:
        """Whether the viewer was touched and her grid is not made yet."""
        return any(viewer_id in queue for queue in self._waiting.values())

    async def make_now(self, viewer_ids: Iterable[str]) -> list[EncodedGrid]:
        """Make the grids of these viewers and store them; they need not wait any more.

        A store that takes no grids now is no reason to answer without one: they are returned all
        the same, and who waited waits on.

        Raises:
            GridError: a grid cannot be made.
        """
        names = list(viewer_ids)
        made, *_ = await self._make(names)
        if failed := [name for name in names if name not in made]:
            raise GridError(f"no grid can be made for viewer {failed[0]!r}; the log says why")
        return [made[name] for name in names]

    async def _make(self, names: list[str]) -> tuple[dict[str, EncodedGrid], bool, float]:
        """Grids by viewer, without those that cannot be made; whether they are stored; the seconds
        that making them took, without what the store took."""
        # One at a time: a request must not store a grid made from an older state over a newer one.
        async with self._making:
            # Taken out before the state is read: a touch from here on is of a newer state.
            taken = [
                (queue, name, queue.pop(name))
                for name in names
                for queue in self._waiting.values()
                if name in queue
            ]
            made: dict[str, EncodedGrid] = {}
            worked_s = 0.0
            try:
                states = await self._store.load(names)
                began_s = time.monotonic()
                made = self._make_each(names, [one.state for one in states], now_ms())
                worked_s = time.monotonic() - began_s
                revisions = dict(zip(names, (one.revision for one in states), strict=True))
                made = {name: of.at_revision(revisions[name]) for name, of in made.items()}
                # Noted before anything else can run: media may arrive while grids are stored.
                self._note_short(made)
                # Who was forgotten since is not stored again.
                kept = {name: of.json for name, of in made.items() if not self._is_forgotten(name)}
                for name, grid in kept.items():
                    self._made(name, grid)
                await self._store.save_grids(list(kept), list(kept.values()))
            except BaseException as error:
                for queue, name, chunk in taken:
                    if self.waits(name):
                        _done(chunk)
                    else:
                        queue[name] = chunk
                if made and isinstance(error, UnreachableError):
                    self._not_stored(error)
                    return made, False, worked_s
                raise
            self._storing = True
        self._stored(made)
        for _, _, chunk in taken:
            _done(chunk)
        # Whoever waits in the background was touched by old events, or waits for new models.
        late = self._waiting[Urgency.BACKGROUND]
        touched = [name for queue, name, chunk in taken if chunk is not None and queue is not late]
        note_made(made.values(), worked_s)
        note_answered([made[name] for name in touched if name in made], now_ms())
        self.ranked += len(names)
        GRIDS.inc(len(made))
        GRIDS_WAITING.set(self.waiting)
        return made, True, worked_s

    def _make_each(
        self, names: Sequence[str], states: Sequence[ViewerState], now: int
    ) -> dict[str, EncodedGrid]:
        """Grids of a batch; where one of them cannot be made, of all the others."""
        try:
            return dict(zip(names, self._maker.make(names, states, now), strict=True))
        except Exception:
            # Whatever it is, it is of one viewer until everybody has it.
            if len(names) == 1:
                GRIDS_FAILED.inc()
                logger.exception("no grid can be made for viewer %r, who keeps the last", names[0])
                return {}
        made: dict[str, EncodedGrid] = {}
        for name, state in zip(names, states, strict=True):
            made |= self._make_each([name], [state], now)
        return made

    def _not_stored(self, error: UnreachableError) -> None:
        """Say once that the store takes no grids."""
        if self._storing:
            logger.warning("grids are made and not stored, trying again: %s", error)
        self._storing = False

    def _note_short(self, made: Mapping[str, EncodedGrid]) -> None:
        for viewer_id, grid in made.items():
            self._short.pop(viewer_id, None)
            if not self._maker.is_full(grid.document):
                self._short[viewer_id] = None
        while len(self._short) > MAX_ACTIVE:
            self._short.popitem(last=False)
