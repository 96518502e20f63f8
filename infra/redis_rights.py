"""What Redis holds of one viewer: found, handed out and deleted.

Most of it stands under keys with the viewer's hash tag; events that wait for their media stand
among those of others, and open sessions in one sorted set.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final

from infra.redis_bulk import Command
from infra.redis_schedule import SCHEDULE
from infra.redis_server import RedisServer
from infra.redis_store import DRAFT, PARKED, parked_viewer

#: Keys looked at by one call: few enough that nobody else waits for it.
_LOOKED_AT: Final = 1000
#: Characters that mean something in a pattern.
_SPECIAL: Final = re.compile(r"([\\*?\[\]])")


class RedisRights:
    """Everything of a viewer in Redis."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def held(self, viewer_id: str) -> dict[str, list[bytes]]:
        """Key → what it holds of the viewer."""
        found: dict[str, list[bytes]] = {}
        async for own, is_list in self._own(viewer_id):
            read: Command = ("LRANGE", own, 0, -1) if is_list else ("GET", own)
            [value] = await self._server.exchange([read])
            if value is not None:
                found[own.decode()] = [bytes(one) for one in (value if is_list else [value])]
        async for key, entry in self._parked(viewer_id):
            found.setdefault(key, []).append(entry)
        [due] = await self._server.exchange([("ZSCORE", SCHEDULE, viewer_id)])
        if due is not None:
            found[SCHEDULE] = [str(due).encode() if isinstance(due, float) else bytes(due)]
        return found

    async def forget(self, viewer_id: str) -> int:
        """Delete it; returns how many keys and entries that were."""
        [gone] = await self._server.exchange([("ZREM", SCHEDULE, viewer_id)])
        deleted = int(gone)
        entries = [entry async for entry in self._parked(viewer_id)]
        for key, value in entries:
            [gone] = await self._server.exchange([("LREM", key, 1, value)])
            deleted += int(gone)
        async for own, _ in self._own(viewer_id):
            [gone] = await self._server.exchange([("UNLINK", own)])
            deleted += int(gone)
        return deleted

    async def _own(self, viewer_id: str) -> AsyncIterator[tuple[bytes, bool]]:
        """Keys of the viewer's own, and whether each is a list."""
        tag = f"{{{viewer_id}}}"
        # An id may hold a brace or a colon: what only looks alike is another viewer's.
        own = re.compile(
            rf"(?:{re.escape(DRAFT)})?(?:viewer|damaged|grid):{re.escape(tag)}\Z"
            rf"|pages:{re.escape(tag)}:[0-9a-f]+\Z"
        )
        cursor: bytes | str = "0"
        pattern = "*" + _SPECIAL.sub(r"\\\1", tag) + "*"
        while True:
            scan: Command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _LOOKED_AT)
            [[cursor, page]] = await self._server.exchange([scan])
            for key in dict.fromkeys(page):
                if own.match(key.decode()):
                    yield key, key.startswith(b"pages:")
            if cursor == b"0":
                return

    async def _parked(self, viewer_id: str) -> AsyncIterator[tuple[str, bytes]]:
        """Entries of the viewer among the events that wait for their media."""
        for prefix in ("", DRAFT):
            [media_ids] = await self._server.exchange([("ZRANGE", f"{prefix}{PARKED}", 0, -1)])
            for media_id in media_ids:
                key = f"{prefix}{PARKED}:{{{media_id.decode()}}}"
                [entries] = await self._server.exchange([("LRANGE", key, 0, -1)])
                for entry in entries:
                    if parked_viewer(bytes(entry)) == viewer_id:
                        yield key, bytes(entry)
