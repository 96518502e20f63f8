"""What the HTTP API asks for: pages of a grid, and how the ranker is doing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any, Final

import msgspec

from infra.config import Settings
from infra.errors import UnreachableError
from infra.kafka import Follower
from infra.stores import Store
from models.events import MAX_ID_BYTES
from models.explore.grid import GridDocument
from models.explore.impressions import EncodedGrid, Impression, StoredGrid
from models.world import World
from streams.clock import now_ms
from streams.ranking import Ranking
from streams.serving.explorer import MAX_PAGES, Cursor, Explorer
from streams.serving.live_rankers import LiveRankers

#: A read of a healthy Redis takes a millisecond.
READ_LIMIT_S: Final = 1.0
#: Longer than the id of any viewer: nothing is stored for it.
NOBODY: Final = "-" * (MAX_ID_BYTES + 1)

LogImpression = Callable[[str, bytes], Awaitable[None]]

logger = logging.getLogger(__name__)


class Page(GridDocument, frozen=True, kw_only=True):
    """A page of a viewer's grid, as the API answers it.

    Attributes:
        request_id: names the page; events that come of it may carry it. A page that is asked for
            again keeps its name, so a retry does not count as another impression.
        page: number of the page in its series, from 0.
        next: cursor of the page after it.
    """

    request_id: str
    page: int
    next: str | None


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
        impression: LogImpression,
    ) -> None:
        self._settings = settings
        self._world = world
        self._rankers = rankers
        self._store = store
        self._explorer = explorer
        self._ranking = ranking
        self._follower = follower
        self._impression = impression

    async def page(self, viewer_id: str, cursor: str | None) -> bytes:
        """One page as JSON, logged as an impression.

        Raises:
            CursorError: the cursor is not one of this viewer, or its series has expired.
        """
        self._ranking.asked(viewer_id)
        if cursor is None:
            document, at = await self._first(viewer_id)
        else:
            at = Cursor.parse(cursor)
            document = await self._explorer.next_page(viewer_id, at)
        following = None
        if document.items and at.number < MAX_PAGES:
            following = Cursor(at.series, at.number + 1).text()
        fields: dict[str, Any] = msgspec.structs.asdict(document)
        fields |= {"request_id": _request_id(viewer_id, at), "page": at.number}
        await self._impression(viewer_id, _json.encode(Impression(**fields, served_ms=now_ms())))
        del fields["features"]
        return _json.encode(Page(**fields, next=following))

    async def query(self, viewer_id: str, text: str) -> bytes:
        """What a query gives a viewer, as JSON.

        Raises:
            IgqlError: the query is wrong.
        """
        return _json.encode(await self._explorer.query(viewer_id, text))

    async def explain(self, viewer_id: str, media_id: str | None) -> bytes:
        """Why a grid made now holds what it holds, or what became of one media, as JSON."""
        return _json.encode(await self._explorer.explain(viewer_id, media_id))

    async def _first(self, viewer_id: str) -> tuple[StoredGrid, Cursor]:
        """The ready grid, kept as page 0 of its series; made anew where it is out of date."""
        grid = await self._ready(viewer_id)
        if grid is None:
            [grid] = await self._ranking.make_now([viewer_id])
        at = Cursor.first(grid.json)
        try:
            return await self._explorer.keep(viewer_id, at, grid), at
        except UnreachableError as error:
            # Reading a page needs no write: the next one looks for this one among the ready grids.
            logger.info("the first page of %s is answered and not kept: %s", viewer_id, error)
            return grid.document, at

    async def _ready(self, viewer_id: str) -> EncodedGrid | None:
        """The ready grid, None where there is none or it is out of date."""
        if self._ranking.waits(viewer_id):
            return None
        # The state itself tells what is current: the touch may not have come yet, or been dropped.
        json, [(_, state, *_)] = await asyncio.gather(
            self._store.grid(viewer_id), self._store.load([viewer_id])
        )
        if json is None:
            return None
        try:
            grid = EncodedGrid.decode(json)
        except msgspec.DecodeError:
            return None  # written by an older release
        return grid if self._explorer.is_current(grid.document, state) else None

    async def index(self) -> dict[str, Any]:
        """The account index; equal hashes mean equal accounts and vectors."""
        space = self._world.space
        if space is None:
            return {"space": None, "version": 0, "accounts": 0, "hash": None}
        version, accounts = space.index.version, len(space)
        digest = await asyncio.to_thread(space.index.state_hash)
        return {"space": space.name, "version": version, "accounts": accounts, "hash": digest}

    async def readiness(self) -> dict[str, Any]:
        """That a grid can be read, and whether the topics are.

        Raises:
            UnreachableError: Redis answers no read within :data:`READ_LIMIT_S`.
        """
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                await self._store.grid(NOBODY)
        except TimeoutError:
            raise UnreachableError(
                f"Redis answers no read within {READ_LIMIT_S:g} s; the ranker's log says why"
            ) from None
        return {"ready": True, "caught_up": self._follower.up_to_date}

    def status(self) -> dict[str, Any]:
        """How the ranker is doing: what it has read, made and serves."""
        world, rankers = self._world, self._rankers.live.version
        space = world.space
        return {
            "caught_up": self._follower.up_to_date,
            "kafka_silent_s": round(self._follower.silent_s, 1),
            "waiting_viewers": self._ranking.waiting,
            "viewers_touched": self._ranking.ranked,
            "media": world.catalog.live_media_count,
            "accounts": 0 if space is None else len(space),
            "index_version": 0 if space is None else space.index.version,
            "versions": {
                "ig2vec": world.space_name or None,
                "rankers": None if rankers == "prior" else rankers,
                "items": None if world.item_weights is None else world.item_weights.version,
            },
        }


def _request_id(viewer_id: str, at: Cursor) -> str:
    place = _json.encode((viewer_id, at.series, at.number))
    return blake2b(place, digest_size=12).hexdigest()
