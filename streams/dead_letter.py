"""Records that could not be applied, as ``explore.dead_letters`` carries them."""

from __future__ import annotations

import base64
import zlib
from typing import Annotated, Final

import msgspec

from infra.kafka import Message
from infra.metrics import DEAD_LETTERS
from infra.stores import NO_PARTITION, Damaged, ParkedRecord
from infra.topics import DEAD_LETTERS_TOPIC
from models.events import (
    AnyTime,
    InvalidEventError,
    Offset,
    check,
    decode_value,
)
from streams.records import Record

#: A dead letter carries the original bytes up to this size; beyond it, only where to find them.
MAX_DEAD_LETTER_BYTES: Final = 256 * 1024

#: Why something stored that cannot be read died.
DAMAGED_REASON: Final = "damaged_state"

#: A partition of Kafka, or :data:`NO_PARTITION`.
Where = Annotated[int, msgspec.Meta(ge=NO_PARTITION, le=2**31 - 1)]

_json = msgspec.json.Encoder()


class DeadLetter(msgspec.Struct):
    """A record that could not be applied, as ``explore.dead_letters`` carries it."""

    topic: str
    partition: Where
    offset: Offset
    error: str
    message: str
    first_seen: AnyTime
    size: Offset
    key: str | None = None
    value_base64: str = ""
    truncated: bool = False


_dead_letter = msgspec.json.Decoder(DeadLetter)


def parse_dead_letter(value: bytes | None) -> DeadLetter | None:
    """The dead letter that a record holds, None for a mark or somebody else's record."""
    try:
        letter = decode_value(_dead_letter, value)
        check(_is_base64(letter.value_base64), "value_base64", "is not base64")
    except InvalidEventError:
        return None
    return letter


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def dead_letter_of_parked(record: ParkedRecord, error: InvalidEventError) -> Message:
    """The dead letter of a record that waited for its media."""
    if record.partition == NO_PARTITION:
        error = InvalidEventError(
            DAMAGED_REASON,
            f"what waited for media {record.media_id!r} in {record.topic} cannot be read",
        )
    key = record.viewer_id.encode()
    return dead_letter(
        record.topic,
        record.partition,
        record.offset,
        key,
        record.value,
        error,
        record.first_seen_ms,
    )


def dead_letter_of(
    topic: str, partition: int, record: Record, error: InvalidEventError, now_ms: int
) -> Message:
    """The dead letter of a record as it was read."""
    return dead_letter(
        topic, partition, record.offset, record.key, record.value or b"", error, now_ms
    )


def dead_letter_of_state(viewer_id: str, damaged: Damaged, now_ms: int) -> Message:
    """The dead letter of a stored viewer state that cannot be read.

    It is about no record: the topic is the state's key, the partition :data:`NO_PARTITION`, and the
    offset a checksum of the value, so that two letters of one value are known for copies.
    """
    error = InvalidEventError(
        DAMAGED_REASON,
        f"the stored state of viewer {viewer_id!r} is damaged ({damaged.why}); it was set aside "
        "and the viewer began anew: `freshgrid rebuild` brings back what the log holds",
    )
    place = (f"viewer:{{{viewer_id}}}", NO_PARTITION, zlib.crc32(damaged.value))
    return dead_letter(*place, viewer_id.encode(), damaged.value, error, now_ms)


def dead_letter(
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes,
    error: InvalidEventError,
    now_ms: int,
) -> Message:
    """The message that says where a record stands, what it held and why it cannot be applied."""
    DEAD_LETTERS.labels(error.reason).inc()
    text_key = None if key is None else key.decode("utf-8", "backslashreplace")
    body = DeadLetter(
        topic=topic,
        partition=partition,
        offset=offset,
        error=error.reason,
        message=str(error),
        first_seen=now_ms,
        size=len(value),
        key=text_key,
        value_base64=base64.b64encode(value[:MAX_DEAD_LETTER_BYTES]).decode(),
        truncated=len(value) > MAX_DEAD_LETTER_BYTES,
    )
    return Message(DEAD_LETTERS_TOPIC, text_key or "", _json.encode(body))
