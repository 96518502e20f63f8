"""What producers send: parsing and validating one record.

Errors::

    ValueError
    └── InvalidEventError   the record can never be applied; `reason` is a stable word

Validation is complete here: whatever :func:`parse_event`, :func:`parse_media` or
:func:`parse_account` returns can be folded without further checks. What Freshgrid's own topics
carry is read with the same care: beside each type, by :func:`decode_value` and the checks below it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, TypeVar

import msgspec

from models.actions import EVENT_TOPICS, FOLLOW_TOPIC, MEDIA_EVENT_TOPICS

MAX_ID_BYTES: Final = 128
#: Ids of so few characters need not be measured in bytes.
SURELY_SHORT: Final = MAX_ID_BYTES // 4
MAX_VALUE_BYTES: Final = 64 * 1024
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
# Event time is accepted from 2010 on; anything older is seconds mistaken for milliseconds.
MIN_TS_MS: Final = 1_262_304_000_000
# A producer's clock may run ahead; a day covers every real skew and time-zone mistake.
MAX_AHEAD_MS: Final = DAY_MS
#: Nobody looks at one media for longer; a forgotten tab may.
MAX_DWELL_MS: Final = 7 * DAY_MS


class Relation(StrEnum):
    """What a viewer decided about an author."""

    FOLLOW = "follow"
    BLOCK = "block"
    MUTE = "mute"


class InvalidEventError(ValueError):
    """A record that can never be applied.

    Attributes:
        reason: a stable word for metrics and dead letters, e.g. ``bad_json``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Unreadable(bytes):
    """Stands for records that the log holds and nobody can read; says which, and why."""


T = TypeVar("T")
Id = Annotated[str, msgspec.Meta(min_length=1)]
Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
#: A number of things, or the place of one in a list; one that is none is −1.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Rank = Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)]
#: Where a record stands in its partition, and how many bytes there are of something.
Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
#: A time that can be written as a date, to the end of the year 9999.
AnyTime = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_000)]
Dwell = Annotated[int, msgspec.Meta(ge=0, le=MAX_DWELL_MS)]


class MediaEvent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One action on one media, as it stands on the wire."""

    event_id: Id
    viewer_id: Id
    media_id: Id
    ts: int
    author_id: Id | None = None
    request_id: str | None = None
    undo: bool = False
    dwell_ms: Dwell | None = None
    long: bool = False


class FollowEvent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A follow, block or mute of an author, as it stands on the wire."""

    event_id: Id
    viewer_id: Id
    author_id: Id
    kind: Relation
    ts: int
    undo: bool = False


class Integrity(msgspec.Struct, frozen=True):
    """Scores of the integrity classifiers, each in [0, 1]."""

    nsfw: Probability = 0.0
    spam: Probability = 0.0
    misinformation: Probability = 0.0


class Media(msgspec.Struct, frozen=True, omit_defaults=True):
    """One media of the catalogue; the newest record of a `media_id` replaces the older ones."""

    media_id: Id
    author_id: Id
    created_ts: int
    integrity: Integrity = Integrity()
    topics: tuple[str, ...] = ()
    language: str | None = None
    image_url: str | None = None
    image_embedding: tuple[float, ...] | None = None
    deleted: bool = False


class Account(msgspec.Struct, frozen=True, omit_defaults=True):
    """One account of the catalogue."""

    account_id: Id
    topics: tuple[str, ...] = ()
    private: bool = False
    disabled: bool = False
    language: str | None = None


MEDIA_TOPIC: Final = "catalog.media"
ACCOUNTS_TOPIC: Final = "catalog.accounts"

_media_event = msgspec.json.Decoder(MediaEvent)
_follow_event = msgspec.json.Decoder(FollowEvent)
_media = msgspec.json.Decoder(Media)
_account = msgspec.json.Decoder(Account)


def parse_event(topic: str, value: bytes | None, now_ms: int) -> MediaEvent | FollowEvent:
    """Read one record of an event topic.

    Args:
        topic: one of :data:`models.actions.EVENT_TOPICS`.
        value: the record's value as Kafka delivered it.
        now_ms: wall-clock time, to refuse event times in the future.

    Raises:
        InvalidEventError: with a reason and a message that names the field and the value.
    """
    event: MediaEvent | FollowEvent
    if topic == FOLLOW_TOPIC:
        event = decode_value(_follow_event, value, MAX_VALUE_BYTES)
    elif topic in MEDIA_EVENT_TOPICS:
        event = decode_value(_media_event, value, MAX_VALUE_BYTES)
    else:
        raise InvalidEventError(
            "unknown_action",
            f"topic {topic!r} carries no known action; expected one of {', '.join(EVENT_TOPICS)}",
        )
    if not MIN_TS_MS <= event.ts <= now_ms + MAX_AHEAD_MS:
        raise _bad_ts(event.ts, now_ms)
    if (
        len(event.event_id) > SURELY_SHORT
        or len(event.viewer_id) > SURELY_SHORT
        or (event.author_id is not None and len(event.author_id) > SURELY_SHORT)
    ):
        check_ids(event, "event_id", "viewer_id", "author_id")
    if isinstance(event, MediaEvent) and (
        len(event.media_id) > SURELY_SHORT or event.request_id is not None
    ):
        check_ids(event, "media_id", "request_id")
    return event


