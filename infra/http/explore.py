"""Pages of grids: what is shown, why, and what a query would find."""

from __future__ import annotations

from typing import Any, Final, Protocol

from fastapi import Response
from pydantic import BaseModel

from infra.http.parameters import CursorText, Fields, Id, MaybeId, PathId, ViewerQuery
from infra.http.problems import ProblemError
from infra.http.routes import JSON, Routes, example_of, objects


class Asked(BaseModel):
    """A query and for whom to run it."""

    model_config = example_of({"viewer_id": "v1", "query": "user.popular(10)"})

    viewer_id: Id
    query: str


class Reader(Protocol):
    """What these routes need from the ranker."""

    async def page(self, viewer_id: str, cursor: str | None, *, ids_only: bool = False) -> bytes:
        """One page as JSON; ValueError says what is wrong with the cursor."""
        ...

    async def query(self, viewer_id: str, text: str) -> bytes:
        """What a query gives a viewer, as JSON; ValueError says what is wrong with the query."""
        ...

    async def explain(self, viewer_id: str, media_id: str | None) -> bytes:
        """Why a viewer sees each media of the grid, or sees one media or not, as JSON."""
        ...


_VERSIONS: Final = {
    "arm": "control",
    "features": "0ea2c31d",
    "ig2vec": "aedf6221d9ff69431d4aa0d6",
    "index": "3",
    "items": "",
    "mode": "diverse",
    "query": "5b0b4a10",
    "rankers": "rankers-3d5aee48b7cd",
    "weights": "9f1d2c33",
}
#: A page of one item, as an example.
PAGE: Final[dict[str, Any]] = {
    "viewer_id": "v1",
    "items": [
        {
            "position": 0,
            "media_id": "m7",
            "author_id": "a3",
            "value": 0.9478,
            "probabilities": {
                "like": 0.6107, "save": 0.0006, "see_fewer": 0.0004,
                "long_view": 0.41, "share": 0.0012, "comment": 0.0019,
            },
            "source": "alike",
            "seed": None,
            "stages": {
                "source_rank": 0, "candidate_rank": 0, "first_score": 3.1, "first_rank": 1,
                "second_score": 2.7, "second_rank": 0, "penalty": 0.0,
            },
            "propensity": 1.0,
        }
    ],
    "generated_at_ms": 1700000000120,
    "reflects_ts": 1700000000000,
    "candidates": 500,
    "reflects_offsets": {"events.like/0": 18},
    "dropped": {"exclude_seen": 38},
    "relaxed": [],
    "versions": _VERSIONS,
    "schema": 1,
    "request_id": "b0c9a3d4e5f60718293a4b5c",
    "page": 0,
    "next": "WyI5ZjFkMmMzMyIsMV0",
}  # fmt: skip


_QUERY: Final[dict[str, Any]] = {
    "viewer_id": "v1",
    "version": "5b0b4a10",
    "candidates": [
        {
            "media_id": "m7", "author_id": "a3", "source": "popular", "seed": None,
            "score": 23.4, "source_rank": 0,
        }
    ],
    "plan": {"version": "5b0b4a10", "viewers": 1, "microseconds": 210, "steps": []},
    "plan_lines": ["popular  10 rows  42 µs"],
}  # fmt: skip
_EXPLAINED: Final[dict[str, Any]] = {
    "viewer_id": "v1",
    "generated_at_ms": 1700000000120,
    "reflects_ts": 1700000000000,
    "weights": {"like": 1.0, "save": 2.0, "see_fewer": 5.0, "form": "linear"},
    "versions": _VERSIONS,
    "candidates": 500,
    "kept": [150, 50, 25],
    "dropped": {"exclude_seen": 38},
    "relaxed": [],
    "items": [
        {
            "viewer_id": "v1", "media_id": "m7", "author_id": "a3", "position": 0,
            "source": "alike", "first_pass": {"score": 3.1, "rank": 1, "passed": True},
        }
    ],
}  # fmt: skip


def explore_routes(reader: Reader, page_type: type) -> Routes:
    """Pages of grids.

    Args:
        page_type: what :meth:`Reader.page` answers.
    """
    routes = Routes("explore")

    # `path`: an id may hold slashes, and an encoded one arrives here decoded.
    @routes.get(
        "/v1/explore/{viewer_id:path}", responses=routes.answers(page_type, PAGE, 400, 422, 500)
    )
    async def explore(
        viewer_id: PathId, cursor: CursorText = None, fields: Fields = "all"
    ) -> Response:
        """A page of the viewer's Explore grid; an unknown viewer gets a cold-start grid."""
        return await page(viewer_id, cursor, fields)

    # A path cannot hold every id: clients take `.` and `..` for steps, and a line may end in it.
    @routes.get("/v1/explore", responses=routes.answers(page_type, PAGE, 400, 422, 500))
    async def explore_named(
        viewer_id: ViewerQuery, cursor: CursorText = None, fields: Fields = "all"
    ) -> Response:
        """The same, of a viewer named by a parameter."""
        return await page(viewer_id, cursor, fields)

    async def page(viewer_id: str, cursor: str | None, fields: str) -> Response:
        try:
            body = await reader.page(viewer_id, cursor, ids_only=fields == "ids")
        except ValueError as error:
            raise ProblemError(400, str(error)) from error
        return Response(body, media_type=JSON)

    @routes.post("/v1/query", response_class=Response, responses=objects(_QUERY, 400, 422))
    async def query(asked: Asked) -> Response:
        """Run a query of candidates for a viewer: what it finds, and how it came to that."""
        try:
            body = await reader.query(asked.viewer_id, asked.query)
        except ValueError as error:
            raise ProblemError(400, str(error)) from error
        return Response(body, media_type=JSON)

    @routes.get("/v1/explain", response_class=Response, responses=objects(_EXPLAINED, 422))
    async def explain(viewer_id: ViewerQuery, media_id: MaybeId = None) -> Response:
        """Why each media of a grid made now is there, or what became of one media."""
        return Response(await reader.explain(viewer_id, media_id), media_type=JSON)

    return routes
