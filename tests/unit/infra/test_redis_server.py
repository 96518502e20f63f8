"""Answers that a server cannot be brought to give at will, from one that says what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hiredis
import pytest

from infra.config import Settings
from infra.errors import SettingsError, UnreachableError
from infra.redis_bulk import NOT_NOW
from infra.redis_server import RedisServer


class Server:
    """Answers every command with `answer`, those of the connection with OK."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        commands = hiredis.Reader()
        while data := await reader.read(4096):
            commands.feed(data)
            while command := commands.gets():
                writer.write(b"+OK\r\n" if command[0] == b"CLIENT" else self.answer)
        writer.close()


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[Server]:
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


@asynccontextmanager
async def client_of(server: Server, patient: bool = True) -> AsyncIterator[RedisServer]:
    client = RedisServer(Settings(redis_url=f"redis://127.0.0.1:{server.port}"), patient=patient)
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("word", sorted(NOT_NOW))
async def test_what_passes_is_waited_for_on_a_new_connection(word: str) -> None:
    async with answering(f"-{word} not now\r\n".encode()) as server, client_of(server) as client:
        waiting = asyncio.ensure_future(client.exchange([("GET", "k")]))
        while server.connections < 3:
            await asyncio.sleep(0.01)
        assert not waiting.done()
        server.answer = b"$1\r\nv\r\n"
        async with asyncio.timeout(5):
            assert await waiting == [b"v"]


@pytest.mark.parametrize("answer", ["NOPERM no", "ERR unknown command", "WRONGTYPE of it"])
async def test_what_does_not_pass_is_said_at_once(answer: str) -> None:
    async with answering(f"-{answer}\r\n".encode()) as server, client_of(server) as client:
        with pytest.raises(UnreachableError, match=rf"does not do what it should \({answer}\)"):
            await client.exchange([("GET", "k")])
        assert server.connections == 1


async def test_what_is_not_waited_for_is_tried_once() -> None:
    async with answering(b"-READONLY no\r\n") as server, client_of(server) as client:
        with pytest.raises(UnreachableError, match="READONLY"):
            await client.exchange([("SET", "k", "v")], wait=False)
        assert server.connections == 1


async def test_a_wait_can_be_cancelled() -> None:
    async with answering(b"-LOADING\r\n") as server, client_of(server) as client:
        for delay_s in (0.0, 0.001, 0.01, 0.05, 0.2):
            waiting = asyncio.ensure_future(client.exchange([("GET", "k")]))
            await asyncio.sleep(delay_s)
            waiting.cancel()
            async with asyncio.timeout(2):
                with pytest.raises(asyncio.CancelledError):
                    await waiting


def test_a_url_that_is_none_is_refused_with_the_form_of_one() -> None:
    for url in ("localhost", "http://h", "redis://h:port"):
        with pytest.raises(SettingsError, match="redis://USER:PASSWORD@HOST:PORT/DATABASE"):
            RedisServer(Settings(redis_url=url))
