"""Events that come over HTTP: told apart, checked as the worker will, sent to their topics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import msgspec

from infra.http.events import Accepted, Refusal
from infra.kafka import Message
from models.actions import FOLLOW_TOPIC, MEDIA_EVENT_TOPIC_OF
from models.events import InvalidEventError, Relation, decode_value, parse_event
from streams.clock import now_ms

Send = Callable[[Iterable[Message]], Awaitable[None]]

#: What events on media and of follows are called: as ``freshgrid send`` takes them.
ACTIONS: Final = (*MEDIA_EVENT_TOPIC_OF, *Relation)
#: Records checked before others have a turn of the event loop.
TURN: Final = 500


class _Says(msgspec.Struct, gc=False):
    """What tells an event's topic."""

    action: str | None = None
    kind: str | None = None


_says = msgspec.json.Decoder(_Says)


class EventIntake:
    """Takes events for Kafka.

    Args:
        send: returns once the broker has all of them, however long it takes.
    """

    def __init__(self, send: Send) -> None:
        self._send = send

    async def take(self, records: Sequence[bytes]) -> Accepted:
        """Check records and send the good ones; returns once the broker has them.

        A record goes out as it came: what tells its action is one more field that nobody reads.
        """
        good: list[Message] = []
        refused: list[Refusal] = []
        now = now_ms()
        for at, record in enumerate(records):
            if at and at % TURN == 0:
                await asyncio.sleep(0)
            try:
                topic = topic_of(record)
                good.append(Message(topic, parse_event(topic, record, now).viewer_id, record))
            except InvalidEventError as error:
                refused.append(Refusal(at, error.reason, str(error)))
        if good:
            await self._send(good)
        return Accepted(len(good), refused)


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
