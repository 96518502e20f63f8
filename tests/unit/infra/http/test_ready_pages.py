"""Which requests are answered by a read, and that all others go on to the routes behind."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.errors import UnreachableError
from infra.http.ready_pages import ReadyPages

behind = PlainTextResponse("behind")


async def never(scope: Scope, receive: Receive, send: Send) -> None:
    """Routes that wait for what is away."""
    await asyncio.sleep(60)


class Reader:
    """Has a page of everybody but `nobody`; of whom it keeps one, when the store is away."""

    async def ready(self, viewer_id: str, *, ids_only: bool = False) -> bytes | None:
        if viewer_id.startswith("away"):
            raise UnreachableError("away")
        if viewer_id.startswith("hung"):
            await asyncio.sleep(60)
        return None if viewer_id == "nobody" else f"{viewer_id}|{ids_only}".encode()

    def kept(self, viewer_id: str, *, ids_only: bool = False) -> tuple[bytes, float] | None:
        return (f"{viewer_id}|{ids_only}".encode(), 12.9) if "kept" in viewer_id else None


async def ask(path: str, app: ASGIApp = behind, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(ReadyPages(app, Reader(), 0.1))
    async with httpx.AsyncClient(transport=transport, base_url="http://ranker") as http:
        return await http.request(more.pop("method", "GET"), path, **more)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/explore/v", "v|False"),
        ("/v1/explore/v?fields=ids", "v|True"),
        ("/v1/explore?viewer_id=v", "v|False"),
        ("/v1/explore?viewer_id=..&fields=ids", "..|True"),
        ("/v1/explore?viewer_id=a%26b%20c", "a&b c|False"),
        ("/v1/explore/a%2Fb%3Fc", "a/b?c|False"),
        ("/v1/explore/%C3%BC%7Bx%7D", "ü{x}|False"),
        ("/v1/explore/" + "x" * 128, "x" * 128 + "|False"),
    ],
)
async def test_a_ready_first_page_is_answered(path: str, answer: str) -> None:
    response = await ask(path)
    assert (response.status_code, response.text) == (200, answer)
    assert response.headers["content-type"] == "application/json"
    assert int(response.headers["content-length"]) == len(answer.encode())


@pytest.mark.parametrize(
    "path",
    [
        "/v1/explore/nobody",
        "/v1/explore/away",
        "/v1/explore/v?cursor=x",
        "/v1/explore/v?fields=other",
        "/v1/explore/v?fields=all",
        "/v1/explore/",
        "/v1/explore",
        "/v1/explore?viewer_id=",
        "/v1/explore/v?viewer_id=w",
        "/v1/explore/" + "x" * 129,
        "/v1/explorer",
        "/v1/status",
    ],
)
async def test_everything_else_goes_on(path: str) -> None:
    assert (await ask(path)).text == "behind"


async def test_other_methods_go_on() -> None:
    for method in ("POST", "HEAD", "PUT"):
        response = await ask("/v1/explore/v", method=method)
        assert response.headers["content-type"].startswith("text/plain")


async def test_a_read_that_hangs_is_answered_in_time() -> None:
    began_s = time.monotonic()
    response = await ask("/v1/explore/hung", never)
    assert response.status_code == 503
    assert "0.1 s (REQUEST_TIMEOUT_S)" in response.json()["detail"]
    assert 0.1 <= time.monotonic() - began_s < 1.0


@pytest.mark.parametrize("viewer", ["away-kept", "hung-kept"])
async def test_without_the_store_the_page_that_is_kept_is_answered_with_its_age(
    viewer: str,
) -> None:
    response = await ask(f"/v1/explore/{viewer}?fields=ids", never)
    assert (response.status_code, response.text) == (200, f"{viewer}|True")
    assert response.headers["age"] == "12"
    assert "age" not in (await ask("/v1/explore/kept")).headers
