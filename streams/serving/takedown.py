"""Media that must not be shown any more → ready grids without them, within seconds.

The catalogue says at once what is deleted, flagged, or of an account that went private or was
disabled, but a grid is made anew only when its viewer does something. So whoever makes grids knows
which media are in them, looks through that after each change of the catalogue, takes what is
forbidden out of the stored grids, and has their viewers ranked again behind that.

Each ranker looks after the grids that it made and those that were ready when it started, or when
viewers of another ranker came to it: that one may be gone, and nobody else know what it made. Two
that look after the same grid take turns: a grid is replaced only as it was read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from infra.metrics import TAKE_DOWN_AGE, TAKEN_DOWN
from infra.stores import Replaced, Store
from models.arrays.types import Rows
from models.explore.stamp import Stamp
from models.explore.withdrawal import media_of, without
from models.world import World
from streams.clock import now_ms
from streams.serving.explorer import Explorer

#: From one look to the next at least, so that a busy catalogue costs a small share of the time.
PAUSE_S: Final = 0.25
#: Looks take about this share of the time, as long as the next one is not further away than this.
SHARE: Final = 0.1
MAX_PAUSE_S: Final = 1.0
#: Grids read and written at once.
AT_ONCE: Final = 64
#: A grid that was just made may not be stored yet, and is looked for again until it must be.
STORED_AFTER_MS: Final = 15_000


class Takedown:
    """Keeps ready grids free of what must not be shown.

    Args:
        again: has a viewer ranked again, behind everything that is urgent.
        found: is given each viewer and ready grid (JSON) that was not made here.
    """

    def __init__(
        self,
        store: Store,
        explorer: Explorer,
        world: World,
        again: Callable[[str], None],
        found: Callable[[str, bytes], None] = lambda *_: None,
    ) -> None:
        self._store, self._explorer, self._world = store, explorer, world
        self._again, self._found = again, found
        self._wake = asyncio.Event()
        self._search = asyncio.Event()
        self._search.set()
        self._told_ms: int | None = None
        self._held_since: dict[int, int] = {}

    def look(self, told_ms: int) -> None:
        """The catalogue changed; the record that said so was written at `told_ms`."""
        self._told_ms = told_ms if self._told_ms is None else min(self._told_ms, told_ms)
        self._wake.set()

    def hold(self, accounts: Rows) -> None:
        """These accounts, and no others, are held back; ready grids must not show those that are
        new among them.
        """
        now = now_ms()
        held = set(accounts.tolist())
        known = self._held_since
        if held - known.keys():
            self.look(now)
        self._held_since = {row: known.get(row, now) for row in held}

    def search(self) -> None:
        """Another ranker is gone, or has taken over: who knows the grids that it made?"""
        self._search.set()

    async def begin(self, within_s: float) -> None:
        """Find what is ready before anybody asks; what that does not find is found behind.

        Args:
            within_s: no longer than this: a store that is away is not waited for.
        """
        self._search.clear()
        try:
            async with asyncio.timeout(within_s):
                await self.find_ready()
        except TimeoutError:
            self._search.set()

    async def _searching(self) -> None:
        while True:
            await self._search.wait()
            self._search.clear()
            await self.find_ready()

    async def run(self) -> None:
        """Look through grids after each change, until cancelled."""
        finding = asyncio.ensure_future(self._searching())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                started = time.monotonic()
                if not await self.sweep():
                    self._wake.set()
                took_s = time.monotonic() - started
                await asyncio.sleep(min(MAX_PAUSE_S, max(PAUSE_S, took_s * (1 / SHARE - 1))))
                if finding.done():
                    finding.result()
        finally:
            finding.cancel()
            await asyncio.gather(finding, return_exceptions=True)

    async def find_ready(self) -> None:
        """Take note of the grids that are ready already, and of what they must not show."""
        async for grids in self._store.grids():
            for viewer_id, json in grids:
                stamp = Stamp.of(json)
                try:
                    media_ids = media_of(json)
                except msgspec.DecodeError:
                    continue  # of a release that nobody reads any more
                made_ms = now_ms() if stamp is None else stamp.made_ms
                self._explorer.found_ready(viewer_id, media_ids, made_ms)
                self._found(viewer_id, json)
            self.look(now_ms())
            await asyncio.sleep(0)

    async def sweep(self) -> bool:
        """Take what is forbidden out of all grids; returns whether nothing is left to look for."""
        told_ms, self._told_ms = self._told_ms, None
        done = True
        for found in self._explorer.ready.forbidden(self._world.catalog, self._held_since):
            forbidden = iter(found)
            while some := dict(islice(forbidden, AT_ONCE)):
                done &= await self._take_out(some, told_ms)
            await asyncio.sleep(0)
        if not done:
            self._told_ms = told_ms
        return done

    async def _take_out(self, forbidden: Mapping[str, Rows], told_ms: int | None) -> bool:
        """Replace the grids of some viewers; returns whether all of them are free now."""
        ready, catalog = self._explorer.ready, self._world.catalog
        viewer_ids = list(forbidden)
        replaced: list[Replaced] = []
        done = True
        for viewer_id, json in zip(viewer_ids, await self._store.grids_of(viewer_ids), strict=True):
            rows = forbidden[viewer_id]
            left = None if json is None else _without(json, catalog.media_ids(rows[rows >= 0]))
            if json is not None and left is not None:
                replaced.append(Replaced(viewer_id, json, left))
            elif self._is_stored(viewer_id, json):
                ready.take_out(viewer_id, rows)
            else:
                done = False
        for one, stood in zip(replaced, await self._store.replace_grids(replaced), strict=True):
            if not stood:
                done = False
                continue
            if self._is_stored(one.viewer_id, one.old):
                ready.take_out(one.viewer_id, forbidden[one.viewer_id])
            else:
                done = False
            TAKEN_DOWN.inc()
            if told_ms is not None:
                TAKE_DOWN_AGE.observe(max(0, now_ms() - told_ms) / 1000)
            self._again(one.viewer_id)
        return done

    def _is_stored(self, viewer_id: str, json: bytes | None) -> bool:
        """Whether what stands in the store is what was made last, or must be by now."""
        made_ms = self._explorer.ready.made_ms(viewer_id) or 0
        stamp = None if json is None else Stamp.of(json)
        if stamp is not None and stamp.made_ms >= made_ms:
            return True
        return now_ms() - made_ms > STORED_AFTER_MS


def _without(json: bytes, gone: Sequence[str]) -> bytes | None:
    try:
        return without(json, set(gone))
    except msgspec.DecodeError:
        return None
