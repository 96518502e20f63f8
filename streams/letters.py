"""Dead letters of records that cannot be applied: one a record, however often it is read.

Of each topic one flow sends them (:mod:`streams.topology`); others that read it skip what they
cannot read. They are sent before the offsets of a consumer group are committed, and how far they
were sent is noted where it outlives the process: what is read again, by a restart or by whoever
has a partition next, gives no second letter.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from threading import Lock
from typing import Final, NamedTuple, Protocol

from infra.kafka import Ends, Partition
from infra.stores import Store
from models.events import InvalidEventError
from streams.clock import now_ms
from streams.dead_letter import dead_letter_of
from streams.records import Record, Sender

Note = Callable[[Ends], Awaitable[None]]


class Place(NamedTuple):
    """Records of one partition that are refused in the order of their offsets.

    Attributes:
        late: refused after records behind them may have been: what waits for something first.
    """

    topic: str
    partition: int
    late: bool = False


class SentLetters(Protocol):
    """Up to which offset the letters of each place were sent, beyond this process."""

    async def ends(self, places: Collection[Place]) -> Mapping[Place, int]:
        """Place → the offset from which on letters are still to be sent."""
        ...

    async def note(self, ends: Mapping[Place, int]) -> None:
        """Remember; called after letters were sent."""
        ...


class NotedNowhere:
    """For readers that remember nothing beyond this process."""

    async def ends(self, places: Collection[Place]) -> Mapping[Place, int]:
        """Nothing was sent before this process began."""
        return {}

    async def note(self, ends: Mapping[Place, int]) -> None:
        """Nothing is kept beyond this process."""


class NotedInStore:
    """Beside the state of viewers: workers that have a partition in turn share it."""

    def __init__(self, store: Store, log_id: str) -> None:
        self._store: Final = store
        self._log_id: Final = log_id

    async def ends(self, places: Collection[Place]) -> Mapping[Place, int]:
        """Place → offset, 0 where nothing was sent."""
        names = [_name(place) for place in places]
        sent = await self._store.letters_sent(self._log_id, names)
        return dict(zip(places, sent, strict=True))

    async def note(self, ends: Mapping[Place, int]) -> None:
        """Let the store keep the offset of each place."""
        await self._store.note_letters_sent(
            self._log_id, {_name(place): end for place, end in ends.items()}
        )


class NotedInGroup:
    """In Kafka, as offsets of a consumer group that one process has to itself.

    Args:
        sent: partition → the offset that the group had committed at the start.
        note: commits such offsets.
    """

    def __init__(self, sent: Mapping[Partition, int], note: Note) -> None:
        self._sent: Final = {Place(*at): offset for at, offset in sent.items()}
        self._note: Final = note

    async def ends(self, places: Collection[Place]) -> Mapping[Place, int]:
        """As at the start: what was sent since, this process knows."""
        return self._sent

    async def note(self, ends: Mapping[Place, int]) -> None:
        """Commit the offset of each partition."""
        await self._note({(place.topic, place.partition): end for place, end in ends.items()})


def _name(place: Place) -> str:
    """What the store calls a place."""
    return f"{place.topic}/{place.partition}" + ("/late" if place.late else "")


class _Refused(NamedTuple):
    place: Place
    record: Record
    error: InvalidEventError


class Letters:
    """Collects bad records until their dead letters are sent. Tasks and threads may share it."""

    def __init__(self, sender: Sender, sent: SentLetters | None = None) -> None:
        self._sender: Final = sender
        self._sent: Final = sent or NotedNowhere()
        self._ends: defaultdict[Place, int] = defaultdict(int)
        self._waiting: list[_Refused] = []
        self._collecting = Lock()
        self._sending = asyncio.Lock()

    def refuse(
        self, topic: str, record: Record, error: InvalidEventError, *, late: bool = False
    ) -> None:
        """Send a dead letter of the record soon, unless one was sent already.

        Args:
            late: records behind it may have been refused before it. These among themselves come
                in the order of their offsets.
        """
        place = Place(topic, record.partition, late)
        with self._collecting:
            if record.offset < self._ends[place]:
                return
            self._ends[place] = record.offset + 1
            self._waiting.append(_Refused(place, record, error))

    async def send(self) -> None:
        """Return once every letter is safe, also of those that another task is sending."""
        if not self._waiting and not self._sending.locked():
            return
        async with self._sending:
            with self._collecting:
                waiting, self._waiting = self._waiting, []
            if not waiting:
                return
            # In the order of offsets: the last of a place is the furthest.
            ends = {place: record.offset + 1 for place, record, _ in waiting}
            sent = await self._sent.ends(ends)
            letters = [
                dead_letter_of(place.topic, place.partition, record, error, now_ms())
                for place, record, error in waiting
                if record.offset >= sent.get(place, 0)
            ]
            if letters:
                await self._sender.send(letters)
                await self._sent.note(ends)
