"""API keys in Redis, by their hashes, and the signing secret where the settings give none."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from infra.access.keys import ApiKey
from infra.redis_server import RedisServer

KEYS: Final = "access:{freshgrid}:keys"
SECRET: Final = "access:{freshgrid}:secret"

logger = logging.getLogger(__name__)

_encode: Final = msgspec.json.Encoder().encode
_key: Final = msgspec.json.Decoder(ApiKey)


class RedisAccess:
    """The keys that all processes know."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def keys(self) -> list[ApiKey]:
        """All keys, the oldest first; what cannot be read is left out."""
        [found] = await self._server.exchange([("HGETALL", KEYS)])
        keys = []
        for key_id, value in zip(found[::2], found[1::2], strict=True):
            try:
                keys.append(_key.decode(value))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                logger.warning("key %r of %s opens nothing: %s", key_id, KEYS, error)
        return sorted(keys, key=lambda key: (key.created_ms, key.key_id))

    async def add(self, key: ApiKey) -> None:
        """Add a key, or replace the one of its id."""
        await self._server.exchange([("HSET", KEYS, key.key_id, _encode(key))])

    async def revoke(self, key_id: str) -> bool:
        """Take a key away; returns whether there was one."""
        [gone] = await self._server.exchange([("HDEL", KEYS, key_id)])
        return bool(gone)

    async def secret(self, proposed: bytes) -> bytes:
        """The signing secret that all processes share: `proposed` where there is none yet."""
        _, standing = await self._server.exchange(
            [("SET", SECRET, proposed, "NX"), ("GET", SECRET)]
        )
        return bytes(standing)
