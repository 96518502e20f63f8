"""Grids of a process that holds no partition of touches → a ranker that does, behind.

A ready grid is looked after by who made it: what must not be shown any more is taken out there.
When a ranker is gone, its partitions come to another, which looks for its grids. Of a process that
only answers requests nothing would come to anybody. So whatever grid it makes, it touches the
viewer: the ranker of her partition makes one in its place, and looks after that.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec

from infra.kafka import Message
from infra.topics import TOUCHED_TOPIC
from streams.records import Touched

#: Grids are noted before they are stored: what is ranked in their place must come after them.
STORED_AFTER_S: Final = 1.0
#: Viewers waiting at most, while Kafka is away; beyond, who waited longest is dropped.
MAX_WAITING: Final = 50_000


class _Made(msgspec.Struct):
    """The part of a stored grid that a touch tells; 0 where its viewer did nothing."""

    reflects_ts: int = 0


_made = msgspec.json.Decoder(_Made)
_json = msgspec.json.Encoder()


class Handover:
    """Touches viewers whose grids were made here.

    Args:
        send: returns once Kafka has the messages.
        needed: whether nobody takes over what this process made, when it is gone.
    """

    def __init__(
        self,
        send: Callable[[Iterable[Message]], Awaitable[None]],
        needed: Callable[[], bool],
    ) -> None:
        self._send, self._needed = send, needed
        self._waiting: OrderedDict[str, int] = OrderedDict()
        self._wake = asyncio.Event()

    def made(self, viewer_id: str, grid: bytes) -> None:
        """A grid (JSON) of this viewer is about to be stored."""
        if not self._needed() or not (reflects_ts := _made.decode(grid).reflects_ts):
            return
        self._waiting[viewer_id] = reflects_ts
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)
        self._wake.set()

    async def run(self) -> None:
        """Hand over what was made, until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(STORED_AFTER_S)
            self._wake.clear()
            waiting, self._waiting = self._waiting, OrderedDict()
            await self._send(
                [
                    Message(TOUCHED_TOPIC, viewer_id, _json.encode(Touched(viewer_id, reflects_ts)))
                    for viewer_id, reflects_ts in waiting.items()
                ]
            )
