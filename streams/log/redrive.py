"""Dead letters sent to their topics again, as they are or edited.

A redriven record is a new one in the stream: it has the original's key and, unless it was edited,
its ``event_id``, by which a second copy is recognised. It is checked by the parsers that refused
the original, so what would die again is not sent. The mark is sent once the broker has the record:
a crash between the two leaves a dead letter that looks as if it had not been redriven.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer

from infra.batch_sender import started_producer
from infra.config import Settings
from infra.errors import SettingsError
from infra.log_reader import LogReader
from infra.stores import NO_PARTITION
from infra.topics import DEAD_LETTERS_TOPIC
from models.actions import EVENT_TOPICS
from models.events import (
    ACCOUNTS_TOPIC,
    MEDIA_TOPIC,
    InvalidEventError,
    parse_account,
    parse_event,
    parse_media,
)
from streams.clock import now_ms
from streams.log.dead_letters import (
    DeadLetterId,
    Died,
    Redriven,
    StoredDeadLetter,
    Wanted,
    dead_letter_partitions,
    read_dead_letter,
    read_dead_letters,
)

#: Editing one record is a moment's work; a command that takes longer waits for something.
EDIT_TIMEOUT_S: Final = 30.0
#: Records under way to the broker at once.
BATCH: Final = 500

_json = msgspec.json.Encoder()


class RefusedError(Exception):
    """A dead letter cannot be redriven; `reason` is a stable word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Revived(NamedTuple):
    """A record to send: what a dead letter's record becomes."""

    dead_letter: StoredDeadLetter
    key: bytes | None
    value: bytes


