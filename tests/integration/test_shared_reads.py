"""Reads over one shared connection: in order, after a server that went away, and none for ever."""

from __future__ import annotations

import asyncio

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
