"""What ``explore.dead_letters`` holds: letters, and the marks of those that were redriven.

::

    FreshgridError
    └── NoSuchLetterError   no dead letter stands at the place that was named

A letter's id is where it stands: ``PARTITION:OFFSET``. A mark names the record that died, as its
letter does, so that letters that a crash sent twice are marked together; it is a record of the
same topic and partition because it then lives as long as what it marks, and needs no store of its
own.
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
from streams.dead_letter import DeadLetter

#: The record that died: topic, partition, offset.
Died = tuple[str, int, int]


class NoSuchLetterError(FreshgridError):
    """No dead letter stands at the place that was named."""


class Redriven(msgspec.Struct):
    """A mark: the record that a dead letter is about was sent to its topic again.

    Attributes:
        topic, partition, offset: the record that died, as in its dead letter.
        redriven_ms: when, epoch ms.
        sent_partition, sent_offset: where the record stands that was sent.
    """

    topic: str
    partition: int
    offset: int
    redriven_ms: int
    sent_partition: int
    sent_offset: int


class LetterId(NamedTuple):
    """Where a letter stands in ``explore.dead_letters``."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> LetterId:
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


class Letter(NamedTuple):
    """A dead letter, and the key of its record."""

    id: LetterId
    key: bytes | None
    about: DeadLetter

    @property
    def died(self) -> Died:
        """The record that it is about."""
        return self.about.topic, self.about.partition, self.about.offset


class Wanted(NamedTuple):
    """Which letters: those about a topic, with an error, first seen since a time (ms)."""

    topic: str | None = None
    error: str | None = None
    since_ms: int = 0

    def takes(self, about: DeadLetter) -> bool:
        """Whether the letter is one of them."""
        return (
            self.topic in (None, about.topic)
            and self.error in (None, about.error)
            and about.first_seen >= self.since_ms
        )


_letter = msgspec.json.Decoder(DeadLetter)
_mark = msgspec.json.Decoder(Redriven)


def decode_record(record: ConsumerRecord[bytes, bytes]) -> Letter | Redriven | None:
    """A letter, a mark, or None for somebody else's record."""
    value = record.value or b""
    try:
        about = _letter.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            return _mark.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
    return Letter(LetterId(record.partition, record.offset), record.key, about)


async def letter_partitions(settings: Settings) -> int:
    """How many partitions the topic has.

    Raises:
        UnreachableError: Kafka does not answer.
    """
    return (await prepare_cluster(settings)).partitions[DEAD_LETTERS_TOPIC]


async def read_letters(reader: LogReader, partitions: int) -> AsyncIterator[Letter | Redriven]:
    """Everything in the topic now, in order within a partition."""
    places = [(DEAD_LETTERS_TOPIC, number) for number in range(partitions)]
    async for batch in reader.read(await reader.spans(places)):
        for record in batch.records:
            found = decode_record(record)
            if found is not None:
                yield found


async def read_letter(reader: LogReader, partitions: int, letter_id: LetterId) -> Letter:
    """One letter.

    Raises:
        NoSuchLetterError: there is none.
    """
    partition, offset = letter_id
    found: Letter | Redriven | None = None
    if partition < partitions:
        record = await reader.record((DEAD_LETTERS_TOPIC, partition), offset)
        found = None if record is None else decode_record(record)
    if not isinstance(found, Letter):
        raise NoSuchLetterError(
            f"there is no dead letter {letter_id} in {DEAD_LETTERS_TOPIC}; "
            "`freshgrid dead-letters list` shows those there are"
        )
    return found


async def list_letters(settings: Settings, wanted: Wanted, limit: int) -> dict[str, Any]:
    """What there is: counts by error, and the newest `limit` letters, newest first.

    A record that was dead-lettered twice is listed once.
    """
    listed: dict[Died, dict[str, Any]] = {}
    redriven: dict[Died, int] = {}
    partitions = await letter_partitions(settings)
    async with LogReader(settings) as reader:
        async for found in read_letters(reader, partitions):
            if isinstance(found, Redriven):
                redriven[found.topic, found.partition, found.offset] = found.redriven_ms
            elif wanted.takes(found.about):
                listed.setdefault(found.died, _summary(found))
    for died, summary in listed.items():
        summary["redriven_ms"] = redriven.get(died)
    newest = sorted(listed.values(), key=lambda summary: summary["first_seen"], reverse=True)
    return {
        "total": len(newest),
        "redriven": sum(summary["redriven_ms"] is not None for summary in newest),
        "by_error": dict(Counter(summary["error"] for summary in newest).most_common()),
        "dead_letters": newest[:limit],
    }


async def show_letter(settings: Settings, letter_id: LetterId) -> dict[str, Any]:
    """One letter with the value of the record that died, as text where it is text.

    Raises:
        NoSuchLetterError: there is none.
    """
    partitions = await letter_partitions(settings)
    async with LogReader(settings) as reader:
        letter = await read_letter(reader, partitions, letter_id)
        place = (DEAD_LETTERS_TOPIC, letter_id.partition)
        behind = await reader.spans([place], Start(letter_id.offset + 1))
        marks = [
            mark
            async for batch in reader.read(behind)
            for mark in _marks(batch.records)
            if (mark.topic, mark.partition, mark.offset) == letter.died
        ]
    value = base64.b64decode(letter.about.value_base64)
    try:
        text: dict[str, Any] = {"value": value.decode()}
    except UnicodeDecodeError:
        text = {"value": None, "value_base64": letter.about.value_base64}
    return {
        **_summary(letter),
        "size": letter.about.size,
        "truncated": letter.about.truncated,
        **text,
        "redriven": [msgspec.to_builtins(mark) for mark in marks],
    }


def time_text(epoch_ms: int) -> str:
    """A time for people: UTC, to the second."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _summary(letter: Letter) -> dict[str, Any]:
    about = letter.about
    return {
        "id": str(letter.id),
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
