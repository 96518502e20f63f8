"""Long work that is under way, in Redis: a hash that ends by itself when nobody writes to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from infra.redis_server import RedisServer

WORK_KEY: Final = "work:{freshgrid}"
#: Whoever works says so every second; what ended without a word is gone by then.
TTL_S: Final = 60


class RedisWork:
    """What each long work says of itself, by its name."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def note(self, name: str, said: bytes) -> None:
        """Write down what a work says now; tried once."""
        commands = [("HSET", WORK_KEY, name, said), ("EXPIRE", WORK_KEY, TTL_S)]
        await self._server.exchange(commands, wait=False)

    async def end(self, name: str) -> None:
        """A work is over; tried once."""
        await self._server.exchange([("HDEL", WORK_KEY, name)], wait=False)

    async def all(self) -> dict[str, bytes]:
        """Name → what was said last."""
        [found] = await self._server.exchange([("HGETALL", WORK_KEY)], wait=False)
        return {bytes(name).decode(): bytes(said) for name, said in _pairs(found)}


def _pairs(found: Any) -> Iterable[tuple[Any, Any]]:
    """Of a reply that is a map by RESP3 and a list by RESP2."""
    return found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
