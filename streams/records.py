"""What passes between agents: a record as it is read, where messages go, and what topics carry.

Agents never import each other: what two of them must agree on stands here. Freshgrid's own topics
are read as carefully as those that producers send to: :func:`read_records` hands whatever is no
record of its topic to a :data:`Refuse`, and goes on with the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import msgspec

from infra.kafka import Message
from infra.topics import SESSIONS_TOPIC, TOUCHED_TOPIC
from models.actions import ACTION_CODES
from models.events import (
    MAX_ID_BYTES,
    Id,
    InvalidEventError,
    check,
    check_ids,
    check_times,
    decode_value,
)
from streams.clock import now_ms

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: Called once everything that some records caused is safe.
Finish = Callable[[], None]


class Record(Protocol):
    """A record of a topic: of Kafka, or a line of a fixture."""

    @property
    def partition(self) -> int:
        """Number of the partition that it stands in."""
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
        trace: W3C ``traceparent`` of what changed it, where its producer traces.
    """

    viewer_id: Id
    ts: int
    viewed: bool = False
    trace: str = ""


class ClosedSession(msgspec.Struct):
    """A closed session, as ``explore.sessions`` carries it.

    Attributes:
        steps: (author_id, action, ts) in event time order.
    """

    viewer_id: Id
    started_ts: int
    ended_ts: int
    steps: list[tuple[Id, str, int]]


_session = msgspec.json.Decoder(ClosedSession)
_touched = msgspec.json.Decoder(Touched)


def parse_session(value: bytes | None, now_ms: int) -> ClosedSession:
    """Read one record of ``explore.sessions``.

    Raises:
        InvalidEventError: nothing can be learned from it.
    """
    session = decode_value(_session, value)
    check_ids(session, "viewer_id")
    # One that ended in the future would make everything else look old.
    check_times(session, now_ms, "started_ts", "ended_ts")
    check(bool(session.steps), "steps", "are none; a session has one at least")
    for author_id, action, ts in session.steps:
        check(len(author_id.encode()) <= MAX_ID_BYTES, "steps", "name an author that is no id")
        check(action in ACTION_CODES, "steps", f"name {action[:40]!r}, which is no action")
        check(
            session.started_ts <= ts <= session.ended_ts,
            "steps",
            f"name the time {ts}, which is not in the session",
        )
    return session


def parse_touched(value: bytes | None, now_ms: int) -> Touched:
    """Read one record of ``explore.touched``.

    Raises:
        InvalidEventError: it names no viewer.
    """
    touched = decode_value(_touched, value)
    check_ids(touched, "viewer_id")
    check_times(touched, now_ms, "ts")
    return touched


#: Called with a topic, a record that is none of its, and what is wrong with it.
Refuse = Callable[[str, Record, InvalidEventError], None]


def skip(topic: str, record: Record, error: InvalidEventError) -> None:
    """Refuse a record where somebody else sends its dead letter."""
    logger.warning(
        "record %d of %s[%d] is skipped: %s", record.offset, topic, record.partition, error
    )


def read_records(
    topic: str,
    records: Iterable[Record],
    parse: Callable[[bytes | None, int], T],
    refuse: Refuse = skip,
) -> list[T]:
    """What records of a topic say, in order.

    Args:
        parse: reads a value, given the wall-clock time in ms; raises InvalidEventError.
        refuse: what to do with a record that says nothing.
    """
    now = now_ms()
    found = []
    for record in records:
        try:
            found.append(parse(record.value, now))
        except InvalidEventError as error:
            refuse(topic, record, error)
    return found


def closed_sessions(records: Iterable[Record], refuse: Refuse = skip) -> list[ClosedSession]:
    """What records of ``explore.sessions`` tell."""
    return read_records(SESSIONS_TOPIC, records, parse_session, refuse)


def touches(records: Iterable[Record], refuse: Refuse = skip) -> list[Touched]:
    """What records of ``explore.touched`` tell."""
    return read_records(TOUCHED_TOPIC, records, parse_touched, refuse)
