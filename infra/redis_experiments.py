"""The experiment in Redis: one document, who changed it, and a channel that tells of changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec
from redis.exceptions import WatchError

from infra.errors import UnreachableError
from infra.redis_server import RedisServer
from infra.stores import MAX_HISTORY, Change, ExperimentError, readable
from models.explore.experiment import Experiment

#: One hash tag: a change writes both keys in one transaction.
EXPERIMENT_KEY: Final = "experiment:{explore}"
HISTORY_KEY: Final = "experiment:{explore}:history"
CHANNEL: Final = "experiment:{explore}:changed"
#: Somebody else's change came in between so often that something is wrong.
MAX_TRIES: Final = 50

logger = logging.getLogger(__name__)


_encode: Final = msgspec.json.Encoder().encode
_change: Final = msgspec.json.Decoder(Change)


class RedisExperiments:
    """The experiment that all rankers follow."""

    where = f"{EXPERIMENT_KEY} in Redis"

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def read(self) -> bytes | None:
        """The document as it stands, None if nobody set one."""
        [value] = await self._server.exchange([("GET", EXPERIMENT_KEY)])
        return None if value is None else bytes(value)

    async def change(
        self, who: str, at_ms: int, edit: Callable[[Experiment | None], Experiment]
    ) -> Change:
        """Replace the experiment by what `edit` makes of it, and remember that."""

        async def once() -> Change | None:
            """The change, None if another one came in between."""
            async with self._server.client.pipeline(transaction=True) as pipe:
                await pipe.watch(EXPERIMENT_KEY)
                stored: Any = await pipe.get(EXPERIMENT_KEY)
                old = readable(stored)
                change = Change(at_ms=at_ms, who=who, old=old, new=edit(old))
                pipe.multi()  # type: ignore[no-untyped-call]
                pipe.set(EXPERIMENT_KEY, _encode(change.new))
                pipe.lpush(HISTORY_KEY, _encode(change))
                pipe.ltrim(HISTORY_KEY, 0, MAX_HISTORY - 1)
                pipe.publish(CHANNEL, b"changed")
                try:
                    await pipe.execute()
                except WatchError:
                    return None
                return change

        for _ in range(MAX_TRIES):
            if (change := await self._server.attempt(once)) is not None:
                return change
        raise ExperimentError("the experiment is being changed by others all the time; try again")

    async def history(self, most: int = MAX_HISTORY) -> list[Change]:
        """The newest changes, newest first; what cannot be read is left out."""
        [entries] = await self._server.exchange([("LRANGE", HISTORY_KEY, 0, most - 1)])
        changes = []
        for entry in entries:
            try:
                changes.append(_change.decode(entry))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                logger.warning("an entry of %s is skipped: %s", HISTORY_KEY, error)
        return changes

    async def listen(self, told: Callable[[], None]) -> None:
        """Call `told` at each change that Redis tells of, until cancelled."""
        while True:
            try:
                await self._server.attempt(lambda: self._listen(told))
            except UnreachableError as error:
                logger.warning("not listening to %s: %s; trying again", CHANNEL, error)
                await asyncio.sleep(1.0)

    async def _listen(self, told: Callable[[], None]) -> None:
        async with self._server.client.pubsub() as subscription:
            await subscription.subscribe(CHANNEL)
            while True:
                message = await subscription.get_message(
                    ignore_subscribe_messages=True, timeout=1.0
                )
                if message is not None:
                    told()
