"""Long work tells how far it is, whatever stores it; what is over or gone is not told of."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from infra.config import Settings
from infra.http.operations import Work
from infra.open_stores import open_stores
from infra.stores import Stores
from streams.operations.work import GONE_MS, telling, under_way


async def test_work_is_told_of_until_it_is_over(stores: Stores) -> None:
    board = stores.work
    assert await under_way(board, 0) == []
    rebuild = Work("rebuild", 5, 10, began_ms=1000, at_ms=9000)
    replay = Work("replay", None, None, began_ms=500, at_ms=9000)
    for name, work in (("one", rebuild), ("other", replay)):
        await board.note(name, msgspec.json.encode(work))
    await board.note("strange", b"?")
    assert await under_way(board, 9500) == [replay, rebuild]
    assert await under_way(board, 9000 + GONE_MS) == []
    further = msgspec.structs.replace(rebuild, done=7)
    await board.note("one", msgspec.json.encode(further))
    await board.end("other")
    assert await under_way(board, 9500) == [further]


async def test_a_command_tells_and_takes_it_back(redis_url: str) -> None:
    settings, shown = Settings(redis_url=redis_url), []
    async with open_stores(settings) as stores:

        async def now() -> list[Work]:
            return [work for work in await under_way(stores.work, 0) if work.what == "replay"]

        with telling(settings, "replay", lambda *done: shown.append(done)) as progress:
            progress(3, 9)
            async with asyncio.timeout(10):
                while not (found := await now()) or found[0].done is None:
                    await asyncio.sleep(0.02)
            assert [(work.what, work.done, work.total) for work in found] == [("replay", 3, 9)]
            assert shown == [(3, 9)]
        assert await now() == []


def test_a_store_that_is_away_ends_no_work(caplog: pytest.LogCaptureFixture) -> None:
    away = Settings(redis_url="redis://127.0.0.1:9/0")
    with telling(away, "rebuild") as progress:
        progress(1, 2)
    assert caplog.records == []
