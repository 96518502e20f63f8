"""News of ready grids in Redis: a channel for each viewer, heard of only while somebody follows.

Publishing to a channel that nobody listens to costs the server next to nothing, so every grid that
is stored is told of. One connection of a process listens for all of its followers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.exceptions import RedisError

from infra.errors import UnreachableError
from infra.followed import Followed
from infra.redis_server import RedisServer

_BEFORE: Final = "grid:{"
_AFTER: Final = "}:changed"
#: Nobody publishes here: it keeps a connection subscribed that has nobody to follow.
_NOBODY: Final = "grid:changed"
#: A channel that nobody follows any more is left after at most this.
LEAVE_S: Final = 1.0

logger = logging.getLogger(__name__)


def grid_channel(viewer_id: str) -> str:
    """Where it is told that a viewer's ready grid was stored."""
    return f"{_BEFORE}{viewer_id}{_AFTER}"


class RedisGridNews:
    """Hears of grids that any process stores."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._followed = Followed()
        self._heard: set[str] = set()
        self._subscription: Any = None

    @asynccontextmanager
    async def follow(self, viewer_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set at the beginning, and after each grid of this viewer."""
        with self._followed.by(viewer_id) as changed:
            # Where that fails the connection is gone, and its successor hears of all followed.
            with contextlib.suppress(RedisError, OSError):
                await self._hear(viewer_id)
            yield changed

    async def listen(self) -> None:
        """Hear of changes until cancelled; a server that is away is waited for."""
        while True:
            try:
                await self._server.attempt(self._listen)
            except UnreachableError as error:
                logger.warning("nothing is heard of stored grids: %s; trying again", error)
                await asyncio.sleep(LEAVE_S)

    async def _listen(self) -> None:
        async with self._server.client.pubsub() as subscription:
            await subscription.subscribe(_NOBODY)
            self._subscription, self._heard = subscription, set()
            try:
                for viewer_id in self._followed.viewers():
                    await self._hear(viewer_id)
                while True:
                    message = await subscription.get_message(timeout=LEAVE_S)
                    # That a channel is heard from now on counts as news: something may have been
                    # stored since the follower looked.
                    if message is not None and message["type"] in ("message", "subscribe"):
                        self._tell(message["channel"].decode())
                    await self._leave()
            finally:
                self._subscription = None

    async def _hear(self, viewer_id: str) -> None:
        if self._subscription is not None and viewer_id not in self._heard:
            self._heard.add(viewer_id)
            await self._subscription.subscribe(grid_channel(viewer_id))

    async def _leave(self) -> None:
        left = [viewer_id for viewer_id in self._heard if viewer_id not in self._followed]
        if left:
            self._heard.difference_update(left)
            await self._subscription.unsubscribe(*map(grid_channel, left))

    def _tell(self, channel: str) -> None:
        if channel.startswith(_BEFORE):
            self._followed.tell(channel[len(_BEFORE) : -len(_AFTER)])
