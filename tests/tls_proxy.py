"""TLS in front of a server that speaks none, as a proxy beside it would: for Valkey's wheel."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.certificates import Issued


@contextmanager
def tls_proxy(port: int, shown: Issued, trusted: str | None = None) -> Iterator[int]:
    """The port where the server at `port` of this machine is reached by TLS.

    Args:
        shown: the server's certificate.
        trusted: the file of who signs clients' certificates: each must show one; None for no
            certificates of clients.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=trusted)
    if trusted is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(shown.certificate, shown.key)
    ready = threading.Event()
    told: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []

    async def serve() -> None:
        ended = asyncio.Event()
        server = await asyncio.start_server(
            lambda reader, writer: _join(reader, writer, port), "127.0.0.1", 0, ssl=context
        )
        told.append((asyncio.get_running_loop(), ended, server.sockets[0].getsockname()[1]))
        ready.set()
        await ended.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    ready.wait(10)
    loop, ended, listens = told[0]
    try:
        yield listens
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    with suppress(OSError, asyncio.CancelledError):
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pour(reader, behind_writer), _pour(behind_reader, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
