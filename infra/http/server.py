"""Serving an application as long as its process wants."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from infra.config import Settings
from infra.errors import PortInUseError
from infra.http.streams import Streams


@asynccontextmanager
async def serving(
    api: ASGIApp, settings: Settings, streams: Streams
) -> AsyncIterator[asyncio.Future[None]]:
    """Serve until left; given once requests are answered, with the future of its end.

    Args:
        streams: answers that go on, which end when it is left.
    """
    server = uvicorn.Server(
        uvicorn.Config(
            api,
            host=settings.http_host,
            port=settings.http_port,
            log_config=None,
            access_log=False,
            lifespan="off",
            # A connection that was accepted at the last moment is kept alive by who goes on asking
            # on it, and would be waited for as long.
            timeout_graceful_shutdown=math.ceil(settings.request_timeout_s),
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
        streams.close()
        server.should_exit = True
        await asyncio.gather(ended, return_exceptions=True)
