"""Who follows a viewer's grid hears of each that is stored, by whichever process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from infra.config import Settings
from infra.memory_store import memory_stores
from infra.open_stores import open_stores
from infra.stores import Replaced, Stores
from tests.stores import all_told, ended


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
            await ended(listening)
    listening.cancel()


async def test_each_stored_grid_of_a_followed_viewer_is_told(both: tuple[Stores, Stores]) -> None:
    storing, following = both
    async with following.grids.follow("ann {ü}") as ann, following.grids.follow("bob") as bob:
        # That a viewer begins to be heard of may count as news.
        await all_told(*both)
        for changed in (ann, bob):
            changed.clear()
        async with asyncio.timeout(5):
            for _ in range(2):
                await storing.viewers.save_grids(["ann {ü}", "carl"], [b"{}", b"{}"])
                await ann.wait()
                ann.clear()
        await all_told(*both)
        assert not bob.is_set()


async def test_a_grid_that_lost_media_is_told(both: tuple[Stores, Stores]) -> None:
    storing, following = both
    await storing.viewers.save_grids(["ann"], [b"{old}"])
    async with following.grids.follow("ann") as changed:
        await all_told(*both)
        changed.clear()
        stale, current = Replaced("ann", b"{other}", b"{}"), Replaced("ann", b"{old}", b"{}")
        assert await storing.viewers.replace_grids([stale]) == [False]
        await all_told(*both)
        assert not changed.is_set()
        assert await storing.viewers.replace_grids([current]) == [True]
        async with asyncio.timeout(5):
            await changed.wait()


async def test_two_follow_one_and_one_leaves(both: tuple[Stores, Stores]) -> None:
    storing, following = both
    async with following.grids.follow("ann") as stays:
        async with following.grids.follow("ann"):
            pass
        # After each news, channels that nobody follows are left.
        for _ in range(2):
            await all_told(*both)
        stays.clear()
        await storing.viewers.save_grids(["ann"], [b"{}"])
        async with asyncio.timeout(5):
            await stays.wait()


async def test_who_comes_back_hears_again(both: tuple[Stores, Stores]) -> None:
    storing, following = both
    async with following.grids.follow("ann"):
        pass
    for _ in range(2):
        await all_told(*both)
    async with following.grids.follow("ann") as changed:
        await all_told(*both)
        changed.clear()
        await storing.viewers.save_grids(["ann"], [b"{}"])
        async with asyncio.timeout(5):
            await changed.wait()
