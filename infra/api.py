"""The HTTP API: one read per grid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, Protocol

import uvicorn
from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field

from infra.config import Settings
from infra.deadline import Deadline, unavailable
from infra.errors import PortInUseError, UnreachableError
from models.events import MAX_ID_BYTES

JSON = "application/json"


def _event_id(text: str) -> str:
    """Refuse what no event may carry."""
    if not 0 < len(text.encode()) <= MAX_ID_BYTES:
        raise ValueError(f"an id has 1 to {MAX_ID_BYTES} bytes; this one has {len(text.encode())}")
    return text


def _media_id(text: str | None) -> str | None:
    return text if text is None else _event_id(text)


ID_MEANS: Final = f"The viewer's id, 1 to {MAX_ID_BYTES} bytes, URL-encoded."
ViewerId = Annotated[
    str,
    Path(description=ID_MEANS),
    AfterValidator(_event_id),
]
CursorText = Annotated[
    str | None,
    Query(max_length=2048, description="`next` of the page before; none for the first page."),
]


class Asked(BaseModel):
    """A query and for whom to run it."""

    viewer_id: Annotated[str, AfterValidator(_event_id)]
    query: str


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


class Reader(Protocol):
    """What the API needs from the ranker."""

    async def page(self, viewer_id: str, cursor: str | None) -> bytes:
        """One page as JSON; ValueError says what is wrong with the cursor."""
        ...

    async def query(self, viewer_id: str, text: str) -> bytes:
        """What a query gives a viewer, as JSON; ValueError says what is wrong with the query."""
        ...

    async def explain(self, viewer_id: str, media_id: str | None) -> bytes:
        """Why a viewer sees each media of the grid, or sees one media or not, as JSON."""
        ...

    async def readiness(self) -> dict[str, Any]:
        """That grids can be answered; UnreachableError says why they cannot."""
        ...

    def status(self) -> dict[str, Any]:
        """How the ranker is doing."""
        ...

    async def index(self) -> dict[str, Any]:
        """The account index, with a hash of its content."""
        ...


def create_api(reader: Reader, desk: Desk, limit_s: float) -> FastAPI:
    """The API over one ranker.

    Args:
        limit_s: seconds within which every request is answered.
    """
    api = FastAPI(title="Freshgrid", version="1", docs_url="/docs", redoc_url=None)
    api.add_middleware(Deadline, limit_s=limit_s)

    @api.exception_handler(UnreachableError)
    async def unreachable(_: Request, error: UnreachableError) -> Response:
        return unavailable(str(error))

    # `path`: an id may hold slashes, and an encoded one arrives here decoded.
    @api.get("/v1/explore/{viewer_id:path}")
    async def explore(viewer_id: ViewerId, cursor: CursorText = None) -> Response:
        """A page of the viewer's Explore grid; an unknown viewer gets a cold-start grid."""
        return await page(viewer_id, cursor)

    # A path cannot hold every id: clients take `.` and `..` for steps, and a line may end in it.
    @api.get("/v1/explore")
    async def explore_named(
        viewer_id: Annotated[str, Query(description=ID_MEANS), AfterValidator(_event_id)],
        cursor: CursorText = None,
    ) -> Response:
        """The same, of a viewer named by a parameter."""
        return await page(viewer_id, cursor)

    async def page(viewer_id: str, cursor: str | None) -> Response:
        try:
            body = await reader.page(viewer_id, cursor)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return Response(body, media_type=JSON)

    @api.post("/v1/query")
    async def query(asked: Asked) -> Response:
        """Run a query of candidates for a viewer: what it finds, and how it came to that."""
        try:
            body = await reader.query(asked.viewer_id, asked.query)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return Response(body, media_type=JSON)

    @api.get("/v1/explain")
    async def explain(
        viewer_id: Annotated[str, AfterValidator(_event_id)],
        media_id: Annotated[str | None, AfterValidator(_media_id)] = None,
    ) -> Response:
        """Why each media of a grid made now is there, or what became of one media."""
        return Response(await reader.explain(viewer_id, media_id), media_type=JSON)

    @api.get("/v1/weights")
    async def weights() -> dict[str, Any]:
        """The value's weights as they are served here, by arm."""
        return desk.weights()

    @api.put("/v1/weights")
    async def set_weights(changed: ChangedWeights) -> dict[str, Any]:
        """Change weights in Redis; every ranker follows within a second."""
        try:
            return await desk.set_weights(changed.who, changed.arm, changed.weights)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error

    @api.get("/v1/status")
    async def status() -> dict[str, Any]:
        """Versions that are live, and whether the ranker has read all there is."""
        return reader.status()

    @api.get("/v1/index")
    async def index() -> dict[str, Any]:
        """The account index; processes with equal hashes hold the same accounts and vectors."""
        return await reader.index()

    @api.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Alive."""
        return {"status": "ok"}

    @api.get("/readyz")
    async def readyz() -> dict[str, Any]:
        """Able to answer requests for grids, and whether what they are made of is up to date."""
        return await reader.readiness()

    return api


@asynccontextmanager
async def serving(api: FastAPI, settings: Settings) -> AsyncIterator[asyncio.Future[None]]:
    """Serve until left; given once requests are answered, with the future of its end."""
    server = uvicorn.Server(
        uvicorn.Config(
            api,
            host=settings.http_host,
            port=settings.http_port,
            log_config=None,
            access_log=False,
            lifespan="off",
        )
    )

    async def serve() -> None:
        try:
            # Not `serve`: it would take over the signals, the composition root's business.
            await server._serve()
        except SystemExit:
            # uvicorn has logged why, and would end the process as it stands.
            raise PortInUseError(
                f"HTTP_PORT {settings.http_port} on {settings.http_host} cannot be used; end the "
                "program that listens there, or choose another one"
            ) from None

    ended = asyncio.ensure_future(serve())
    try:
        while not server.started and not ended.done():
            await asyncio.sleep(0.005)
        if ended.done():
            await ended
        yield ended
    finally:
        server.should_exit = True
        await asyncio.gather(ended, return_exceptions=True)
