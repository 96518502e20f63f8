"""What actions are worth: read, and changed while it serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, Field

from infra.http.problems import ProblemError
from infra.http.routes import Routes


class ChangedWeights(BaseModel):
    """New weights of an arm; those not named stay."""

    weights: dict[str, float | str]
    arm: Annotated[str, Field(description="Whose; the first arm's by default.")] = ""
    who: Annotated[str, Field(description="Who changes them, for the history.")] = "http"


class Desk(Protocol):
    """Where the value's weights are read and changed."""

    def weights(self) -> dict[str, Any]:
        """The weights that are served, by arm."""
        ...

    async def set_weights(self, who: str, arm: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Replace some weights of an arm; ValueError says what is wrong with them."""
        ...


def weights_routes(desk: Desk) -> Routes:
    """Weights of the value, by arm."""
    routes = Routes("weights")

    @routes.get("/v1/weights")
    async def weights() -> dict[str, Any]:
        """The value's weights as they are served here, by arm."""
        return desk.weights()

    @routes.put("/v1/weights")
    async def set_weights(changed: ChangedWeights) -> dict[str, Any]:
        """Change weights in Redis; every ranker follows within a second."""
        try:
            return await desk.set_weights(changed.who, changed.arm, changed.weights)
        except ValueError as error:
            raise ProblemError(400, str(error)) from error

    return routes
