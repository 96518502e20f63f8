"""The experiment in Redis: one document, who changed it, and a channel that tells of changes.

::

    FreshgridError
    └── ExperimentError    the stored experiment cannot be changed

Whatever is stored here has been validated, but anybody can write to Redis: readers validate again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, WatchError

from infra.errors import FreshgridError
from models.explore.experiment import Experiment, InvalidExperimentError, parse

#: One hash tag: a change writes both keys in one transaction.
EXPERIMENT_KEY: Final = "experiment:{explore}"
HISTORY_KEY: Final = "experiment:{explore}:history"
CHANNEL: Final = "experiment:{explore}:changed"
#: Changes remembered, the newest.
MAX_HISTORY: Final = 1000
#: Somebody else's change came in between so often that something is wrong.
MAX_TRIES: Final = 50

logger = logging.getLogger(__name__)


class ExperimentError(FreshgridError):
    """The stored experiment cannot be changed: it or the change is wrong."""

    exit_code = 2


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change, as it is remembered.

    Attributes:
        at_ms: when, epoch ms.
        who: by whom, as they said.
        old, new: the whole experiment; `old` is null if there was none that could be read.
    """

    at_ms: int
    who: str
    old: Experiment | None
    new: Experiment


_encode: Final = msgspec.json.Encoder().encode
_change: Final = msgspec.json.Decoder(Change)


class ExperimentStore:
    """Reads and changes the experiment."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self) -> bytes | None:
        """The document as it stands, None if nobody set one."""
        value: Any = await self._redis.get(EXPERIMENT_KEY)
        return None if value is None else bytes(value)

    async def change(
        self, who: str, at_ms: int, edit: Callable[[Experiment | None], Experiment]
    ) -> Change:
        """Replace the experiment by what `edit` makes of it, and remember that.

        Args:
            edit: is given the stored experiment, the default one where there is none, or None
                where what is stored cannot be read; called again if another change came between.

        Raises:
            ExperimentError: others change it all the time.
        """
        for _ in range(MAX_TRIES):
            async with self._redis.pipeline(transaction=True) as pipe:
                await pipe.watch(EXPERIMENT_KEY)
                stored: Any = await pipe.get(EXPERIMENT_KEY)
                old = _readable(stored)
                change = Change(at_ms=at_ms, who=who, old=old, new=edit(old))
                pipe.multi()  # type: ignore[no-untyped-call]
                pipe.set(EXPERIMENT_KEY, _encode(change.new))
                pipe.lpush(HISTORY_KEY, _encode(change))
                pipe.ltrim(HISTORY_KEY, 0, MAX_HISTORY - 1)
                pipe.publish(CHANNEL, b"changed")
                try:
                    await pipe.execute()
                except WatchError:
                    continue
                return change
        raise ExperimentError("the experiment is being changed by others all the time; try again")

    async def history(self, most: int = MAX_HISTORY) -> list[Change]:
        """The newest changes, newest first; what cannot be read is left out."""
        entries: list[Any] = await self._redis.lrange(HISTORY_KEY, 0, most - 1)
        changes = []
        for entry in entries:
            try:
                changes.append(_change.decode(entry))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                logger.warning("an entry of %s is skipped: %s", HISTORY_KEY, error)
        return changes

    async def listen(self, told: Callable[[], None]) -> None:
        """Call `told` at each change that Redis tells of, until cancelled.

        What is said while the connection is down is lost: poll, too.
        """
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(CHANNEL)
                    while True:
                        message = await subscription.get_message(
                            ignore_subscribe_messages=True, timeout=1.0
                        )
                        if message is not None:
                            told()
            except (RedisError, OSError) as error:
                logger.warning("not listening to %s: %r; trying again", CHANNEL, error)
                await asyncio.sleep(1.0)


def _readable(stored: bytes | None) -> Experiment | None:
    if stored is None:
        return Experiment()
    try:
        return parse(bytes(stored))
    except InvalidExperimentError:
        return None
