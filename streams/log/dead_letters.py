"""What ``explore.dead_letters`` holds: dead letters, and the marks of those that were redriven.

::

    FreshgridError
    └── NoSuchDeadLetterError   no dead letter stands at the place that was named

The id of a dead letter is where it stands: ``PARTITION:OFFSET``. A mark names the record that died,
as the dead letter does, so that those that a crash sent twice are marked together; it is a record
of the same topic and partition because it then lives as long as what it marks, and needs no store
of its own.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from aiokafka.structs import ConsumerRecord

from infra.config import Settings
from infra.errors import FreshgridError, SettingsError
from infra.kafka import prepare_cluster
from infra.log_reader import LogReader, Start
from infra.topics import DEAD_LETTERS_TOPIC
from models.events import AnyTime, Count, InvalidEventError, Offset, decode_value
from streams.dead_letter import DeadLetter, parse_dead_letter

#: The record that died: topic, partition, offset.
Died = tuple[str, int, int]


class NoSuchDeadLetterError(FreshgridError):
    """No dead letter stands at the place that was named."""


class Redriven(msgspec.Struct):
    """A mark: the record that a dead letter is about was sent to its topic again.

    Attributes:
        topic, partition, offset: the record that died, as in its dead letter.
        redriven_ms: when, epoch ms.
        sent_partition, sent_offset: where the record stands that was sent.
    """

    topic: str
    partition: Count
    offset: Offset
    redriven_ms: AnyTime
    sent_partition: Count
    sent_offset: Offset


class DeadLetterId(NamedTuple):
    """Where a dead letter stands in ``explore.dead_letters``."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> DeadLetterId:
        """Read ``PARTITION:OFFSET``.

        Raises:
            SettingsError: it is none.
        """
        partition, _, offset = text.partition(":")
        if not (partition.isdecimal() and offset.isdecimal()):
            raise SettingsError(
                f"{text!r} is no id of a dead letter; ids are PARTITION:OFFSET, as "
                "`freshgrid dead-letters list` shows them"
            )
        return cls(int(partition), int(offset))


class StoredDeadLetter(NamedTuple):
    """A dead letter as it stands in its topic: where, under which key, and what it says."""

    id: DeadLetterId
    key: bytes | None
    about: DeadLetter

    @property
    def died(self) -> Died:
        """The record that it is about."""
        return self.about.topic, self.about.partition, self.about.offset


class Wanted(NamedTuple):
    """Which dead letters: those about a topic, with an error, first seen since a time (ms)."""

    topic: str | None = None
    error: str | None = None
    since_ms: int = 0

    def takes(self, about: DeadLetter) -> bool:
        """Whether the dead letter is one of them."""
        return (
            self.topic in (None, about.topic)
            and self.error in (None, about.error)
            and about.first_seen >= self.since_ms
        )


_mark = msgspec.json.Decoder(Redriven)


def decode_record(record: ConsumerRecord[bytes, bytes]) -> StoredDeadLetter | Redriven | None:
    """A dead letter, a mark, or None for somebody else's record."""
    about = parse_dead_letter(record.value)
    if about is not None:
        return StoredDeadLetter(DeadLetterId(record.partition, record.offset), record.key, about)
    try:
        return decode_value(_mark, record.value)
    except InvalidEventError:
        return None


async def dead_letter_partitions(settings: Settings) -> int:
    """How many partitions the topic has.

    Raises:
        UnreachableError: Kafka does not answer.
    """
    return (await prepare_cluster(settings)).partitions[DEAD_LETTERS_TOPIC]


async def read_dead_letters(
    reader: LogReader, partitions: int, newest: int | None = None
) -> AsyncIterator[StoredDeadLetter | Redriven]:
    """Everything in the topic now, in order within a partition.

    Args:
        newest: only so many records of each partition, the newest.
    """
    places = [(DEAD_LETTERS_TOPIC, number) for number in range(partitions)]
    spans = await reader.spans(places)
    if newest is not None:
        spans = {
            place: span._replace(start=max(span.start, span.end - newest))
            for place, span in spans.items()
        }
    async for batch in reader.read(spans):
        for record in batch.records:
            found = decode_record(record)
            if found is not None:
                yield found


