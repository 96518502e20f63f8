"""What actions are worth: read, changed while it serves, and tried out on one grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Protocol

import msgspec
from fastapi import Response
from pydantic import BaseModel, Field

from infra.http.catalogue import json
from infra.http.parameters import Id
from infra.http.problems import ProblemError
from infra.http.routes import Routes, example_of, objects


class ChangedWeights(BaseModel):
    """New weights of an arm; those not named stay."""

    model_config = example_of({"weights": {"save": 3}, "who": "ann"})

    weights: dict[str, float | str]
    arm: Annotated[str, Field(description="Whose; the first arm's by default.")] = ""
    who: Annotated[str, Field(description="Who changes them, for the history.")] = "http"


class WhatIf(BaseModel):
    """Weights to try on a viewer's grid; those not named are as in the viewer's arm."""

    model_config = example_of({"viewer_id": "v1", "weights": {"save": 3}})

    viewer_id: Id
    weights: dict[str, float | str]


class RerankedItem(msgspec.Struct, frozen=True):
    """One media of the grid as it would be.

    Attributes:
        position: from 0.
        before: its position in the grid by the live weights, null where that does not show it.
        value: what it would be sorted by, before diversity.
        terms: what that is made of, by action, signed, and `penalty`, which is taken off.
    """

    position: int
    media_id: str
    author_id: str | None
    before: int | None
    value: float
    terms: dict[str, float]


class Reranked(msgspec.Struct, frozen=True):
    """The grid that a viewer would have by other weights.

    Attributes:
        weights: those that were tried, all of them.
        items: in the order that the grid would have.
        left: media of the grid by the live weights that would not be in it.
    """

    viewer_id: str
    arm: str
    weights: dict[str, float | str]
    generated_at_ms: int
    items: list[RerankedItem]
    left: list[str]


class Reranker(Protocol):
    """Who ranks for the sake of it."""

    async def rerank(self, viewer_id: str, changes: Mapping[str, Any]) -> Reranked:
        """The grid by other weights; ValueError says what is wrong with them."""
        ...


class Desk(Protocol):
    """Where the value's weights are read and changed."""

    def weights(self) -> dict[str, Any]:
        """The weights that are served, by arm."""
        ...

    async def set_weights(self, who: str, arm: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Replace some weights of an arm; ValueError says what is wrong with them."""
        ...


_WEIGHTS: Final = {
    "like": 1.0, "save": 3.0, "see_fewer": 5.0, "long_view": 0.0, "share": 2.0, "comment": 1.0,
    "form": "linear",
}  # fmt: skip
_SERVED: Final = {"arms": {"control": _WEIGHTS}, "refused": None}
_CHANGED: Final = {
    "at_ms": 1700000000000,
    "who": "ann",
    "arm": "control",
    "old": {**_WEIGHTS, "save": 2.0},
    "new": _WEIGHTS,
}
_RERANKED: Final[dict[str, Any]] = {
    "viewer_id": "v1",
    "arm": "control",
    "weights": _WEIGHTS,
    "generated_at_ms": 1700000000120,
    "items": [
        {
            "position": 0,
            "media_id": "m1957",
            "author_id": "a5113766",
            "before": 3,
            "value": 0.7135,
            "terms": {"like": 0.71, "save": 0.0045, "see_fewer": -0.001, "penalty": 0.0},
        }
    ],
    "left": ["m5374"],
}


def weights_routes(desk: Desk, reranker: Reranker) -> Routes:
    """Weights of the value, by arm."""
    routes = Routes("weights")

    @routes.post(
        "/v1/rerank",
        response_class=Response,
        responses=routes.answers(Reranked, _RERANKED, 400, 422, 500),
    )
    async def rerank(what_if: WhatIf) -> Response:
        """The grid that a viewer would have by other weights; nothing is stored or logged."""
        try:
            return json(await reranker.rerank(what_if.viewer_id, what_if.weights))
        except ValueError as error:
            raise ProblemError(400, str(error)) from error

    @routes.get("/v1/weights", responses=objects(_SERVED))
    async def weights() -> dict[str, Any]:
        """The value's weights as they are served here, by arm."""
        return desk.weights()

    @routes.put("/v1/weights", responses=objects(_CHANGED, 400, 422))
    async def set_weights(changed: ChangedWeights) -> dict[str, Any]:
        """Change weights in Redis; every ranker follows within a second."""
        try:
            return await desk.set_weights(changed.who, changed.arm, changed.weights)
        except ValueError as error:
            raise ProblemError(400, str(error)) from error

    return routes
