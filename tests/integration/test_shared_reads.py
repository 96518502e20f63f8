"""Reads over one shared connection: in order, after a server that went away, and none for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infra.config import Settings
from infra.embedded import embedded_redis
from infra.errors import UnreachableError
from infra.redis_bulk import connect
from infra.redis_reads import SharedReads


async def test_many_reads_at_once_get_their_own_answers() -> None:
    with embedded_redis() as url:
        client = connect(Settings(redis_url=url))
        for n in range(200):
            await client.set(f"k{n}", f"{n}" * 1000)
        shared = SharedReads(client)
        reads = (shared.ask(("GET", f"k{n}"), ("STRLEN", f"k{n}")) for n in range(200))
        for n, found in enumerate(await asyncio.gather(*reads)):
            assert found == [f"{n}".encode() * 1000, 1000 * len(str(n))]
        await client.aclose()


async def test_a_read_that_is_given_up_leaves_the_others_in_order() -> None:
    with embedded_redis() as url:
        client = connect(Settings(redis_url=url))
        await client.set("a", "1")
        await client.set("b", "2")
        shared = SharedReads(client)
        await shared.ask(("GET", "a"))
        given_up = asyncio.ensure_future(shared.ask(("GET", "a")))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await shared.ask(("GET", "b")) == [b"2"]
        await client.aclose()


async def test_a_connection_that_ends_is_an_error_once() -> None:
    with embedded_redis() as url:
        client = connect(Settings(redis_url=url))
        shared = SharedReads(client)
        assert await shared.ask(("GET", "a")) == [None]
        await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(0.05)
        assert await shared.ask(("GET", "a")) == [None]
        await client.aclose()


async def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.redis_reads.SOCKET_TIMEOUT_S", 0.2)
    with embedded_redis() as url:
        client = connect(Settings(redis_url=url))
        shared = SharedReads(client)
        await shared.ask(("GET", "a"))
        await client.execute_command("CLIENT", "PAUSE", 1500, "ALL")
        async with asyncio.timeout(1):
            with pytest.raises(UnreachableError):
                await shared.ask(("GET", "a"))
        async with asyncio.timeout(10):
            while True:
                try:
                    assert await shared.ask(("GET", "a")) == [None]
                    break
                except UnreachableError:
                    continue
        await client.aclose()


async def test_who_is_told_is_told_once_and_takes_nobody_along(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with embedded_redis() as url:
        client = connect(Settings(redis_url=url))
        shared = SharedReads(client)
        told: list[list[Any] | Exception] = []
        assert not shared.tell(told.append, ("GET", "a"))
        await shared.ask(("SET", "a", "1"))

        def fails(found: list[Any] | Exception) -> None:
            raise RuntimeError("not taken")

        assert shared.tell(fails, ("GET", "a"))
        assert shared.tell(told.append, ("GET", "a"), ("GET", "b"))
        assert await shared.ask(("GET", "a")) == [b"1"]
        assert told == [[b"1", None]]
        assert "could not be taken" in caplog.text
        await client.execute_command("CLIENT", "PAUSE", 5000, "ALL")
        assert shared.tell(told.append, ("GET", "a"))
        shared._line._transport.abort()
        async with asyncio.timeout(5):
            while len(told) < 2:
                await asyncio.sleep(0.001)
        assert isinstance(told[1], Exception)
        assert not shared.tell(told.append, ("GET", "a"))
        await client.aclose()
