"""Tokens of single viewers, for browsers."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Annotated, Any, Final, Protocol

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel, Field

from infra.access.tokens import DEFAULT_S, MOST_S, TOKEN_SCOPES
from infra.http.door import caller_of
from infra.http.parameters import Id
from infra.http.routes import JSON, Routes, example_of


class Wanted(BaseModel):
    """Whose token is wanted, and for how long."""

    model_config = example_of({"viewer_id": "v1", "seconds": 900})

    viewer_id: Id
    seconds: Annotated[int, Field(ge=1, le=MOST_S)] = DEFAULT_S


class ViewerToken(msgspec.Struct, frozen=True):
    """A token of one viewer: good for the grid and its stream, and for sending events.

    Attributes:
        scopes: those of the key that it was asked for with, `admin` left out.
    """

    token: str
    viewer_id: str
    scopes: list[str]
    expires_ms: int


class Issuer(Protocol):
    """Signs tokens of one viewer with the secret of all rankers."""

    def issue(
        self, viewer_id: str, scopes: Collection[str], key_id: str, lives_s: int = DEFAULT_S
    ) -> str:
        """A token of one viewer."""
        ...


_TOKEN: Final[dict[str, Any]] = {
    "token": "eyJ…",
    "viewer_id": "v1",
    "scopes": ["read", "events"],
    "expires_ms": 1700000900000,
}


def tokens_routes(issuer: Issuer) -> Routes:
    """The route by which a backend has a token signed for one viewer's browser."""
    routes = Routes("viewers")

    @routes.post(
        "/v1/tokens",
        response_class=Response,
        responses=routes.answers(ViewerToken, _TOKEN, 422),
    )
    async def create_token(request: Request, wanted: Wanted) -> Response:
        """A short-lived token with which a browser may ask for one viewer and act as that one.

        It ends with the key that asked for it.
        """
        caller = caller_of(request.state)
        token = ViewerToken(
            issuer.issue(wanted.viewer_id, caller.scopes, caller.key_id, wanted.seconds),
            wanted.viewer_id,
            [scope for scope in TOKEN_SCOPES if scope in caller.scopes],
            (int(time.time()) + wanted.seconds) * 1000,
        )
        return Response(msgspec.json.encode(token), media_type=JSON)

    return routes