def parse_media(value: bytes | None, now_ms: int) -> Media:
    """Read one record of ``catalog.media``.

    Args:
        value: the record's value as Kafka delivered it.
        now_ms: wall-clock time, to refuse media posted in the future: they would be new for ever.

    Raises:
        InvalidEventError: as :func:`parse_event` does.
    """
    media = decode_value(_media, value, MAX_VALUE_BYTES)
    check_ids(media, "media_id", "author_id")
    # A media may be older than the service.
    check_times(media, now_ms, "created_ts")
    return media


def parse_account(value: bytes | None) -> Account:
    """Read one record of ``catalog.accounts``.

    Raises:
        InvalidEventError: as :func:`parse_event` does.
    """
    account = decode_value(_account, value, MAX_VALUE_BYTES)
    check_ids(account, "account_id")
    return account


def decode_value(
    decoder: msgspec.json.Decoder[T], value: bytes | None, most_bytes: int | None = None
) -> T:
    """Decode the value of one record; whatever is wrong with it, only one kind of error comes.

    Args:
        most_bytes: what is larger is refused undecoded; by default what Kafka took is not.

    Raises:
        InvalidEventError: ``empty``, ``oversize``, ``bad_field``, ``bad_json``, ``bad_utf8`` or
            ``unreadable``.
    """
    if value is None:
        raise InvalidEventError("empty", "the record has no value; send a JSON object")
    if most_bytes is not None and len(value) > most_bytes:
        raise InvalidEventError(
            "oversize", f"the value has {len(value)} bytes; at most {most_bytes} are accepted"
        )
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise InvalidEventError("bad_field", str(error)) from error
    except msgspec.DecodeError as error:
        if isinstance(value, Unreadable):
            raise InvalidEventError("unreadable", value.decode()) from None
        raise InvalidEventError("bad_json", f"not a JSON object: {error}") from error
    except UnicodeDecodeError as error:
        raise InvalidEventError("bad_utf8", f"not UTF-8: {error}") from error
    except RecursionError as error:
        raise InvalidEventError("bad_json", "the JSON is nested too deeply") from error


def check_ids(record: msgspec.Struct, *names: str) -> None:
    """Refuse a record in which one of these fields is too long for an id.

    That an id is there and not empty is said by the type of its field.

    Raises:
        InvalidEventError: ``bad_id``.
    """
    for name in names:
        value = getattr(record, name)
        if value is None or len(value) <= SURELY_SHORT:
            continue
        if len(value.encode()) > MAX_ID_BYTES:
            raise InvalidEventError(
                "bad_id",
                f"{name} {value[:24]!r}… has {len(value.encode())} bytes; at most {MAX_ID_BYTES}",
            )


def check_times(record: msgspec.Struct, now_ms: int, *names: str) -> None:
    """Refuse a record in which one of these fields is no epoch time in ms, from 1970 to tomorrow.

    Raises:
        InvalidEventError: ``bad_ts``.
    """
    for name in names:
        value = getattr(record, name)
        if not 0 <= value <= now_ms + MAX_AHEAD_MS:
            raise InvalidEventError(
                "bad_ts",
                f"{name} {value} is not an epoch time in milliseconds, at most "
                f"{MAX_AHEAD_MS // HOUR_MS} hours ahead",
            )


def check(good: bool, name: str, what: str) -> None:
    """Refuse a record unless `good`; the message says that the field `name` `what`.

    Raises:
        InvalidEventError: ``bad_field``.
    """
    if not good:
        raise InvalidEventError("bad_field", f"{name} {what}")


def _bad_ts(ts: int, now_ms: int) -> InvalidEventError:
    if ts < MIN_TS_MS:
        hint = "it looks like seconds; send milliseconds" if ts > 10**8 else "send epoch ms"
        return InvalidEventError("bad_ts", f"ts {ts} is before 2010: {hint}")
    return InvalidEventError("bad_ts", f"ts {ts} is {(ts - now_ms) // HOUR_MS} hours ahead")
