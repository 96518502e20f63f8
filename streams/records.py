"""What passes between agents: a record as it is read, where messages go, and what topics carry.

Agents never import each other: what two of them must agree on stands here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from infra.kafka import Message
from infra.topics import SESSIONS_TOPIC, TOUCHED_TOPIC

logger = logging.getLogger(__name__)

#: Called once everything that some records caused is safe.
Finish = Callable[[], None]


class Record(Protocol):
    """A record of a topic: of Kafka, or a line of a fixture."""

    @property
    def partition(self) -> int:
        """Of its topic, where it stands."""
        ...

    @property
    def offset(self) -> int:
        """Where it stands in its partition."""
        ...

    @property
    def timestamp(self) -> int:
        """When it was written, as Kafka keeps it, epoch ms."""
        ...

    @property
    def key(self) -> bytes | None:
        """Its key as bytes, None where it has none."""
        ...

    @property
    def value(self) -> bytes | None:
        """Its value; None takes the key out of a compacted topic."""
        ...


class Sender(Protocol):
    """Where messages go: Kafka, or back into a replay without one."""

    async def send(self, messages: Iterable[Message]) -> None:
        """Return once every message is safe."""
        ...


class Touched(msgspec.Struct, omit_defaults=True):
    """A viewer's state changed, as ``explore.touched`` carries it.

    Attributes:
        ts: newest event time among what changed it, in ms.
        viewed: nothing but views changed it.
    """

    viewer_id: str
    ts: int
    viewed: bool = False


class ClosedSession(msgspec.Struct):
    """A closed session, as ``explore.sessions`` carries it.

    Attributes:
        steps: (author_id, action, ts) in event time order.
    """

    viewer_id: str
    started_ts: int
    ended_ts: int
    steps: list[tuple[str, str, int]]


_session = msgspec.json.Decoder(ClosedSession)
_touched = msgspec.json.Decoder(Touched)


def closed_sessions(values: Iterable[bytes | None]) -> list[ClosedSession]:
    """What values of ``explore.sessions`` tell; what is none of ours is skipped."""
    found = []
    for value in values:
        try:
            found.append(_session.decode(value or b""))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            logger.warning("a record of %s is skipped: %s", SESSIONS_TOPIC, error)
    return found


def touches(records: Sequence[Record]) -> list[Touched]:
    """What records of ``explore.touched`` tell; what is none of ours is skipped."""
    found = []
    for record in records:
        try:
            found.append(_touched.decode(record.value or b""))
        except msgspec.DecodeError as error:
            logger.warning("a record of %s is skipped: %s", TOUCHED_TOPIC, error)
    return found
