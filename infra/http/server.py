"""Serving an application as long as its process wants."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from infra.certificates import load_certificate
from infra.config import Settings
from infra.errors import PortInUseError
from infra.http.connections import Connection
from infra.http.streams import Streams

#: An idle connection is closed after this: later than clients and load balancers close theirs (60 s
#: and less), or a request meets the end of its connection on the way and is never answered.
KEEP_ALIVE_S: Final = 75


@asynccontextmanager
async def serving(
    api: ASGIApp, settings: Settings, streams: Streams
) -> AsyncIterator[asyncio.Future[None]]:
    """Serve until left; given once requests are answered, with the future of its end.

    Args:
        streams: answers that go on, which end when it is left.

    Raises:
        SettingsError: the certificate or its key cannot be used.
    """
    files = settings.http_certificate_file, settings.http_key_file
    key_password = settings.http_key_password
    if any(files):
        # uvicorn would end the process with a traceback.
        load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "HTTP", *files, key_password)
    server = uvicorn.Server(
        uvicorn.Config(
            api,
            http=Connection,
            host=settings.http_host,
            port=settings.http_port,
            ssl_certfile=files[0] or None,
            ssl_keyfile=files[1] or None,
            ssl_keyfile_password=key_password,
            log_config=None,
            access_log=False,
            lifespan="off",
            # There are none, and what speaks another protocol comes through no door.
            ws="none",
            server_header=False,
            # Who asks is what the connection says, unless a proxy is trusted to say it.
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies or None,
            timeout_keep_alive=KEEP_ALIVE_S,
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
