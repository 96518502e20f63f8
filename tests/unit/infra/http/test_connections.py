"""Answers without a task are those that the usual way gives, and what they cannot do goes there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.access.guard import Guard
from infra.access.tokens import Tokens
from infra.config import Settings
from infra.errors import UnreachableError
from infra.http.door import Door
from infra.http.ready_pages import ReadyPages
from infra.http.server import serving
from infra.http.streams import Streams
from infra.memory_store import MemoryAccess
from infra.metrics import HTTP_REFUSED
from tests.chaos.servers import free_port

KEY = "k" * 32


class Reader:
    """Has a page of everybody but `nobody`, and tells a turn later; of `hung` never."""

    def __init__(self) -> None:
        self.soon = 0
        self.held: list[Callable[[], None]] = []

    async def ready(self, viewer_id: str, *, ids_only: bool = False) -> bytes | None:
        if viewer_id.startswith("hung"):
            await asyncio.sleep(60)
        if viewer_id == "away":
            raise UnreachableError("away")
        return None if viewer_id == "nobody" else _page(viewer_id, ids_only)

    def ready_soon(
        self, viewer_id: str, told: Callable[[bytes | None], None], *, ids_only: bool = False
    ) -> bool:
        if viewer_id == "away":
            return False
        self.soon += 1
        page = None if viewer_id == "nobody" else _page(viewer_id, ids_only)
        if viewer_id.startswith("held"):
            self.held.append(lambda: told(page))
        elif not viewer_id.startswith("hung"):
            asyncio.get_running_loop().call_soon(told, page)
        return True

    def kept(self, viewer_id: str, *, ids_only: bool = False) -> tuple[bytes, float] | None:
        return (_page(viewer_id, ids_only), 12.9) if viewer_id == "hung-kept" else None


def _page(viewer_id: str, ids_only: bool) -> bytes:
    return f"{viewer_id}|{ids_only}|{'x' * 10_000}".encode()


class Counted:
    """Counts what comes the usual way."""

    def __init__(self, door: Door, is_prompt: bool) -> None:
        self.door, self.tasks = door, 0
        if is_prompt:
            self.prompt = door.prompt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.tasks += 1
        await self.door(scope, receive, send)


class Ranker:
    """A server of ready pages."""

    def __init__(self, app: Any, reader: Reader, port: int) -> None:
        self.app, self.reader, self.port = app, reader, port

    async def ask(self, text: str) -> bytes:
        """What comes until the connection ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text.encode())
        try:
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def ranker(*, is_prompt: bool = True, key: str = "", **more: Any) -> AsyncIterator[Ranker]:
    reader = Reader()
    behind: ASGIApp = PlainTextResponse("behind")
    guard = Guard(MemoryAccess(), Tokens(b"s" * 32), key)
    await guard.refresh()
    limits = {"per_address_s": 1e9, "at_once": 4, "hold_s": 0.0} | more
    pages = ReadyPages(behind, reader, 2.0)
    app = Counted(Door(pages, guard, required=bool(key), **limits), is_prompt)
    settings = Settings(http_port=free_port())
    async with serving(app, settings, Streams()):
        yield Ranker(app, reader, settings.http_port)


def get(path: str, *headers: str, version: str = "1.1", last: bool = True) -> str:
    lines = [f"GET {path} HTTP/{version}", "Host: 127.0.0.1", *headers]
    if last:
        lines.append("Connection: close")
    return "\r\n".join(lines) + "\r\n\r\n"


def parts_of(answer: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    return status, dict(line.split(b": ", 1) for line in lines), body


@pytest.mark.parametrize("path", ["/v1/explore/ann", "/v1/explore?viewer_id=a%26b&fields=ids"])
async def test_a_prompt_answer_is_the_usual_one_without_a_task(path: str) -> None:
    answers = []
    for is_prompt in (True, False):
        async with ranker(is_prompt=is_prompt) as of:
            answers.append(parts_of(await of.ask(get(path))))
            assert of.app.tasks == (0 if is_prompt else 1)
    for _, headers, _ in answers:
        assert headers.pop(b"date")
    assert answers[0] == answers[1]
    assert b"cache-control" in answers[0][1]


async def test_requests_sent_together_are_answered_in_order() -> None:
    viewers = ["a", "b", "nobody", "c", "away", "d"]
    asked = "".join(get(f"/v1/explore/{name}", last=False) for name in viewers)
    async with ranker() as of:
        answer = await of.ask(asked + get("/v1/explore/last"))
        assert of.app.tasks == 2
    found = re.findall(rb"\r\n\r\n(behind|\w+?)(?:\||HTTP)", answer)
    assert found == [b"a", b"b", b"behind", b"c", b"behind", b"d", b"last"]


async def test_a_client_of_the_old_version_sees_the_end() -> None:
    async with ranker() as of:
        status, headers, body = parts_of(
            await of.ask(get("/v1/explore/ann", version="1.0", last=False))
        )
    assert (status, headers[b"connection"]) == (b"HTTP/1.1 200 OK", b"close")
    assert len(body) == int(headers[b"content-length"])


async def test_what_is_refused_is_refused_as_ever_and_counted_once() -> None:
    before = HTTP_REFUSED.labels("no key")._value.get()
    async with ranker(key=KEY) as of:
        assert (await of.ask(get("/v1/explore/ann"))).startswith(b"HTTP/1.1 401")
        assert HTTP_REFUSED.labels("no key")._value.get() == before + 1
        assert not of.reader.soon
        let_in = get("/v1/explore/ann", f"Authorization: Bearer {KEY}")
        assert (await of.ask(let_in)).startswith(b"HTTP/1.1 200")


async def test_a_request_counts_once_against_the_rate_whichever_way_it_goes() -> None:
    token = Tokens(b"s" * 32).issue("nobody", ["read"], "")
    asked = get("/v1/explore/nobody", f"Authorization: Bearer {token}")
    async with ranker(key=KEY, per_address_s=0.5) as of:
        # A bucket holds the requests of four seconds.
        answers = [await of.ask(asked) for _ in range(3)]
    assert [answer[9:12] for answer in answers] == [b"200", b"200", b"429"]


async def test_a_store_that_hangs_is_waited_for_once() -> None:
    async with ranker() as of:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        status, headers, body = parts_of(await of.ask(get("/v1/explore/hung-kept")))
        assert 1.0 <= loop.time() - began_s < 1.9
        assert (status, headers[b"age"]) == (b"HTTP/1.1 200 OK", b"12")
        assert body.startswith(b"hung-kept|False")
        assert (await of.ask(get("/v1/explore/hung"))).endswith(b"behind")


async def test_who_went_away_is_not_answered() -> None:
    async with ranker() as of:
        _, writer = await asyncio.open_connection("127.0.0.1", of.port)
        writer.write(get("/v1/explore/held", last=False).encode())
        async with asyncio.timeout(5):
            while not of.reader.held:
                await asyncio.sleep(0.001)
            writer.close()
            await writer.wait_closed()
        assert (await of.ask(get("/v1/explore/ann"))).startswith(b"HTTP/1.1 200")
        of.reader.held[0]()
        assert (await of.ask(get("/v1/explore/ann"))).startswith(b"HTTP/1.1 200")
