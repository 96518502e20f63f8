"""Keys of Redis as they are, out and back in: for back-ups."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from itertools import islice
from typing import Any, Final

from infra.redis_server import RedisServer
from infra.stores import StoredKey

#: Keys that are read or written at once.
PAGE: Final = 500


class RedisCopies:
    """Reads and writes whole keys."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def read(self, wanted: Callable[[bytes], bool]) -> AsyncIterator[list[StoredKey]]:
        """All keys that are wanted, some at a time.

        What changes meanwhile comes as it was before or after; a key may come twice.

        Raises:
            UnreachableError: the server does not answer, or refuses.
        """
        async for keys in self._keys(wanted):
            asked: list[Any] = [(name, key) for key in keys for name in ("PTTL", "DUMP")]
            answers = await self._server.exchange(asked)
            yield [
                StoredKey(key, max(ttl, 0), value)
                for key, ttl, value in zip(keys, answers[::2], answers[1::2], strict=True)
                # It may have gone since it was found.
                if value is not None
            ]

    async def hold(self, wanted: Callable[[bytes], bool]) -> bool:
        """Whether there is any such key."""
        async for _ in self._keys(wanted):
            return True
        return False

    async def write(self, keys: Iterable[StoredKey]) -> int:
        """Put keys in, in the place of any of the same name; returns how many.

        Raises:
            UnreachableError: the server does not answer, or is older than who gave the values.
        """
        written, left = 0, iter(keys)
        while some := list(islice(left, PAGE)):
            await self._server.exchange(
                [("RESTORE", one.key, one.ttl_ms, one.value, "REPLACE") for one in some]
            )
            written += len(some)
        return written

    async def _keys(self, wanted: Callable[[bytes], bool]) -> AsyncIterator[list[bytes]]:
        cursor: bytes | str = "0"
        while True:
            [[cursor, page]] = await self._server.exchange([("SCAN", cursor, "COUNT", PAGE)])
            if keys := [key for key in page if wanted(key)]:
                yield keys
            if cursor == b"0":
                return
