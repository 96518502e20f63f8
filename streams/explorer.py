"""Viewer state → grids, first pages and next ones.

The first page is the ready grid. Next pages are ranked anew without anything that the series
showed before, and stored: asking for the same cursor again gives the same page.
"""

from __future__ import annotations

import base64
import binascii
import logging
from typing import Any, Final

import msgspec
import numpy as np

from infra.config import Settings
from infra.stores import Store
from models.explore import ExploreConfig, explore
from models.grid import from_json, to_json
from models.impressions import StoredGrid, stored_grid
from models.viewer_context import ViewerContext
from models.viewer_state import ViewerState
from models.world import World
from streams.clock import now_ms
from streams.live_queries import LiveQueries

#: A viewer who scrolls further than this starts a new series.
MAX_PAGES: Final = 100

logger = logging.getLogger(__name__)


class CursorError(ValueError):
    """A cursor that this service did not give, or whose series has expired."""


class Cursor(msgspec.Struct, array_like=True):
    """Which page of which series comes next."""

    viewer_id: str
    series: str
    number: int

    def text(self) -> str:
        """The cursor as it travels."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str, viewer_id: str) -> Cursor:
        """The cursor that :meth:`text` wrote.

        Raises:
            CursorError: it is another viewer's, or no cursor at all.
        """
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            cursor = msgspec.json.decode(raw, type=cls)
        except (msgspec.DecodeError, binascii.Error, ValueError) as error:
            raise CursorError(
                f"cursor {text[:40]!r} was not given by this service; start without a cursor"
            ) from error
        if cursor.viewer_id != viewer_id or not 1 <= cursor.number <= MAX_PAGES:
            raise CursorError(
                f"cursor {text[:40]!r} does not belong to viewer {viewer_id!r}; "
                "start without a cursor"
            )
        return cursor


class Explorer:
    """Makes grids from the world in memory."""

    def __init__(
        self,
        settings: Settings,
        world: World,
        store: Store,
        queries: LiveQueries | None = None,
    ) -> None:
        self._settings = settings
        self._queries = queries or LiveQueries(settings)
        self._world = world
        self._store = store
        self._config = ExploreConfig(size=settings.grid_size)

    def make(self, viewer_id: str, state: ViewerState, now: int) -> bytes:
        """The first page as JSON."""
        return to_json(self._grid(viewer_id, state, now, []))

    def is_full(self, grid: bytes) -> bool:
        """Whether a grid has as many items as asked for."""
        return len(from_json(grid).items) >= self._config.size

    def is_current(self, grid: bytes, state: ViewerState) -> bool:
        """Whether a stored grid reflects this state and was made of and by what is live now."""
        try:
            document = from_json(grid)
        except msgspec.DecodeError:
            return False  # written by an older release
        if document.reflects_ts < state.reflects_ts():
            return False
        catalog = self._world.catalog
        rows = catalog.media_rows([item.media_id for item in document.items])
        if (rows < 0).any() or catalog.deleted_n[rows].any():
            return False
        live = {
            **self._world.versions(),
            "query": self._queries.of(document.viewer_id).plan.version,
        }
        return all(document.versions.get(name) == version for name, version in live.items())

    async def next_page(self, cursor: Cursor) -> bytes:
        """The page that a cursor stands for, the same one every time.

        Raises:
            CursorError: the series has expired.
        """
        pages = await self._store.pages(cursor.viewer_id, cursor.series)
        if len(pages) > cursor.number:
            return pages[cursor.number]
        if len(pages) < cursor.number:
            raise CursorError(
                f"the pages before this one expired after {self._settings.pages_ttl_s} s; "
                "start without a cursor"
            )
        shown = [item.media_id for page in pages for item in from_json(page).items]
        [(_, state)] = await self._store.load([cursor.viewer_id])
        page = to_json(self._grid(cursor.viewer_id, state, now_ms(), shown))
        return await self._store.add_page(cursor.viewer_id, cursor.series, cursor.number, page)

    def _grid(self, viewer_id: str, state: ViewerState, now: int, shown: list[str]) -> StoredGrid:
        world = self._world
        viewer = ViewerContext.from_state(
            viewer_id, state, world, now, self._settings.fold_config()
        )
        rows = world.catalog.media_rows(shown) if shown else np.empty(0, np.int32)
        query = self._queries.of(viewer_id)
        grid = explore(viewer, world, self._config, now, rows, query)
        return stored_grid(grid, world)

    async def query(self, viewer_id: str, text: str) -> dict[str, Any]:
        """What a query gives a viewer, and how it came to that.

        Raises:
            IgqlError: the query is wrong.
        """
        asked = self._queries.asked(text)
        [(_, state)] = await self._store.load([viewer_id])
        world, now = self._world, now_ms()
        viewer = ViewerContext.from_state(
            viewer_id, state, world, now, self._settings.fold_config()
        )
        executed = asked.find([viewer], world, now)
        found, catalog = executed.candidates(), world.catalog
        seeds = [None if row < 0 else catalog.account_id(row) for row in found.seed_n.tolist()]
        columns = zip(
            catalog.media_ids(found.media_n),
            catalog.author_ids(catalog.author_n[found.media_n]),
            [found.sources[code] for code in found.source_n.tolist()],
            seeds,
            found.score_n.tolist(),
            found.rank_n.tolist(),
            strict=True,
        )
        names = ("media_id", "author_id", "source", "seed", "score", "source_rank")
        return {
            "viewer_id": viewer_id,
            "version": asked.plan.version,
            "candidates": [dict(zip(names, row, strict=True)) for row in columns],
            "plan": executed.report.document(),
            "plan_lines": executed.report.lines(),
        }
