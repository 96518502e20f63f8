"""What comes over HTTP for Kafka: told apart, checked as the worker will, sent to its topic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import msgspec

from infra.http.events import Accepted, Refusal
from infra.http.writing import Kind
from infra.kafka import Message
from models.actions import EVENT_TOPICS, FOLLOW_TOPIC, MEDIA_EVENT_TOPIC_OF
from models.events import (
    ACCOUNTS_TOPIC,
    MEDIA_TOPIC,
    InvalidEventError,
    Relation,
    decode_value,
    parse_account,
    parse_event,
    parse_media,
)
from streams.clock import now_ms

#: Takes records, and the trace that all of them are part of or nothing.
Send = Callable[[Iterable[Message], str], Awaitable[None]]

#: Of whom nothing may be known: viewer id and time → whether.
Refuses = Callable[[str, float], bool]

#: What producers write.
TAKEN: Final = (*EVENT_TOPICS, MEDIA_TOPIC, ACCOUNTS_TOPIC)
#: Records checked before others have a turn of the event loop.
TURN: Final = 500


class _Says(msgspec.Struct, gc=False):
    """What tells where a record belongs."""

    action: str | None = None
    kind: str | None = None
    topic: str | None = None


_says = msgspec.json.Decoder(_Says)


class Intake:
    """Takes events and the catalogue for Kafka.

    A record goes out as it came: what tells its action or topic is one more field that nobody
    reads.

    Args:
        send: returns once the broker has all of them, however long it takes.
        refuses: tells of whom nothing may be known, at which time (epoch ms).
    """

    def __init__(self, send: Send, refuses: Refuses = lambda *_: False) -> None:
        self._send = send
        self._refuses = refuses

    async def take(
        self, records: Sequence[bytes], only: str | None = None, traceparent: str = ""
    ) -> Accepted:
        """Check events and send the good ones; returns once the broker has them.

        Args:
            only: the viewer whose events may be sent; None for anybody's.
            traceparent: of the trace that they are part of; empty without one.
        """
        return await self._take(records, topic_of, only, traceparent)

    async def put(self, kind: Kind, records: Sequence[bytes]) -> Accepted:
        """The same with records of the catalogue."""
        topic = MEDIA_TOPIC if kind == "media" else ACCOUNTS_TOPIC
        return await self._take(records, lambda _: topic)

    async def lines(self, lines: Sequence[bytes]) -> Accepted:
        """The same with lines of any topic that producers write, which each names."""
        return await self._take(lines, _named_topic)

    async def _take(
        self,
        records: Sequence[bytes],
        topic_of: Callable[[bytes], str],
        only: str | None = None,
        traceparent: str = "",
    ) -> Accepted:
        good: list[Message] = []
        refused: list[Refusal] = []
        now = now_ms()
        for at, record in enumerate(records):
            if at and at % TURN == 0:
                await asyncio.sleep(0)
            try:
                topic = topic_of(record)
                key = _key(topic, record, now)
                if topic in EVENT_TOPICS:
                    self._check(key, only, now)
                good.append(Message(topic, key, record))
            except InvalidEventError as error:
                refused.append(Refusal(at, error.reason, str(error)))
        if good:
            await self._send(good, traceparent)
        return Accepted(len(good), refused)

    def _check(self, viewer_id: str, only: str | None, now: int) -> None:
        """Refuse events of viewers that may not be sent.

        Raises:
            InvalidEventError: by this sender, or by anybody.
        """
        if only is not None and viewer_id != only:
            raise InvalidEventError(
                "other_viewer", f"this token sends events of viewer {only!r} alone"
            )
        if self._refuses(viewer_id, now):
            raise InvalidEventError(
                "forgotten",
                f"viewer {viewer_id!r} was forgotten; freshgrid viewer allow lets events in again",
            )


def topic_of(record: bytes) -> str:
    """The topic of an event that says what it is.

    Raises:
        InvalidEventError: it is no JSON object, or does not say it.
    """
    says = decode_value(_says, record)
    if says.action is None and says.kind is not None:
        return FOLLOW_TOPIC
    topic = MEDIA_EVENT_TOPIC_OF.get(says.action or "")
    if topic is None:
        valid = f"set action to one of {', '.join(MEDIA_EVENT_TOPIC_OF)}, or kind to one of "
        raise InvalidEventError(
            "unknown_action", f"action {says.action!r} is none; {valid}{', '.join(Relation)}"
        )
    return topic


def _named_topic(line: bytes) -> str:
    """The topic that a line names; what it names besides is its own business."""
    topic = decode_value(_says, line).topic
    if topic not in TAKEN:
        raise InvalidEventError(
            "unknown_topic",
            f"topic {topic!r} is none that producers write; set it to one of {', '.join(TAKEN)}",
        )
    return topic


def _key(topic: str, record: bytes, now: int) -> str:
    """The key of a record, which is checked whole.

    Raises:
        InvalidEventError: the worker would send a dead letter of it.
    """
    if topic == MEDIA_TOPIC:
        return parse_media(record, now).media_id
    if topic == ACCOUNTS_TOPIC:
        return parse_account(record).account_id
    return parse_event(topic, record, now).viewer_id
