"""How this process is doing."""

from __future__ import annotations

from typing import Any, Protocol

from infra.http.routes import Routes


class State(Protocol):
    """What is told of a ranker."""

    async def readiness(self) -> dict[str, Any]:
        """That grids can be answered; UnreachableError says why they cannot."""
        ...

    def status(self) -> dict[str, Any]:
        """How the ranker is doing."""
        ...

    async def index(self) -> dict[str, Any]:
        """The account index, with a hash of its content."""
        ...


def state_routes(state: State) -> Routes:
    """Health, status and the index of this ranker."""
    routes = Routes("state")

    @routes.get("/v1/status")
    async def status() -> dict[str, Any]:
        """Versions that are live, and whether the ranker has read all there is."""
        return state.status()

    @routes.get("/v1/index")
    async def index() -> dict[str, Any]:
        """The account index; processes with equal hashes hold the same accounts and vectors."""
        return await state.index()

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Alive."""
        return {"status": "ok"}

    @routes.get("/readyz")
    async def readyz() -> dict[str, Any]:
        """Able to answer requests for grids, and whether what they are made of is up to date."""
        return await state.readiness()

    return routes