async def read_dead_letter(
    reader: LogReader, partitions: int, dead_letter_id: DeadLetterId
) -> StoredDeadLetter:
    """One dead letter.

    Raises:
        NoSuchDeadLetterError: there is none.
    """
    partition, offset = dead_letter_id
    found: StoredDeadLetter | Redriven | None = None
    if partition < partitions:
        record = await reader.record((DEAD_LETTERS_TOPIC, partition), offset)
        found = None if record is None else decode_record(record)
    if not isinstance(found, StoredDeadLetter):
        raise NoSuchDeadLetterError(
            f"there is no dead letter {dead_letter_id} in {DEAD_LETTERS_TOPIC}; "
            "`freshgrid dead-letters list` shows those there are"
        )
    return found


async def list_dead_letters(
    settings: Settings, wanted: Wanted, limit: int, newest: int | None = None
) -> dict[str, Any]:
    """What there is: counts by error, and the newest `limit` dead letters, newest first.

    A record that was dead-lettered twice is listed once.

    Args:
        newest: of each partition only so many records count, the newest, marks among them.
    """
    listed: dict[Died, dict[str, Any]] = {}
    redriven: dict[Died, int] = {}
    partitions = await dead_letter_partitions(settings)
    async with LogReader(settings) as reader:
        async for found in read_dead_letters(reader, partitions, newest):
            if isinstance(found, Redriven):
                redriven[found.topic, found.partition, found.offset] = found.redriven_ms
            elif wanted.takes(found.about):
                listed.setdefault(found.died, _summary(found))
    for died, summary in listed.items():
        summary["redriven_ms"] = redriven.get(died)
    latest = sorted(listed.values(), key=lambda summary: summary["first_seen"], reverse=True)
    return {
        "total": len(latest),
        "redriven": sum(summary["redriven_ms"] is not None for summary in latest),
        "by_error": dict(Counter(summary["error"] for summary in latest).most_common()),
        "dead_letters": latest[:limit],
    }


async def show_dead_letter(
    settings: Settings, dead_letter_id: DeadLetterId, marks_behind: int | None = None
) -> dict[str, Any]:
    """One dead letter with the value of the record that died, as text where it is text.

    Args:
        marks_behind: look for marks among so many records behind it; among all by default.

    Raises:
        NoSuchDeadLetterError: there is none.
    """
    partitions = await dead_letter_partitions(settings)
    async with LogReader(settings) as reader:
        dead_letter = await read_dead_letter(reader, partitions, dead_letter_id)
        place = (DEAD_LETTERS_TOPIC, dead_letter_id.partition)
        behind = await reader.spans([place], Start(dead_letter_id.offset + 1))
        if marks_behind is not None:
            span = behind[place]
            behind[place] = span._replace(end=min(span.end, span.start + marks_behind))
        marks = [
            mark
            async for batch in reader.read(behind)
            for mark in _marks(batch.records)
            if (mark.topic, mark.partition, mark.offset) == dead_letter.died
        ]
    value = base64.b64decode(dead_letter.about.value_base64)
    try:
        text: dict[str, Any] = {"value": value.decode()}
    except UnicodeDecodeError:
        text = {"value": None, "value_base64": dead_letter.about.value_base64}
    return {
        **_summary(dead_letter),
        "size": dead_letter.about.size,
        "truncated": dead_letter.about.truncated,
        **text,
        "redriven": [msgspec.to_builtins(mark) for mark in marks],
    }


def time_text(epoch_ms: int) -> str:
    """A time for people: UTC, to the second."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _summary(dead_letter: StoredDeadLetter) -> dict[str, Any]:
    about = dead_letter.about
    return {
        "id": str(dead_letter.id),
        "error": about.error,
        "topic": about.topic,
        "partition": about.partition,
        "offset": about.offset,
        "key": about.key,
        "first_seen": about.first_seen,
        "message": about.message,
    }


def _marks(records: Iterable[ConsumerRecord[bytes, bytes]]) -> Iterable[Redriven]:
    for record in records:
        found = decode_record(record)
        if isinstance(found, Redriven):
            yield found
