"""How this process is doing."""

from __future__ import annotations

from typing import Any, Final, Protocol

from infra.http.routes import Routes, objects


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


_STATUS: Final[dict[str, Any]] = {
    "caught_up": True,
    "kafka_silent_s": 0.0,
    "waiting_viewers": 0,
    "viewers_touched": 3761,
    "media": 7583,
    "accounts": 2029,
    "index_version": 3,
    "versions": {"ig2vec": "aedf6221d9ff69431d4aa0d6", "rankers": "rankers-3d5a", "items": None},
}
_READY: Final[dict[str, Any]] = {
    "ready": True,
    "reads_redis": True,
    "caught_up": True,
    "lag": 0,
    "kafka_silent_s": 0.0,
    "versions": _STATUS["versions"],
}
_INDEX: Final = {
    "space": "aedf6221d9ff69431d4aa0d6",
    "version": 3,
    "accounts": 7310,
    "hash": "9f1d",
}


def state_routes(state: State) -> Routes:
    """Health, status and the index of this ranker."""
    routes = Routes("state")

    @routes.get("/v1/status", responses=objects(_STATUS))
    async def status() -> dict[str, Any]:
        """Versions that are live, and whether the ranker has read all there is."""
        return state.status()

    @routes.get("/v1/index", responses=objects(_INDEX))
    async def index() -> dict[str, Any]:
        """The account index; processes with equal hashes hold the same accounts and vectors."""
        return await state.index()

    @routes.get("/healthz", responses=objects({"status": "ok"}))
    async def healthz() -> dict[str, str]:
        """That the process runs; it asks nobody else."""
        return {"status": "ok"}

    @routes.get("/readyz", responses=objects(_READY))
    async def readyz() -> dict[str, Any]:
        """Able to answer requests for grids, and how far what they are made of is read."""
        return await state.readiness()

    return routes