async def redrive(
    settings: Settings,
    ids: Sequence[DeadLetterId],
    wanted: Wanted | None = None,
    *,
    edit_command: str | None = None,
    value: bytes | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Send dead letters to their topics again; reports what was sent and what was refused.

    Args:
        ids: which dead letters, redriven before or not.
        wanted: instead of ids: all of these that were not redriven yet.
        edit_command: a shell command that reads the original value on stdin and writes the new
            one to stdout.
        value: instead: the new value of the only one of `ids`.
        dry_run: edit and check, but send nothing; the report shows the values.

    Raises:
        SettingsError: neither or both of `ids` and `wanted` are given.
        NoSuchDeadLetterError: an id names none.
    """
    if bool(ids) == (wanted is not None):
        raise SettingsError(
            "which dead letters? name IDs, or --topic or --error, or --all: not both"
        )
    sent: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    partitions = await dead_letter_partitions(settings)
    async with LogReader(settings) as reader, LogReader(settings) as originals:
        producer = await started_producer(settings)
        try:
            batch: list[Revived] = []
            async for dead_letter in _chosen(reader, partitions, ids, wanted):
                try:
                    batch.append(await _revive(originals, dead_letter, edit_command, value))
                except RefusedError as refusal:
                    refused.append(
                        {
                            "id": str(dead_letter.id),
                            "error": refusal.reason,
                            "message": str(refusal),
                        }
                    )
                if len(batch) == BATCH:
                    sent.extend(await _send(producer, batch, dry_run))
                    batch = []
            sent.extend(await _send(producer, batch, dry_run))
        finally:
            await producer.stop()
    return {"redriven": len(sent), "dry_run": dry_run, "sent": sent, "refused": refused}


async def _chosen(
    reader: LogReader, partitions: int, ids: Sequence[DeadLetterId], wanted: Wanted | None
) -> AsyncIterator[StoredDeadLetter]:
    if wanted is None:
        dead_letters = [
            await read_dead_letter(reader, partitions, dead_letter_id) for dead_letter_id in ids
        ]
        for dead_letter in dead_letters:
            yield dead_letter
        return
    # Twice through the topic: a mark comes after what it marks, and values are not kept in memory.
    done: set[Died] = set()
    async for found in read_dead_letters(reader, partitions):
        if isinstance(found, Redriven):
            done.add((found.topic, found.partition, found.offset))
    async for found in read_dead_letters(reader, partitions):
        if (
            isinstance(found, StoredDeadLetter)
            and wanted.takes(found.about)
            and found.died not in done
        ):
            done.add(found.died)
            yield found


async def _revive(
    originals: LogReader,
    dead_letter: StoredDeadLetter,
    edit_command: str | None,
    edited: bytes | None = None,
) -> Revived:
    """The record to send for a dead letter.

    Raises:
        RefusedError: it is not there any more, cannot be edited or would die again.
    """
    about = dead_letter.about
    if about.partition == NO_PARTITION:
        raise RefusedError(
            "no_record",
            f"it is about no record: it holds what stood in Redis at {about.topic}, damaged",
        )
    key = None if about.key is None else about.key.encode()
    value = base64.b64decode(about.value_base64)
    # The dead letter has the key as text, in which bytes that are no UTF-8 are written as \xNN.
    if about.truncated or (about.key is not None and "\\x" in about.key):
        original = await originals.record((about.topic, about.partition), about.offset)
        whole = None if original is None else original.value or b""
        if original is not None and whole is not None and len(whole) == about.size:
            key, value = original.key, whole
        elif about.truncated and edited is None:
            raise RefusedError(
                "truncated",
                f"the dead letter holds {len(value)} of {about.size} bytes, and the original is "
                f"no longer in the log ({about.topic}[{about.partition}] offset {about.offset}); "
                "only its producer can send it again",
            )
    if edited is not None:
        value = edited
    elif edit_command is not None:
        value = await _edit(edit_command, value)
    _check(about.topic, value)
    return Revived(dead_letter, key, value)


async def _edit(command: str, value: bytes) -> bytes:
    process = await asyncio.create_subprocess_shell(
        command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(value), EDIT_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise RefusedError(
            "edit_failed", f"the edit command did not end within {EDIT_TIMEOUT_S:g} s"
        ) from None
    if process.returncode:
        words = stderr.decode(errors="replace").strip().splitlines()
        raise RefusedError(
            "edit_failed",
            f"the edit command ended with exit code {process.returncode}"
            + (f": {words[-1]}" if words else ""),
        )
    return stdout


def _check(topic: str, value: bytes) -> None:
    """Raise RefusedError for what would die again."""
    try:
        if topic in EVENT_TOPICS:
            parse_event(topic, value or None, now_ms())
        elif topic == MEDIA_TOPIC:
            parse_media(value or None, now_ms())
        elif topic == ACCOUNTS_TOPIC:
            parse_account(value or None)
        else:
            raise RefusedError(
                "unknown_topic",
                f"topic {topic} is not one that producers send to: what is Freshgrid's own comes "
                "again with the next record of its kind",
            )
    except InvalidEventError as error:
        raise RefusedError(error.reason, f"it would die again: {error}") from error


async def _send(
    producer: AIOKafkaProducer, batch: Sequence[Revived], dry_run: bool
) -> list[dict[str, Any]]:
    """Send records, then their marks; returns what was done with each dead letter."""
    if dry_run:
        return [
            {
                "id": str(dead_letter.id),
                "topic": dead_letter.about.topic,
                "key": dead_letter.about.key,
                "value": value.decode(),
            }
            for dead_letter, _, value in batch
        ]
    sending = [
        await producer.send(dead_letter.about.topic, value, key=key)
        for dead_letter, key, value in batch
    ]
    places = [await future for future in sending]
    marks = []
    for (dead_letter, _, _), place in zip(batch, places, strict=True):
        mark = Redriven(*dead_letter.died, now_ms(), place.partition, place.offset)
        marks.append(
            await producer.send(
                DEAD_LETTERS_TOPIC,
                _json.encode(mark),
                key=dead_letter.key,
                partition=dead_letter.id.partition,
            )
        )
    for future in marks:
        await future
    return [
        {
            "id": str(dead_letter.id),
            "topic": dead_letter.about.topic,
            "partition": place.partition,
            "offset": place.offset,
        }
        for (dead_letter, _, _), place in zip(batch, places, strict=True)
    ]
