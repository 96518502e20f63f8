"""A viewer's right to be forgotten."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec
from fastapi import Response

from infra.http.parameters import PathId
from infra.http.routes import JSON, Routes


class ViewerForgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to forget a viewer.

    Attributes:
        deleted: keys, and entries in keys that are shared with others.
        kept_until_ms: topic → when retention has taken the last record of the viewer from it, epoch
            ms; null where it never does, or the broker does not say.
    """

    viewer_id: str
    deleted: int
    kept_until_ms: dict[str, int | None]


class Rights(Protocol):
    """Deletes what is stored of viewers, by id, and refuses what comes after."""

    async def forget(self, viewer_id: str) -> ViewerForgotten:
        """Begin to forget a viewer; what is under way elsewhere is seen through afterwards."""
        ...


_FORGOTTEN: Final[dict[str, Any]] = {
    "viewer_id": "v9",
    "deleted": 3,
    "kept_until_ms": {"events.like": 1701209960000, "explore.impressions": 1701209960000},
}


def rights_routes(rights: Rights) -> Routes:
    """What a viewer may ask for."""
    routes = Routes("viewers")

    @routes.delete(
        "/v1/viewers/{viewer_id:path}",
        status_code=202,
        response_class=Response,
        responses=routes.answers(ViewerForgotten, _FORGOTTEN, 422, status=202),
    )
    async def forget_viewer(viewer_id: PathId) -> Response:
        """Forget a viewer: state, grids and pages now, records in Kafka by retention.

        Events of the viewer are refused from now on, until `freshgrid viewer allow`.
        """
        report = await rights.forget(viewer_id)
        return Response(msgspec.json.encode(report), 202, media_type=JSON)

    return routes
