"""Viewer touched → a fresh grid in Redis.

Touches of one viewer coalesce, and the newest touched viewer comes first: when touches arrive
faster than grids can be made, whoever is active right now still gets a fresh one, and each viewer
is ranked once for many events. A chunk of touches is finished once every viewer in it has a grid
or stands in a newer chunk.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from infra.stores import Store
from models.viewer_state import ViewerState
from streams.clock import now_ms
from streams.sessions import Touched

#: Viewers ranked before the event loop gets its turn: bounds what a lookup waits behind them.
BATCH = 4
#: Viewers remembered as recently active, to be ranked again when the models change.
MAX_ACTIVE = 10_000

Finish = Callable[[], None]


class GridMaker(Protocol):
    """Makes one viewer's first page."""

    def make(self, viewer_id: str, state: ViewerState, now_ms: int) -> bytes:
        """The grid as JSON."""
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
        self._waiting: OrderedDict[str, _Chunk | None] = OrderedDict()
        self._active: OrderedDict[str, None] = OrderedDict()
        self._wake = asyncio.Event()
        self.ranked = 0

    @property
    def waiting(self) -> int:
        """Viewers touched whose grid is not made yet."""
        return len(self._waiting)

    def touch(self, touches: Sequence[Touched], finish: Finish) -> None:
        """Rank these viewers soon; calls `finish` when nothing of this chunk waits any more."""
        viewer_ids = {touch.viewer_id for touch in touches}
        if not viewer_ids:
            finish()
            return
        chunk = _Chunk(len(viewer_ids), finish)
        for viewer_id in viewer_ids:
            older = self._waiting.pop(viewer_id, None)
            self._waiting[viewer_id] = chunk
            if older is not None:
                older.done()
            self._active.pop(viewer_id, None)
            self._active[viewer_id] = None
        while len(self._active) > MAX_ACTIVE:
            self._active.popitem(last=False)
        self._wake.set()

    def refresh(self) -> None:
        """Rank recently active viewers again, after everybody who was touched."""
        for viewer_id in self._active:
            if viewer_id not in self._waiting:
                self._waiting[viewer_id] = None
                self._waiting.move_to_end(viewer_id, last=False)
        self._wake.set()

    async def run(self) -> None:
        """Make grids until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = [self._waiting.popitem() for _ in range(min(BATCH, len(self._waiting)))]
                await self.make_now([viewer_id for viewer_id, _ in batch])
                for _, chunk in batch:
                    if chunk is not None:
                        chunk.done()

    async def make_now(self, viewer_ids: Iterable[str]) -> list[bytes]:
        """Make and store the grids of these viewers."""
        names = list(viewer_ids)
        states = await self._store.load(names)
        grids = [
            self._maker.make(viewer_id, versioned.state, now_ms())
            for viewer_id, versioned in zip(names, states, strict=True)
        ]
        await self._store.save_grids(names, grids)
        self.ranked += len(names)
        return grids
