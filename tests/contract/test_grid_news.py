"""Who follows a viewer's grid hears of each that is stored, by whichever process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from infra.config import Settings
from infra.memory_store import memory_stores
from infra.open_stores import open_stores
from infra.stores import Replaced, Stores


@pytest.fixture(params=["redis", "memory"])
async def both(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Stores, Stores]]:
    """Who stores, and who listens: two processes, where a store is shared by several."""
    if request.param == "memory":
        stores = memory_stores(Settings())
        listening = asyncio.ensure_future(stores.grids.listen())
        yield stores, stores
    else:
        settings = Settings(redis_url=request.getfixturevalue("redis_url"))
        async with open_stores(settings) as storing, open_stores(settings) as following:
            listening = asyncio.ensure_future(following.grids.listen())
            yield storing, following
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    listening.cancel()


async def quiet(changed: asyncio.Event) -> None:
    """Return once it is not set any more: that it begins to be heard of may count as news."""
    await asyncio.sleep(0.2)
    changed.clear()


async def test_each_stored_grid_of_a_followed_viewer_is_told(both: tuple[Stores, Stores]) -> None:
    storing, following = both
    async with following.grids.follow("ann {ü}") as ann, following.grids.follow("bob") as bob:
        for changed in (ann, bob):
            await quiet(changed)
        async with asyncio.timeout(5):
            for _ in range(2):
                await storing.viewers.save_grids(["ann {ü}", "carl"], [b"{}", b"{}"])
                await ann.wait()
                ann.clear()
        await asyncio.sleep(0.1)
        assert not bob.is_set()


async def test_a_grid_that_lost_media_is_told(both: tuple[Stores, Stores]) -> None:
    storing, following = both
    await storing.viewers.save_grids(["ann"], [b"{old}"])
    async with following.grids.follow("ann") as changed:
        await quiet(changed)
        stale, current = Replaced("ann", b"{other}", b"{}"), Replaced("ann", b"{old}", b"{}")
        assert await storing.viewers.replace_grids([stale]) == [False]
        await asyncio.sleep(0.1)
        assert not changed.is_set()
        assert await storing.viewers.replace_grids([current]) == [True]
        async with asyncio.timeout(5):
            await changed.wait()


async def test_two_follow_one_and_one_leaves(both: tuple[Stores, Stores]) -> None:
    storing, following = both
    async with following.grids.follow("ann") as stays:
        async with following.grids.follow("ann"):
            pass
        # Long enough for a channel that nobody follows to be left.
        await asyncio.sleep(1.2)
        await quiet(stays)
        await storing.viewers.save_grids(["ann"], [b"{}"])
        async with asyncio.timeout(5):
            await stays.wait()


async def test_who_comes_back_hears_again(both: tuple[Stores, Stores]) -> None:
    storing, following = both
    async with following.grids.follow("ann"):
        pass
    await asyncio.sleep(1.2)
    async with following.grids.follow("ann") as changed:
        await quiet(changed)
        await storing.viewers.save_grids(["ann"], [b"{}"])
        async with asyncio.timeout(5):
            await changed.wait()
