"""A server that is asked to end ends, whoever goes on asking."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from infra.config import Settings
from infra.http.server import serving
from infra.http.streams import Streams
from tests.chaos.servers import free_port


async def test_a_request_that_does_not_end_is_not_waited_for_longer_than_any_may_take() -> None:
    asked = asyncio.Event()

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await asyncio.sleep(60)

    settings = Settings(http_port=free_port(), request_timeout_s=0.5)
    url = f"http://{settings.http_host}:{settings.http_port}/"
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http, asyncio.timeout(20):
        async with serving(never, settings, Streams()):
            asking = asyncio.ensure_future(http.get(url))
            await asked.wait()
            left_s = time.monotonic()
        assert time.monotonic() - left_s < 5
        with pytest.raises(httpx.HTTPError):
            (await asking).raise_for_status()
