"""What the HTTP API asks for: pages of a grid, and how the ranker is doing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from infra.config import Settings
from infra.errors import UnreachableError
from infra.kafka import Follower
from infra.metrics import FOREIGN_READS, KEPT_READS, STALE_READS
from infra.stores import Ready, Store
from models.events import MAX_ID_BYTES
from models.explore.compact import compact_page_of
from models.explore.cursor import CursorError
from models.explore.impressions import EncodedGrid
from models.explore.stamp import NO_REVISION, Stamp, page_of
from models.explore.withdrawal import media_of
from models.viewers.forgotten import IsForgotten
from models.world import World
from streams.clock import now_ms
from streams.ranking import Ranking
from streams.serving.explorer import Explorer
from streams.serving.kept_grids import KeptGrids
from streams.serving.live_rankers import LiveRankers
from streams.serving.live_versions import LiveVersions

#: A grid that another ranker made so long after what is live here went live, by something else,
#: says that the two do not agree: other query files, or versions that one of them cannot load.
AGREED_MS: Final = 60_000
#: While pages that are kept are answered, it is said so often.
WARN_KEPT_MS: Final = 10_000
#: A read of a healthy Redis takes a millisecond.
READ_LIMIT_S: Final = 1.0
#: Longer than the id of any viewer: nothing is stored for it.
NOBODY: Final = "-" * (MAX_ID_BYTES + 1)

logger = logging.getLogger(__name__)

_json = msgspec.json.Encoder()


class Lookup:
    """Answers requests from stored grids; makes one when there is none or it is outdated."""

    def __init__(
        self,
        settings: Settings,
        world: World,
        rankers: LiveRankers,
        store: Store,
        explorer: Explorer,
        ranking: Ranking,
        follower: Follower,
        live: LiveVersions,
        shown: Callable[[str, bytes], None],
        kept: KeptGrids,
        is_forgotten: IsForgotten = lambda _: False,
    ) -> None:
        self._is_forgotten = is_forgotten
        self._stale_ms = settings.stale_grid_s * 1000
        self._kept_s = settings.kept_grids_s
        self._world = world
        self._rankers = rankers
        self._store = store
        self._explorer = explorer
        self._ranking = ranking
        self._follower = follower
        self._live = live
        self._shown = shown
        self._kept = kept
        self._warned_ms = 0
        self._warned_kept_ms = 0

    async def ready(self, viewer_id: str, *, ids_only: bool = False) -> bytes | None:
        """The first page as JSON where it is ready and current, None where it has to be made.

        One read of the store, and nothing is decoded. A grid that is not of what is live is
        answered, and made anew behind the answer.

        Raises:
            UnreachableError: the store answers no read, and is not waited for.
        """
        self._ranking.asked(viewer_id)
        if self._is_forgotten(viewer_id):
            return None
        return self._page(viewer_id, await self._store.ready(viewer_id, wait=False), ids_only)

    def ready_soon(
        self, viewer_id: str, told: Callable[[bytes | None], None], *, ids_only: bool = False
    ) -> bool:
        """The same for who does not wait: `told` is called with it, or with None where it fails.

        Returns:
            False where it cannot be asked for now; then `told` is not called.
        """
        if self._is_forgotten(viewer_id):
            return False

        def read(ready: Ready | None) -> None:
            told(None if ready is None else self._page(viewer_id, ready, ids_only))

        if not self._store.ready_soon(viewer_id, read):
            return False
        self._ranking.asked(viewer_id)
        return True

    def _page(self, viewer_id: str, ready: Ready, ids_only: bool) -> bytes | None:
        stored = self._current(viewer_id, ready)
        if stored is None:
            return None
        self._kept.keep(viewer_id, stored)
        return self._answer(viewer_id, stored, ids_only)

    def kept(self, viewer_id: str, *, ids_only: bool = False) -> tuple[bytes, float] | None:
        """The first page (JSON) that was answered last, and its age in seconds, None without one.

        What must not be shown any more is left out, by the catalogue as it is now.
        """
        now = now_ms()
        if (kept := self._kept.of(viewer_id)) is None or self._is_forgotten(viewer_id):
            return None
        stamp = Stamp.of(kept.json)
        if stamp is None or stamp.made_ms < now - self._stale_ms:
            return None
        page = self._explorer.without_forbidden(viewer_id, kept.json)
        if not media_of(page):
            return None
        KEPT_READS.observe(kept.age_s)
        if now - self._warned_kept_ms >= WARN_KEPT_MS:
            self._warned_kept_ms = now
            logger.warning(
                "Redis answers no read: pages that were answered in the last %d s (KEPT_GRIDS_S) "
                "are answered again; other viewers wait for it",
                self._kept_s,
            )
        self._shown(viewer_id, page)
        return compact_page_of(page) if ids_only else page_of(page), kept.age_s

    async def page(self, viewer_id: str, cursor: str | None, *, ids_only: bool = False) -> bytes:
        """One page as JSON, logged as an impression.

        Raises:
            CursorError: the cursor is not one of this viewer, or its series has expired.
        """
        self._ranking.asked(viewer_id)
        if self._is_forgotten(viewer_id):
            return self._of_nobody(viewer_id, cursor, ids_only)
        if cursor is not None:
            stored = await self._explorer.next_page(viewer_id, cursor)
        else:
            ready = await self._store.ready(viewer_id)
            stored = self._current(viewer_id, ready) or await self._first(viewer_id)
            self._kept.keep(viewer_id, stored)
        return self._answer(viewer_id, stored, ids_only)

    def _of_nobody(self, viewer_id: str, cursor: str | None, ids_only: bool) -> bytes:
        """What anybody is shown, and no page after it: nothing is stored or logged of her."""
        if cursor is not None:
            raise CursorError(f"of viewer {viewer_id!r} nothing is known; start without a cursor")
        page = self._explorer.cold(viewer_id, now_ms(), goes_on=False)
        return compact_page_of(page) if ids_only else page_of(page)

    def _answer(self, viewer_id: str, stored: bytes, ids_only: bool) -> bytes:
        self._shown(viewer_id, stored)
        return compact_page_of(stored) if ids_only else page_of(stored)

    async def query(self, viewer_id: str, text: str) -> bytes:
        """What a query gives a viewer, as JSON.

        Raises:
            IgqlError: the query is wrong.
        """
        return _json.encode(await self._explorer.query(viewer_id, text))

    async def explain(self, viewer_id: str, media_id: str | None) -> bytes:
        """Why a grid made now holds what it holds, or what became of one media, as JSON."""
        return _json.encode(await self._explorer.explain(viewer_id, media_id))

    def _current(self, viewer_id: str, ready: Ready) -> bytes | None:
        """The ready grid if it is of the viewer's state as it is now, and not too old."""
        stored, revision = ready
        if stored is None:
            return None
        stamp = Stamp.of(stored)
        if stamp is None or stamp.revision != (revision or NO_REVISION):
            return None
        return stored if self._is_fresh(viewer_id, stamp) else None

    async def _first(self, viewer_id: str) -> bytes:
        """The ready grid if all that was done is in it, else one that is made now.

        Of a viewer of whom nothing is known it is everybody's, and is not stored.
        """
        (stored, _), [(revision, state, damaged)] = await asyncio.gather(
            self._store.ready(viewer_id), self._store.load([viewer_id])
        )
        # A state is written, too, when a session is sent or an event comes twice.
        if stored is not None and (stamp := Stamp.of(stored)) is not None:
            reflects_ts = EncodedGrid.decode(stored).document.reflects_ts
            if reflects_ts >= state.reflects_ts() and self._is_fresh(viewer_id, stamp):
                if damaged is None:
                    self._ranking.behind(viewer_id)
                return stored
        if not revision and damaged is None:
            return self._explorer.cold(viewer_id, now_ms())
        [grid] = await self._ranking.make_now([viewer_id])
        return grid.json

    def _is_fresh(self, viewer_id: str, stamp: Stamp) -> bool:
        """Whether a grid may be answered; one that is not of what is live is made anew behind."""
        now = now_ms()
        if stamp.made_ms < now - self._stale_ms:
            return False
        live = self._live.of(viewer_id, now)
        if stamp.live == live.digest:
            return True
        if stamp.made_ms < live.since_ms:
            STALE_READS.observe((now - live.since_ms) / 1000)
            self._ranking.behind(viewer_id)
        elif stamp.made_ms > live.since_ms + AGREED_MS:
            # Whoever made it knows something else; made anew here, it would be made anew there.
            self._disagreed(viewer_id, now)
        return True

    def _disagreed(self, viewer_id: str, now: int) -> None:
        FOREIGN_READS.inc()
        if now - self._warned_ms >= AGREED_MS:
            self._warned_ms = now
            logger.warning(
                "the ready grid of viewer %r was made by another ranker with something else than "
                "what is live here; compare GET /v1/status and EXPLORE_QUERY of both",
                viewer_id,
            )

    async def index(self) -> dict[str, Any]:
        """The account index; equal hashes mean equal accounts and vectors."""
        space = self._world.space
        if space is None:
            return {"space": None, "version": 0, "accounts": 0, "hash": None}
        version, accounts = space.index.version, len(space)
        digest = await asyncio.to_thread(space.index.state_hash)
        return {"space": space.name, "version": version, "accounts": accounts, "hash": digest}

    async def readiness(self) -> dict[str, Any]:
        """That grids can be answered, read or kept ones, how far it follows, and what is live.

        All rankers share a Redis. If none of them were ready while it is away, those who ask would
        not get what is kept either.

        Raises:
            UnreachableError: Redis answers no read within :data:`READ_LIMIT_S`, and nothing is kept
                that could be answered instead.
        """
        reads_redis = True
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                await self._store.grid(NOBODY)
        except TimeoutError:
            if not self._kept.usable:
                raise UnreachableError(
                    f"Redis answers no read within {READ_LIMIT_S:g} s; the ranker's log says why"
                ) from None
            reads_redis = False
        return {
            "ready": True,
            "reads_redis": reads_redis,
            "caught_up": self._follower.up_to_date,
            "lag": self._follower.lag,
            "kafka_silent_s": round(self._follower.silent_s, 1),
            "versions": self._versions(),
        }

    def _versions(self) -> dict[str, str | None]:
        world, rankers = self._world, self._rankers.live.version
        return {
            "ig2vec": world.space_name or None,
            "rankers": None if rankers == "prior" else rankers,
            "items": None if world.item_weights is None else world.item_weights.version,
        }

    def status(self) -> dict[str, Any]:
        """How the ranker is doing: what it has read, made and serves."""
        world = self._world
        space = world.space
        return {
            "caught_up": self._follower.up_to_date,
            "kafka_silent_s": round(self._follower.silent_s, 1),
            "waiting_viewers": self._ranking.waiting,
            "viewers_touched": self._ranking.ranked,
            "media": world.catalog.live_media_count,
            "accounts": 0 if space is None else len(space),
            "index_version": 0 if space is None else space.index.version,
            "versions": self._versions(),
        }
