"""Viewer state → grids, first pages and next ones.

The first page is the ready grid. Next pages are ranked anew without anything that the series
showed before, and stored: asking for the same cursor again gives the same page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np

from infra.config import Settings
from infra.http.weights import Reranked, RerankedItem
from infra.metrics import RELAXED
from infra.stores import Store
from models.arrays.types import Mask
from models.explore.audit import Uncut, rank_uncut
from models.explore.cursor import Cursor, CursorError
from models.explore.diversity import DiversityConfig
from models.explore.explanation import explain, explain_grid, value_terms
from models.explore.exploration import ExplorationConfig
from models.explore.grid import Grid, GridDocument, to_json
from models.explore.impressions import EncodedGrid, StoredGrid, of_viewer
from models.explore.pipeline import ExploreConfig, Found, explore, find, funnel
from models.explore.randomisation import RandomisationConfig
from models.explore.ready_index import ReadyIndex
from models.explore.stamp import digest_of
from models.explore.treatment import Treatment
from models.explore.withdrawal import media_of, without
from models.inventory.availability import may_be_shown
from models.viewers.context import ViewerContext
from models.viewers.state import ViewerState
from models.world import World
from streams.clock import now_ms
from streams.serving.live_queries import LiveQueries
from streams.serving.sampled_grids import SampledGrids

#: Viewers of whom nothing is known are shown the same grid for so long.
COLD_MS: Final = 60_000

logger = logging.getLogger(__name__)


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
        randomisation=RandomisationConfig(share=settings.randomised_share),
    )


class Explorer:
    """Makes grids from the world in memory.

    Args:
        queries: on whose tables queries run that somebody asks for.
        treatment_of: what a viewer's arm gives her, by what is live now.
        cursor_key: that cursors are signed with.
    """

    def __init__(
        self,
        settings: Settings,
        world: World,
        store: Store,
        queries: LiveQueries,
        treatment_of: Callable[[str], Treatment],
        cursor_key: bytes = b"",
    ) -> None:
        self._settings = settings
        self._cursor_key = cursor_key
        self._cold: dict[str, tuple[str, int, StoredGrid]] = {}
        self._queries = queries
        self._treatment_of = treatment_of
        self._world = world
        self._store = store
        self._config = explore_config(settings)
        #: Where one grid is for many viewers, or compared with another, nothing is left to chance.
        self._ordered = msgspec.structs.replace(self._config, randomisation=RandomisationConfig())
        #: The media of the grids that were made here, or found in the store.
        self.ready = ReadyIndex(settings.grid_ttl_s * 1000)
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
            live, bounds = digest_of(treatment.versions(self._world)), treatment.query.plan.bounds
            for at, trace in zip(places, funnel(found, self._world, self._config), strict=True):
                grids[at] = self._encoded(trace.grid, live)
                self.ready.note(viewer_ids[at], trace.grid.media_n, bounds, now)
                if trace.grid.relaxed:
                    RELAXED.labels(trace.grid.relaxed[-1]).inc()
        for viewer_id, state in zip(viewer_ids, states, strict=True):
            self.sampled.sample(viewer_id, state)
        return [grids[at] for at in range(len(viewer_ids))]

    def cold(self, viewer_id: str, now: int, *, goes_on: bool = True) -> bytes:
        """The first page (JSON) of a viewer of whom nothing is known.

        All of an arm are shown the same for :data:`COLD_MS`, or until some of it must not be shown
        any more, so that ids which somebody makes up cost no ranking; nothing is stored for them.

        Args:
            goes_on: with a cursor of the page after it.
        """
        treatment = self._treatment_of(viewer_id)
        live = digest_of(treatment.versions(self._world))
        kept = self._cold.get(treatment.arm)
        if (
            kept is None
            or kept[0] != live
            or not 0 <= now - kept[1] < COLD_MS
            # Media may have come since.
            or not self.is_full(kept[2])
            or not self._may_be_shown([item.media_id for item in kept[2].items], viewer_id).all()
        ):
            found = self._find([(viewer_id, ViewerState())], treatment, now)
            [trace] = funnel(found, self._world, self._ordered)
            kept = live, now, self._encoded(trace.grid, live).document
            self._cold[treatment.arm] = kept
        page = of_viewer(kept[2], viewer_id, self._cursor_key)
        return to_json(page if goes_on else msgspec.structs.replace(page, next=None))

    def is_full(self, document: GridDocument) -> bool:
        """Whether a grid has as many items as asked for."""
        return len(document.items) >= self._config.size

    def found_ready(self, viewer_id: str, media_ids: Sequence[str], made_ms: int) -> None:
        """Take note of a ready grid that was not made here."""
        known_ms = self.ready.made_ms(viewer_id)
        if known_ms is None or known_ms < made_ms:
            bounds = self._treatment_of(viewer_id).query.plan.bounds
            rows = self._world.catalog.media_rows(media_ids)
            self.ready.note(viewer_id, rows, bounds, made_ms)

    async def next_page(self, viewer_id: str, cursor_text: str) -> bytes:
        """The stored page (JSON) of a viewer that a cursor stands for, the same one every time.

        Of what must not be shown any more it has lost what it showed.

        Raises:
            CursorError: it is no cursor of this viewer, or the series has expired.
            UnreachableError: the store does not keep the page now.
        """
        cursor = Cursor.parse(cursor_text, viewer_id, self._cursor_key)
        # Page 0 is stored nowhere: the cursor tells what it showed.
        at = cursor.number - 1
        pages, [(_, state, *_)] = await asyncio.gather(
            self._store.pages(viewer_id, cursor.series),
            self._store.load([viewer_id]),
        )
        if len(pages) < at:
            raise CursorError(
                f"viewer {viewer_id!r} has no series of this cursor, or its pages expired after "
                f"{self._settings.pages_ttl_s} s; start without a cursor"
            )
        try:
            if len(pages) > at:
                return self.without_forbidden(viewer_id, pages[at])
            shown = [media_id for page in pages for media_id in media_of(page)]
        except msgspec.DecodeError as error:
            raise CursorError(
                f"the pages before this one cannot be read ({error}); start without a cursor"
            ) from error
        page = self._next(viewer_id, state, cursor, shown)
        stands = await self._store.add_page(viewer_id, cursor.series, at, page.json)
        return stands if stands == page.json else self.without_forbidden(viewer_id, stands)

    def without_forbidden(self, viewer_id: str, page: bytes) -> bytes:
        """A stored page (JSON) without what must not be shown any more, by the catalogue as it is.

        Raises:
            msgspec.DecodeError: the bytes are no page of this release.
        """
        media_ids = media_of(page)
        keep_n = self._may_be_shown(media_ids, viewer_id)
        if keep_n.all():
            return page
        return without(page, {media_ids[at] for at in (~keep_n).nonzero()[0].tolist()}) or page

    def _may_be_shown(self, media_ids: Sequence[str], viewer_id: str) -> Mask:
        catalog, bounds = self._world.catalog, self._treatment_of(viewer_id).query.plan.bounds
        return may_be_shown(catalog, catalog.media_rows(media_ids), bounds)

    def _next(
        self, viewer_id: str, state: ViewerState, cursor: Cursor, shown: list[str]
    ) -> EncodedGrid:
        world, now = self._world, now_ms()
        viewer = self._context(viewer_id, state, now)
        first = world.catalog.media_rows_of(cursor.shown_hashes())
        rows = np.concatenate([first, world.catalog.media_rows(shown)])
        treatment = self._treatment_of(viewer_id)
        grid = explore(viewer, world, treatment, self._config, now, rows)
        return self._encoded(grid, digest_of(treatment.versions(world)), cursor)

    def _encoded(self, grid: Grid, live: str, at: Cursor | None = None) -> EncodedGrid:
        return EncodedGrid.of(grid, self._world, live, at, cursor_key=self._cursor_key)

    def _find(
        self, viewers: Sequence[tuple[str, ViewerState]], treatment: Treatment, now: int
    ) -> Found:
        """Candidates of viewers of one arm."""
        fold = self._settings.fold_config()
        contexts = ViewerContext.from_states(viewers, self._world, now, fold)
        return find(contexts, self._world, treatment, now, enough=self._config.size)

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
            "relaxed": list(trace.grid.relaxed),
        }
        if media_id is None:
            return {**told, "items": explain_grid(trace, found, world)}
        return {**told, "media": explain(media_id, trace, found, world)}

    async def rerank(self, viewer_id: str, changes: Mapping[str, Any]) -> Reranked:
        """The grid that a viewer would have by other weights, beside the one by the live ones.

        Raises:
            InvalidWeightsError: a weight cannot be used.
        """
        [(_, state, *_)] = await self._store.load([viewer_id])
        world, live = self._world, self._find_one(viewer_id, state)
        weights = live.treatment.weights.changed(changes)
        tried = replace(live, treatment=replace(live.treatment, weights=weights))
        [before], [after] = (funnel(found, world, self._ordered) for found in (live, tried))
        media_ids = world.catalog.media_ids(before.grid.media_n)
        places = {media_id: at for at, media_id in enumerate(media_ids)}
        items = [
            RerankedItem(
                at,
                one.media_id,
                one.author_id,
                places.pop(one.media_id, None),
                float(after.grid.value_n[at]),
                value_terms(one),
            )
            for at, one in enumerate(explain_grid(after, tried, world))
        ]
        fields = msgspec.structs.asdict(weights)
        now = after.grid.generated_at_ms
        return Reranked(viewer_id, live.treatment.arm, fields, now, items, list(places))

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
