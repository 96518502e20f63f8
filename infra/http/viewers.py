"""Viewers: what serving knows of one, and who was active of late."""

from __future__ import annotations

from typing import Annotated, Any, Final, Protocol

import msgspec
from fastapi import Query, Response

from infra.http.catalogue import json
from infra.http.parameters import Limit, PathId
from infra.http.routes import Routes

#: Actions told of one viewer at most.
MOST_ACTIONS: Final = 300


class Done(msgspec.Struct, frozen=True):
    """One action of a viewer that was not taken back; `ts` in epoch ms."""

    action: str
    media_id: str
    author_id: str
    ts: int


class HistoryLength(msgspec.Struct, frozen=True):
    """How much of a viewer is kept.

    Attributes:
        actions: other than views, undos included.
        views: likewise.
        older: what fell out of both, of which only the media is known.
    """

    actions: int
    views: int
    older: int


class ViewerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What serving knows of a viewer; all is empty for one never heard of.

    Attributes:
        arm: of the experiment.
        reflects_ts: event time of the newest thing known, 0 for nothing.
        actions: the newest first.
        followed, blocked, muted: authors.
        suppressed: media the viewer asked to see fewer of.
        waits: something happened that the ready grid does not show yet.
    """

    viewer_id: str
    arm: str
    reflects_ts: int
    history: HistoryLength
    actions: list[Done]
    followed: list[str]
    blocked: list[str]
    muted: list[str]
    suppressed: list[str]
    waits: bool


class ActiveViewer(msgspec.Struct, frozen=True):
    """A viewer who was active of late."""

    viewer_id: str
    arm: str
    reflects_ts: int
    history: HistoryLength


class ViewerList(msgspec.Struct, frozen=True):
    """Viewers who were active of late, the last one first."""

    viewers: list[ActiveViewer]


class Viewers(Protocol):
    """Where viewers are looked up."""

    async def viewer(self, viewer_id: str, actions: int) -> ViewerRecord:
        """A viewer, known or not, with the newest actions."""
        ...

    async def active(self, limit: int) -> ViewerList:
        """Viewers whose events reached this process last."""
        ...


_HISTORY: Final = {"actions": 4, "views": 34, "older": 0}
VIEWER: Final[dict[str, Any]] = {
    "viewer_id": "v1",
    "arm": "control",
    "reflects_ts": 1700000000000,
    "history": _HISTORY,
    "actions": [
        {"action": "like", "media_id": "m985", "author_id": "a6492026", "ts": 1700000000000}
    ],
    "followed": ["a31238"],
    "blocked": [],
    "muted": [],
    "suppressed": [],
    "waits": False,
}
_ACTIVE: Final = {
    "viewer_id": "v1", "arm": "control", "reflects_ts": 1700000000000, "history": _HISTORY
}  # fmt: skip

Actions = Annotated[int, Query(ge=0, le=MOST_ACTIONS, description="Most actions told.")]


def viewers_routes(viewers: Viewers) -> Routes:
    """Viewers as serving knows them."""
    routes = Routes("viewers")

    @routes.get(
        "/v1/viewers/{viewer_id:path}",
        response_class=Response,
        responses=routes.answers(ViewerRecord, VIEWER, 422),
    )
    async def viewer(viewer_id: PathId, actions: Actions = 30) -> Response:
        """What serving knows of a viewer: newest actions, relations, arm, length of the history."""
        return json(await viewers.viewer(viewer_id, actions))

    @routes.get(
        "/v1/viewers",
        response_class=Response,
        responses=routes.answers(ViewerList, {"viewers": [_ACTIVE]}, 422),
    )
    async def active_viewers(limit: Limit = 25) -> Response:
        """Viewers who were active of late, of those that this process ranks."""
        return json(await viewers.active(limit))

    return routes
