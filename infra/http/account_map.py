"""The map of the accounts: a place for each, in columns, compressed once for all who look."""

from __future__ import annotations

import gzip
from typing import Annotated, Any, Final, NamedTuple, Protocol

import msgspec
from fastapi import Header, Response

from infra.http.problems import ProblemError
from infra.http.routes import JSON, Routes

#: Places are whole numbers from 0 to this, the same scale on both axes.
SIDE: Final = 65_535


class MapOfAccounts(msgspec.Struct, frozen=True, kw_only=True):
    """A map of the account vectors; columns are of equal length, an account to each position.

    Attributes:
        version: of the map.
        ig2vec: the version of the account vectors that it was drawn of.
        live: the version of the account vectors that is live.
        made_ms: when it was drawn.
        before_ms: when the map was drawn that `moved_x` and `moved_y` begin at: a day before, or
            the oldest kept; null for the first map.
        topics: names of topics; the first one stands for none.
        account_id: the accounts, without those that no grid may show.
        x: from 0 to 65,535.
        y: from 0 to 65,535.
        moved_x: how far `x` came since `before_ms`; 0 for accounts that were not on that map.
        moved_y: likewise.
        topic: position of the account's first topic in `topics`.
    """

    version: str
    ig2vec: str
    live: str
    made_ms: int
    before_ms: int | None
    topics: list[str]
    account_id: list[str]
    x: list[int]
    y: list[int]
    moved_x: list[int]
    moved_y: list[int]
    topic: list[int]


class ServedMap(NamedTuple):
    """A map as it is sent: JSON compressed with gzip, and a name of exactly these bytes."""

    body: bytes
    tag: str


class Atlas(Protocol):
    """Where the map is looked up. LookupError: there is none yet, UnreachableError: not now."""

    async def map(self) -> ServedMap:
        """The map to show now."""
        ...


_EXAMPLE: Final[dict[str, Any]] = {
    "version": "0f3c9a7b1d2e4f5061728394",
    "ig2vec": "aedf6221d9ff69431d4aa0d6",
    "live": "aedf6221d9ff69431d4aa0d6",
    "made_ms": 1700000000000,
    "before_ms": 1699913600000,
    "topics": ["", "travel", "food"],
    "account_id": ["a3", "a6492026"],
    "x": [30211, 30950],
    "y": [12044, 11870],
    "moved_x": [-211, 0],
    "moved_y": [94, 0],
    "topic": [1, 2],
}
_Tag = Annotated[str | None, Header(alias="If-None-Match", include_in_schema=False)]
_Encodings = Annotated[str, Header(alias="Accept-Encoding", include_in_schema=False)]


def account_map_routes(atlas: Atlas) -> Routes:
    """The map of the accounts."""
    routes = Routes("catalogue")

    @routes.get(
        "/v1/map", response_class=Response, responses=routes.answers(MapOfAccounts, _EXAMPLE, 404)
    )
    async def account_map(known: _Tag = None, encodings: _Encodings = "") -> Response:
        """All accounts that have a vector, each with a place near those that it is alike.

        Drawn by the learner, of each new version of the account vectors and once an hour as they
        learn on, each map laid on the one before. Send `If-None-Match` to be told with 304 that
        nothing changed.
        """
        try:
            served = await atlas.map()
        except LookupError as error:
            raise ProblemError(404, str(error)) from error
        headers = {"ETag": served.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if known is not None and served.tag in known:
            return Response(status_code=304, headers=headers)
        if "gzip" in encodings:
            headers["Content-Encoding"] = "gzip"
            return Response(served.body, media_type=JSON, headers=headers)
        return Response(gzip.decompress(served.body), media_type=JSON, headers=headers)

    return routes
