"""Empty stores of each kind there is, for tests that must hold on all of them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import redis

from infra.config import Settings
from infra.memory_store import MemoryStore, memory_stores
from infra.open_stores import open_stores
from infra.redis_store import RedisStore
from infra.stores import Store, Stores

KINDS = ("memory", "redis")
_numbers = itertools.count()


@asynccontextmanager
async def empty_stores(
    kind: str, redis_url: Callable[[], str], **fields: Any
) -> AsyncIterator[Stores]:
    """Stores of a kind with these settings; a server is asked for only where one is needed."""
    if kind == "memory":
        yield memory_stores(Settings(**fields))
        return
    settings = Settings(redis_url=redis_url(), **fields)
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushall()
    async with open_stores(settings) as stores:
        await stores.viewers.start()
        yield stores


async def all_told(storing: Stores, following: Stores) -> None:
    """Return once whatever was followed is heard of, and all news up to now were told.

    News come in order: those of a viewer whom nobody followed before come last.
    """
    marker = f"marker-{next(_numbers)}"
    async with following.grids.follow(marker) as changed, asyncio.timeout(10):
        while True:
            changed.clear()
            await storing.viewers.save_grids([marker], [b"{}"])
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await changed.wait()
                    return


async def ended(task: asyncio.Future[None]) -> None:
    """Cancel it, and again: redis-py swallows a cancellation that comes at some moments."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.2)


async def damage(store: Store, viewer_id: str, value: bytes) -> None:
    """Let this be what is stored of a viewer, past every check."""
    if isinstance(store, MemoryStore):
        # Its revisions stand apart.
        store._revisions[viewer_id] = int.from_bytes(value[:4], "big")
        store._states[viewer_id] = value[4:]
    else:
        assert isinstance(store, RedisStore)
        await store._exchange([("SET", store._viewer_key(viewer_id), value)])
