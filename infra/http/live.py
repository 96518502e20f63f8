"""A viewer's grid as a stream: at once, and whenever it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import msgspec
from fastapi import Response

from infra.errors import UnreachableError
from infra.http.explore import PAGE
from infra.http.parameters import PathId, ViewerQuery
from infra.http.problems import unavailable
from infra.http.routes import Answers, Routes, refusals
from infra.http.streams import EVENT_STREAM, KEEP_ALIVE, Streams, event

#: Two grids of one stream are at least so far apart: a viewer sees no more of them.
APART_S: Final = 0.1
#: After so many silent times the grid is looked at all the same: news may be lost.
LOOK_EVERY: Final = 4
#: A grid that could not be read is tried again after this.
AGAIN_S: Final = 1.0


class Pages(Protocol):
    """Where a viewer's first page is read."""

    async def page(self, viewer_id: str, cursor: str | None) -> bytes:
        """One page of the viewer's grid as JSON."""
        ...


class GridNews(Protocol):
    """Who tells that a viewer's stored grid changed."""

    def follow(self, viewer_id: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set at each change."""
        ...


class _Named(msgspec.Struct):
    request_id: str


_named = msgspec.json.Decoder(_Named)


def live_routes(pages: Pages, news: GridNews, streams: Streams) -> Routes:
    """Grids of viewers as they change."""
    routes = Routes("live")

    @routes.get("/v1/live/{viewer_id:path}", responses=_ANSWERS, response_class=Response)
    async def live(viewer_id: PathId) -> Response:
        """The viewer's first page as Server-Sent Events: now, and whenever the grid changes."""
        return await opened(viewer_id)

    @routes.get("/v1/live", responses=_ANSWERS, response_class=Response)
    async def live_named(viewer_id: ViewerQuery) -> Response:
        """The same, of a viewer named by a parameter."""
        return await opened(viewer_id)

    async def opened(viewer_id: str) -> Response:
        # Read before the answer begins, so that what is wrong has its status.
        return streams.answer(grids(viewer_id, await pages.page(viewer_id, None)))

    async def grids(viewer_id: str, page: bytes) -> AsyncIterator[bytes]:
        async with news.follow(viewer_id) as changed:
            sent = _named.decode(page).request_id
            yield event("grid", page, sent)
            quiet = 0
            while await streams.pause(APART_S) and await streams.wait(changed):
                quiet = 0 if changed.is_set() else quiet + 1
                if quiet % LOOK_EVERY:
                    yield KEEP_ALIVE
                    continue
                changed.clear()
                try:
                    page = await pages.page(viewer_id, None)
                except UnreachableError as error:
                    yield event("problem", bytes(unavailable(str(error)).body))
                    changed.set()
                    await streams.pause(AGAIN_S)
                    continue
                name = _named.decode(page).request_id
                if name != sent:
                    sent = name
                    yield event("grid", page, sent)
                elif quiet:
                    yield KEEP_ALIVE

    return routes


_EXAMPLE: Final = event("grid", msgspec.json.encode(PAGE), PAGE["request_id"]).decode()
_STREAM: Final[dict[str, Any]] = {
    "description": "Events `grid`: `data` is the JSON that `/v1/explore` answers, `id` its "
    "`request_id`. Comments keep the connection alive; `problem` tells why a grid could not be "
    "read, which is tried again.",
    "content": {EVENT_STREAM: {"schema": {"type": "string"}, "example": _EXAMPLE}},
}
_ANSWERS: Final[Answers] = {200: _STREAM, **refusals(422, 500)}
