"""Viewer touched → a fresh grid in Redis.

Touches of one viewer coalesce, and the newest touched viewer comes first: when touches arrive
faster than grids can be made, whoever is active right now still gets a fresh one, and each viewer
is ranked once for many events. Viewers touched by old events (a replay, a backlog after a pause)
and viewers to be ranked again because the models changed wait in the background, which gets only
a share of the time. A chunk of touches is finished once every viewer in it has a grid or stands
in a newer chunk.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Any, Protocol

from infra.stores import Store
from models.viewer_state import ViewerState
from streams.clock import now_ms
from streams.ingest import Touched

#: Viewers ranked before the event loop gets its turn: bounds what a lookup waits behind them.
BATCH = 4
#: A touch by an event older than this is background work: its viewer is not looking at a grid now.
FRESH_MS = 15 * 60 * 1000
#: Share of the time that background work may take while nothing fresh waits.
BACKGROUND_SHARE = 0.25
#: Viewers remembered as recently active, to be ranked again when the models change.
MAX_ACTIVE = 10_000

Finish = Callable[[], None]


class GridMaker(Protocol):
    """Makes one viewer's first page."""

    def make(self, viewer_id: str, state: ViewerState, now_ms: int) -> bytes:
        """The grid as JSON."""
        ...

    def is_full(self, grid: bytes) -> bool:
        """Whether there were as many items as asked for."""
        ...


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


class Ranking:
    """Keeps grids fresh for touched viewers."""

    def __init__(self, store: Store, maker: GridMaker) -> None:
        self._store = store
        self._maker = maker
        self._fresh: OrderedDict[str, _Chunk] = OrderedDict()
        self._background: OrderedDict[str, _Chunk | None] = OrderedDict()
        self._active: OrderedDict[str, None] = OrderedDict()
        self._short: OrderedDict[str, None] = OrderedDict()
        self._wake = asyncio.Event()
        self._making = asyncio.Lock()
        self.ranked = 0

    @property
    def waiting(self) -> int:
        """Viewers touched whose grid is not made yet."""
        return len(self._fresh) + len(self._background)

    def touch(self, touches: Sequence[Touched], finish: Finish) -> None:
        """Rank these viewers soon; calls `finish` when nothing of this chunk waits any more."""
        newest: dict[str, int] = {}
        for touch in touches:
            newest[touch.viewer_id] = max(touch.ts, newest.get(touch.viewer_id, 0))
        if not newest:
            finish()
            return
        chunk = _Chunk(len(newest), finish)
        fresh_from = now_ms() - FRESH_MS
        for viewer_id, ts in newest.items():
            fresh = ts >= fresh_from or viewer_id in self._fresh
            for queue in (self._fresh, self._background):
                older = queue.pop(viewer_id, None)
                if older is not None:
                    older.done()
            if fresh:
                self._fresh[viewer_id] = chunk
            else:
                self._background[viewer_id] = chunk
            self._active.pop(viewer_id, None)
            self._active[viewer_id] = None
        while len(self._active) > MAX_ACTIVE:
            self._active.popitem(last=False)
        self._wake.set()

    def refresh(self) -> None:
        """Rank recently active viewers again, in the background."""
        for viewer_id in self._active:
            if viewer_id not in self._fresh and viewer_id not in self._background:
                self._background[viewer_id] = None
        self._wake.set()

    def inventory_changed(self) -> None:
        """Rank viewers again whose grid is short: a like may come before the media it is near."""
        for viewer_id in self._short:
            if viewer_id not in self._fresh and viewer_id not in self._background:
                self._background[viewer_id] = None
        if self._short:
            self._wake.set()

    async def run(self) -> None:
        """Make grids until cancelled."""
        while True:
            if self._fresh:
                await self._rank(self._fresh)
            elif self._background:
                started = time.monotonic()
                await self._rank(self._background)
                self._wake.clear()
                pause = (time.monotonic() - started) * (1 / BACKGROUND_SHARE - 1)
                # A fresh touch ends the pause.
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause)
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _rank(self, queue: MutableMapping[str, Any]) -> None:
        batch = [queue.popitem() for _ in range(min(BATCH, len(queue)))]
        await self.make_now([viewer_id for viewer_id, _ in batch])
        for _, chunk in batch:
            if chunk is not None:
                chunk.done()

    async def make_now(self, viewer_ids: Iterable[str]) -> list[bytes]:
        """Make and store the grids of these viewers."""
        names = list(viewer_ids)
        # One at a time: a request must not store a grid made from an older state over a newer one.
        async with self._making:
            states = await self._store.load(names)
            grids = [
                self._maker.make(viewer_id, versioned.state, now_ms())
                for viewer_id, versioned in zip(names, states, strict=True)
            ]
            # Noted before anything else can run: media may arrive while the grids are stored.
            self._note_short(names, grids)
            await self._store.save_grids(names, grids)
        self.ranked += len(names)
        return grids

    def _note_short(self, viewer_ids: Sequence[str], grids: Sequence[bytes]) -> None:
        for viewer_id, grid in zip(viewer_ids, grids, strict=True):
            self._short.pop(viewer_id, None)
            if not self._maker.is_full(grid):
                self._short[viewer_id] = None
        while len(self._short) > MAX_ACTIVE:
            self._short.popitem(last=False)
