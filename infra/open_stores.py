"""The stores that the settings name: the only place that knows what is behind the ports.

Another store is another branch here, and adapters that pass ``tests/contract``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.config import Settings
from infra.redis_access import RedisAccess
from infra.redis_copies import RedisCopies
from infra.redis_experiments import RedisExperiments
from infra.redis_grid_news import RedisGridNews
from infra.redis_rights import RedisRights
from infra.redis_schedule import RedisSchedule
from infra.redis_server import RedisServer, redis_hello, redis_memory
from infra.redis_store import RedisStore
from infra.redis_work import RedisWork
from infra.stores import StoreMemory, Stores


@asynccontextmanager
async def open_stores(settings: Settings, *, patient: bool = False) -> AsyncIterator[Stores]:
    """Every store of an installation, until left.

    Args:
        patient: wait for a server that is away as long as it takes instead of failing after some
            seconds. For processes that have nothing else to do and lose nothing by waiting.

    Raises:
        UnreachableError: by every call, where the server does not answer or refuses.
    """
    server = RedisServer(settings, patient=patient)
    try:
        yield Stores(
            RedisStore(server, settings),
            RedisSchedule(server),
            RedisExperiments(server),
            RedisGridNews(server),
            RedisAccess(server),
            RedisRights(server),
            RedisWork(server),
        )
    finally:
        await server.close()


@asynccontextmanager
async def open_copies(settings: Settings) -> AsyncIterator[RedisCopies]:
    """Whole keys of the server behind the stores, until left; raises as :func:`open_stores`."""
    server = RedisServer(settings)
    try:
        yield RedisCopies(server)
    finally:
        await server.close()


def store_hello(settings: Settings, timeout_s: float) -> str:
    """What the server behind the stores says about itself.

    Raises:
        UnreachableError: it does not answer in time, or is too old.
    """
    return redis_hello(settings, timeout_s)


def store_memory(settings: Settings, timeout_s: float) -> StoreMemory:
    """How much memory the server behind the stores uses, and how much it may.

    Raises:
        UnreachableError: it does not answer in time.
    """
    return redis_memory(settings, timeout_s)
