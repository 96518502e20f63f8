"""Viewer state → grids, first pages and next ones.

The first page is the ready grid. Next pages are ranked anew without anything that the series
showed before, and stored: asking for the same cursor again gives the same page.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Annotated, Any, Final

import msgspec

from infra.config import Settings
from infra.stores import Store
from models.explore.audit import Uncut, rank_uncut
from models.explore.diversity import DiversityConfig
from models.explore.experiment import Treatment
from models.explore.explanation import explain, explain_grid
from models.explore.exploration import ExplorationConfig
from models.explore.grid import GridDocument
from models.explore.impressions import EncodedGrid, StoredGrid
from models.explore.pipeline import ExploreConfig, Found, explore, find, funnel
from models.viewers.context import ViewerContext
from models.viewers.state import ViewerState
from models.world import World
from streams.clock import now_ms
from streams.serving.live_queries import LiveQueries
from streams.serving.sampled_grids import SampledGrids

#: A viewer who scrolls further than this starts a new series.
MAX_PAGES: Final = 100

logger = logging.getLogger(__name__)


class CursorError(ValueError):
    """A cursor that this service did not give, or whose series has expired."""


class Cursor(msgspec.Struct, array_like=True, frozen=True):
    """Which page of which series comes next.

    Whose series it is, the request says. A series is named by a digest of its first page, features
    included, which nobody is shown: the name cannot be guessed, and means nothing to anybody else.

    Attributes:
        series: 24 hexadecimal digits.
        number: of the page, from 0.
    """

    series: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{24}\Z")]
    number: Annotated[int, msgspec.Meta(ge=0, le=MAX_PAGES)]

    @classmethod
    def first(cls, page: bytes) -> Cursor:
        """The place of a stored page (JSON) that opens a series; the same for the same page."""
        return cls(blake2b(page, digest_size=12).hexdigest(), 0)

    def text(self) -> str:
        """The cursor as it travels."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The cursor of a next page, as :meth:`text` wrote it and not otherwise.

        Raises:
            CursorError: it is none.
        """
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            cursor = msgspec.json.decode(raw, type=cls)
        except (msgspec.DecodeError, binascii.Error, ValueError):
            cursor = None
        if cursor is None or not cursor.number or cursor.text() != text:
            raise CursorError(
                f"cursor {text[:40]!r} was not given by this service; start without a cursor"
            )
        return cursor


def explore_config(settings: Settings) -> ExploreConfig:
    """The part of the settings that grids depend on."""
    return ExploreConfig(
        size=settings.grid_size,
        diversity=DiversityConfig(
            author_spacing=settings.author_spacing,
            author_cap=settings.author_cap,
            seed_cap=settings.seed_cap,
        ),
        exploration=ExplorationConfig(
            share=settings.exploration_share,
            max_age_ms=settings.exploration_max_age_ms,
            max_views=settings.exploration_max_views,
        ),
    )


class Explorer:
    """Makes grids from the world in memory.

    Args:
        queries: on whose tables queries run that somebody asks for.
        treatment_of: what a viewer's arm gives her, by what is live now.
    """

    def __init__(
        self,
        settings: Settings,
        world: World,
        store: Store,
        queries: LiveQueries,
        treatment_of: Callable[[str], Treatment],
    ) -> None:
        self._settings = settings
        self._queries = queries
        self._treatment_of = treatment_of
        self._world = world
        self._store = store
        self._config = explore_config(settings)
        #: What the earlier passes lose and have to sort, from a sample of the grids made.
        self.sampled = SampledGrids(settings.sampled_grids_per_minute, self._rank_uncut)

    def make(
        self, viewer_ids: Sequence[str], states: Sequence[ViewerState], now: int
    ) -> list[EncodedGrid]:
        """The first pages; viewers of one arm are ranked in one batch."""
        by_arm: dict[str, tuple[Treatment, list[int]]] = {}
        for at, viewer_id in enumerate(viewer_ids):
            treatment = self._treatment_of(viewer_id)
            by_arm.setdefault(treatment.arm, (treatment, []))[1].append(at)
        grids: dict[int, EncodedGrid] = {}
        for treatment, places in by_arm.values():
            viewers = [(viewer_ids[at], states[at]) for at in places]
            found = self._find(viewers, treatment, now)
            for at, trace in zip(places, funnel(found, self._world, self._config), strict=True):
                grids[at] = EncodedGrid.of(trace.grid, self._world)
        for viewer_id, state in zip(viewer_ids, states, strict=True):
            self.sampled.sample(viewer_id, state)
        return [grids[at] for at in range(len(viewer_ids))]

    def is_full(self, document: GridDocument) -> bool:
        """Whether a grid has as many items as asked for."""
        return len(document.items) >= self._config.size

    def is_current(self, document: GridDocument, state: ViewerState) -> bool:
        """Whether a grid reflects this state and was made of and by what is live now."""
        if not document.reflects(state):
            return False
        catalog = self._world.catalog
        rows = catalog.media_rows([item.media_id for item in document.items])
        if (rows < 0).any() or catalog.deleted_n[rows].any():
            return False
        live = self._treatment_of(document.viewer_id).versions(self._world)
        return all(document.versions.get(name) == version for name, version in live.items())

    async def next_page(self, viewer_id: str, cursor: Cursor) -> StoredGrid:
        """The page of a viewer that a cursor stands for, the same one every time.

        Raises:
            CursorError: the series has expired, or is another viewer's.
            UnreachableError: the store does not keep the page now.
        """
        pages, [(_, state, *_)] = await asyncio.gather(
            self._store.pages(viewer_id, cursor.series),
            self._store.load([viewer_id]),
        )
        if not pages and cursor.number == 1:
            pages = await self._keep_first(viewer_id, cursor)
        if len(pages) < cursor.number:
            raise CursorError(
                f"viewer {viewer_id!r} has no series of this cursor, or its pages expired after "
                f"{self._settings.pages_ttl_s} s; start without a cursor"
            )
        try:
            if len(pages) > cursor.number:
                return EncodedGrid.decode(pages[cursor.number]).document
            before = [EncodedGrid.decode(page).document for page in pages]
        except msgspec.DecodeError as error:
            raise CursorError(
                f"the pages before this one cannot be read ({error}); start without a cursor"
            ) from error
        shown = [item.media_id for document in before for item in document.items]
        page = self._next(viewer_id, state, shown)
        return await self.keep(viewer_id, cursor, page)

    async def _keep_first(self, viewer_id: str, cursor: Cursor) -> list[bytes]:
        """The first page of a series, if the store took no pages when it was answered.

        It was the ready grid, and is found as long as no newer one is.
        """
        json = await self._store.grid(viewer_id)
        if json is None or Cursor.first(json).series != cursor.series:
            return []
        await self._store.add_page(viewer_id, cursor.series, 0, json)
        return [json]

    async def keep(self, viewer_id: str, cursor: Cursor, page: EncodedGrid) -> StoredGrid:
        """Store the page that a cursor stands for, unless one stands there; returns that one.

        Raises:
            UnreachableError: the store takes none now.
        """
        stands = await self._store.add_page(viewer_id, cursor.series, cursor.number, page.json)
        return page.document_of(stands)

    def _next(self, viewer_id: str, state: ViewerState, shown: list[str]) -> EncodedGrid:
        world, now = self._world, now_ms()
        viewer = self._context(viewer_id, state, now)
        rows = world.catalog.media_rows(shown)
        treatment = self._treatment_of(viewer_id)
        grid = explore(viewer, world, treatment, self._config, now, rows)
        return EncodedGrid.of(grid, world)

    def _find(
        self, viewers: Sequence[tuple[str, ViewerState]], treatment: Treatment, now: int
    ) -> Found:
        """Candidates of viewers of one arm."""
        fold = self._settings.fold_config()
        contexts = ViewerContext.from_states(viewers, self._world, now, fold)
        return find(contexts, self._world, treatment, now)

    def _find_one(self, viewer_id: str, state: ViewerState) -> Found:
        return self._find([(viewer_id, state)], self._treatment_of(viewer_id), now_ms())

    def _context(self, viewer_id: str, state: ViewerState, now: int) -> ViewerContext:
        fold = self._settings.fold_config()
        return ViewerContext.from_state(viewer_id, state, self._world, now, fold)

    def _rank_uncut(self, viewer_id: str, state: ViewerState) -> Uncut:
        return rank_uncut(self._find_one(viewer_id, state), self._world, self._config)

    async def explain(self, viewer_id: str, media_id: str | None) -> dict[str, Any]:
        """What became of one media in a grid made now, or of all that it shows."""
        [(_, state, *_)] = await self._store.load([viewer_id])
        world = self._world
        found = self._find_one(viewer_id, state)
        [trace] = funnel(found, world, self._config)
        told = {
            "viewer_id": viewer_id,
            "generated_at_ms": trace.grid.generated_at_ms,
            "reflects_ts": trace.grid.reflects_ts,
            "weights": found.treatment.weights,
            "versions": trace.grid.versions,
            "candidates": len(trace.candidates),
            "kept": [len(trace.first_k), len(trace.second_m), len(trace.shown)],
            "dropped": trace.grid.dropped,
        }
        if media_id is None:
            return {**told, "items": explain_grid(trace, found, world)}
        return {**told, "media": explain(media_id, trace, found, world)}

    async def query(self, viewer_id: str, text: str) -> dict[str, Any]:
        """What a query gives a viewer, and how it came to that.

        Raises:
            IgqlError: the query is wrong.
        """
        asked = self._queries.asked(text)
        [(_, state, *_)] = await self._store.load([viewer_id])
        world, now = self._world, now_ms()
        viewer = self._context(viewer_id, state, now)
        rankers = self._treatment_of(viewer_id).rankers
        executed = asked.find([viewer], world, rankers, now)
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
