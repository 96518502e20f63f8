"""Dead letters of records that Freshgrid cannot read in its own topics.

Of each topic one flow sends them (:mod:`streams.topology`); others that read it skip what they
cannot read. They are sent before the offsets of a consumer group are committed. Where records are
read again at each start, or are finished long after they were read, it is noted in Kafka how far
letters were sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from threading import Lock
from typing import Final

from infra.kafka import Ends, Message, Partition
from models.events import InvalidEventError
from streams.clock import now_ms
from streams.dead_letter import dead_letter_of
from streams.records import Record, Sender

Note = Callable[[Ends], Awaitable[None]]


async def _noted_nowhere(ends: Ends) -> None:
    """The consumer group remembers."""


class Letters:
    """Collects bad records until their dead letters are sent. Tasks and threads may share it.

    Args:
        sent: partition → the offset up to which letters have been sent before.
        note: remembers such offsets, beyond this process; told after letters were sent.
    """

    def __init__(
        self,
        sender: Sender,
        sent: Mapping[Partition, int] | None = None,
        note: Note = _noted_nowhere,
    ) -> None:
        self._sender: Final = sender
        self._note: Final = note
        self._ends: dict[Partition, int] = dict(sent or {})
        self._waiting: list[Message] = []
        self._moved: set[Partition] = set()
        self._collecting = Lock()
        self._sending = asyncio.Lock()

    def refuse(self, topic: str, record: Record, error: InvalidEventError) -> None:
        """Send a dead letter of the record soon, unless one was sent already."""
        at = (topic, record.partition)
        with self._collecting:
            if record.offset < self._ends.get(at, 0):
                return
            self._ends[at] = record.offset + 1
            self._moved.add(at)
            self._waiting.append(dead_letter_of(topic, record.partition, record, error, now_ms()))

    async def send(self) -> None:
        """Return once every letter is safe, also of those that another task is sending."""
        async with self._sending:
            with self._collecting:
                waiting, self._waiting = self._waiting, []
                moved, self._moved = self._moved, set()
                ends = {at: self._ends[at] for at in moved}
            if waiting:
                await self._sender.send(waiting)
                await self._note(ends)
