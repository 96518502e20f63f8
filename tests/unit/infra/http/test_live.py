"""A viewer's grid as a stream: what is sent when, and how streams end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from infra.config import Settings
from infra.errors import UnreachableError
from infra.http import live
from infra.http.app import create_api
from infra.http.live import live_routes
from infra.http.server import serving
from infra.http.streams import Streams
from infra.memory_store import MemoryGridNews


class Pages:
    """Answers with a page that tests replace."""

    def __init__(self) -> None:
        self.name, self.away = "first", False

    async def page(self, viewer_id: str, cursor: str | None) -> bytes:
        if self.away:
            raise UnreachableError("Redis does not answer")
        return json.dumps({"request_id": self.name, "viewer_id": viewer_id}).encode()


class Service:
    """A served API of live routes."""

    def __init__(self, base_url: str, pages: Pages, streams: Streams, news: MemoryGridNews) -> None:
        self.base_url, self.pages, self.streams, self.news = base_url, pages, streams, news
        #: What still reads when the process ends.
        self.closing = list[asyncio.Future[Any]]()
        self.client = httpx.AsyncClient(base_url=base_url, trust_env=False)

    @asynccontextmanager
    async def events(self, path: str = "/v1/live/v") -> AsyncIterator[AsyncIterator[list[str]]]:
        """The events of a stream, each as its lines."""
        async with self.client.stream("GET", path) as answer:
            assert answer.status_code == 200
            assert answer.headers["Content-Type"].startswith("text/event-stream")

            async def events() -> AsyncIterator[list[str]]:
                lines = list[str]()
                async for line in answer.aiter_lines():
                    if line:
                        lines.append(line)
                    else:
                        yield lines
                        lines = []

            yield events()


@asynccontextmanager
async def service(port: int, most: int = 10) -> AsyncIterator[Service]:
    pages, streams, news = Pages(), Streams(most), MemoryGridNews()
    api = create_api(5.0, [live_routes(pages, news, streams)])
    async with serving(api, Settings(http_port=port), streams):
        started = Service(f"http://127.0.0.1:{port}", pages, streams, news)
        yield started
    await asyncio.gather(*started.closing)
    await started.client.aclose()


def grid(lines: list[str]) -> dict[str, Any]:
    name, data = lines[1:]
    assert name == "event: grid"
    told: dict[str, Any] = json.loads(data.removeprefix("data: "))
    assert lines[0] == f"id: {told['request_id']}"
    return told


async def test_a_grid_comes_at_once_and_when_it_changes(unused_tcp_port: int) -> None:
    async with service(unused_tcp_port) as at, at.events() as events, asyncio.timeout(10):
        assert grid(await anext(events)) == {"request_id": "first", "viewer_id": "v"}
        # Told of twice, changed once; another viewer's is another's.
        at.news.tell(["v", "w"])
        await asyncio.sleep(3 * live.APART_S)
        at.pages.name = "second"
        at.news.tell(["v"])
        assert grid(await anext(events))["request_id"] == "second"


async def test_an_id_in_a_parameter(unused_tcp_port: int) -> None:
    path = "/v1/live?viewer_id=.."
    async with service(unused_tcp_port) as at, at.events(path) as events, asyncio.timeout(10):
        assert grid(await anext(events))["viewer_id"] == ".."


async def test_nothing_new_is_a_comment_now_and_then(
    unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Streams.wait, "__defaults__", (0.05,))
    async with service(unused_tcp_port) as at, at.events() as events, asyncio.timeout(10):
        grid(await anext(events))
        assert await anext(events) == [": keep-alive"]
        # Also what nobody told of is found then.
        at.pages.name = "second"
        while (lines := await anext(events)) == [": keep-alive"]:
            pass
        assert grid(lines)["request_id"] == "second"


async def test_what_is_away_is_told_and_tried_again(
    unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "AGAIN_S", 0.05)
    async with service(unused_tcp_port) as at, at.events() as events, asyncio.timeout(10):
        grid(await anext(events))
        at.pages.away = True
        at.news.tell(["v"])
        name, data = await anext(events)
        assert name == "event: problem"
        assert json.loads(data.removeprefix("data: "))["status"] == 503
        at.pages.away, at.pages.name = False, "second"
        while "event: problem" in (lines := await anext(events)):
            pass
        assert grid(lines)["request_id"] == "second"


async def test_a_grid_that_cannot_be_read_at_first_is_a_problem(unused_tcp_port: int) -> None:
    async with service(unused_tcp_port) as at:
        at.pages.away = True
        answer = await at.client.get("/v1/live/v")
    assert (answer.status_code, answer.json()["status"]) == (503, 503)


async def test_there_are_so_many_and_a_place_comes_free(unused_tcp_port: int) -> None:
    async with service(unused_tcp_port, most=1) as at, asyncio.timeout(10):
        async with at.events() as events:
            await anext(events)
            refused = await at.client.get("/v1/live/w")
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        while at.streams.open:
            await asyncio.sleep(0.01)
        async with at.events() as events:
            await anext(events)


async def test_streams_end_with_their_process(unused_tcp_port: int) -> None:
    async with asyncio.timeout(5):
        async with service(unused_tcp_port) as at:
            begun = asyncio.Event()

            async def read() -> list[list[str]]:
                found = list[list[str]]()
                async with at.events() as events:
                    async for lines in events:
                        found.append(lines)
                        begun.set()
                return found

            reading = asyncio.ensure_future(read())
            await begun.wait()
            at.closing.append(reading)
        assert len(await reading) == 1
    assert at.streams.open == 0
