"""Serving an application as long as its process wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from infra.config import Settings
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
        )
    )
    # Not `serve`: it would take over the signals, which are the composition root's business.
    ended = asyncio.ensure_future(server._serve())
    try:
        while not server.started and not ended.done():
            await asyncio.sleep(0.005)
        yield ended
    finally:
        streams.close()
        server.should_exit = True
        await ended
