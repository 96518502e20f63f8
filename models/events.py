"""What producers send: parsing and validating one record.

Errors::

    ValueError
    └── InvalidEventError   the record can never be applied; `reason` is a stable word

Validation is complete here: whatever :func:`parse_event`, :func:`parse_media` or
:func:`parse_account` returns can be folded without further checks.
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


class MediaEvent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One action on one media, as it stands on the wire."""

    event_id: Id
    viewer_id: Id
    media_id: Id
    ts: int
    author_id: Id | None = None
    request_id: str | None = None
    undo: bool = False
    dwell_ms: int | None = None
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
        event = _decode(_follow_event, value)
    elif topic in MEDIA_EVENT_TOPICS:
        event = _decode(_media_event, value)
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
        _check_ids(event, "event_id", "viewer_id", "author_id")
    if isinstance(event, MediaEvent) and (
        len(event.media_id) > SURELY_SHORT or event.request_id is not None
    ):
        _check_ids(event, "media_id", "request_id")
    return event


def parse_media(value: bytes | None) -> Media:
    """Read one record of ``catalog.media``.

    Raises:
        InvalidEventError: as :func:`parse_event` does.
    """
    media = _decode(_media, value)
    _check_ids(media, "media_id", "author_id")
    # A media may be older than the service; only the mistake of sending seconds is refused.
    if not 0 <= media.created_ts < 10**14:
        raise InvalidEventError(
            "bad_ts", f"created_ts {media.created_ts} is not an epoch time in milliseconds"
        )
    return media


def parse_account(value: bytes | None) -> Account:
    """Read one record of ``catalog.accounts``.

    Raises:
        InvalidEventError: as :func:`parse_event` does.
    """
    account = _decode(_account, value)
    _check_ids(account, "account_id")
    return account


def _decode(decoder: msgspec.json.Decoder[T], value: bytes | None) -> T:
    if value is None:
        raise InvalidEventError("empty", "the record has no value; send a JSON object")
    if len(value) > MAX_VALUE_BYTES:
        raise InvalidEventError(
            "oversize", f"the value has {len(value)} bytes; at most {MAX_VALUE_BYTES} are accepted"
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


def _check_ids(record: msgspec.Struct, *names: str) -> None:
    for name in names:
        value = getattr(record, name)
        if value is not None and len(value.encode()) > MAX_ID_BYTES:
            raise InvalidEventError(
                "bad_id",
                f"{name} {value[:24]!r}… has {len(value.encode())} bytes; at most {MAX_ID_BYTES}",
            )


def _bad_ts(ts: int, now_ms: int) -> InvalidEventError:
    if ts < MIN_TS_MS:
        hint = "it looks like seconds; send milliseconds" if ts > 10**8 else "send epoch ms"
        return InvalidEventError("bad_ts", f"ts {ts} is before 2010: {hint}")
    return InvalidEventError("bad_ts", f"ts {ts} is {(ts - now_ms) // HOUR_MS} hours ahead")
