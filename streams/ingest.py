"""Events → viewer state: validate, find authors, fold, store, tell who was touched.

The same code runs inside the Faust agent (Redis, Kafka) and in a replay without servers (memory).

**Effectively once.** Inside each viewer's state stands, per topic and partition, the next offset
to apply. State and offsets are stored by one atomic call, and Kafka's offsets are committed only
afterwards: a record delivered again is recognised by its offset, a record that a producer sent
twice by its event id, which the state's entries keep.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from infra.kafka import DEAD_LETTERS_TOPIC, TOUCHED_TOPIC, Message
from infra.stores import ParkedRecord, Store, Versioned
from models.events import (
    EVENT_TOPICS,
    FollowEvent,
    InvalidEventError,
    MediaEvent,
    action_of,
    parse_account,
    parse_event,
    parse_media,
)
from models.viewer_state import FoldConfig, ViewerState, fold_follow_event, fold_media_event

TOPIC_CODES: Final = {topic: code for code, topic in enumerate(EVENT_TOPICS)}
#: A dead letter carries the original bytes up to this size; beyond it, only where to find them.
MAX_DEAD_LETTER_BYTES: Final = 256 * 1024
PARKING_REASON: Final = "unknown_media"

_json = msgspec.json.Encoder()


class Record(Protocol):
    """A Kafka record, or a line of a fixture."""

    @property
    def offset(self) -> int:
        """Where it stands in its partition."""
        ...

    @property
    def key(self) -> bytes | None:
        """Its key."""
        ...

    @property
    def value(self) -> bytes | None:
        """Its value."""
        ...


class Sender(Protocol):
    """Where messages go: Kafka, or back into a replay without one."""

    async def send(self, messages: Iterable[Message]) -> None:
        """Return once every message is safe."""
        ...


class DeadLetter(msgspec.Struct):
    """A record that could not be applied, as ``explore.dead_letters`` carries it."""

    topic: str
    partition: int
    offset: int
    error: str
    message: str
    first_seen: int
    size: int
    key: str | None = None
    value_base64: str = ""
    truncated: bool = False


class Located(NamedTuple):
    """A valid event and where it stands in the log."""

    topic: str
    partition: int
    offset: int
    value: bytes
    event: MediaEvent | FollowEvent
    author_id: str | None


class Ingest:
    """Applies records to viewer state; `log_id` names the log that their offsets belong to."""

    def __init__(self, store: Store, sender: Sender, config: FoldConfig, log_id: str) -> None:
        self._store = store
        self._sender = sender
        self._config = config
        self._log_id = log_id

    async def events(
        self, topic: str, partition: int, records: Sequence[Record], now_ms: int
    ) -> None:
        """Apply records of one event topic; returns when everything they cause is safe."""
        messages: list[Message] = []
        located: list[Located] = []
        for record in records:
            value = record.value or b""
            try:
                event = parse_event(topic, record.value, now_ms)
            except InvalidEventError as error:
                messages.append(_dead_letter(topic, partition, record, error, now_ms))
                continue
            located.append(Located(topic, partition, record.offset, value, event, event.author_id))
        located = await self._with_authors(located, messages, now_ms)
        by_viewer: dict[str, list[Located]] = {}
        for item in located:
            by_viewer.setdefault(item.event.viewer_id, []).append(item)
        await self._fold(by_viewer)
        for viewer_id, items in by_viewer.items():
            touched = {"viewer_id": viewer_id, "ts": max(item.event.ts for item in items)}
            messages.append(Message(TOUCHED_TOPIC, viewer_id, _json.encode(touched)))
        await self._sender.send(messages)

    async def _with_authors(
        self, located: list[Located], messages: list[Message], now_ms: int
    ) -> list[Located]:
        """Fill in missing authors from the catalogue; events on unknown media are parked."""
        lacking = [item for item in located if item.author_id is None]
        if not lacking:
            return located
        media_ids = [_media_id(item) for item in lacking]
        known = dict(zip(media_ids, await self._store.authors_of(media_ids), strict=True))
        unknown = [item for item in lacking if known[_media_id(item)] is None]
        if unknown:
            answers = await self._store.park(
                [
                    ParkedRecord(
                        item.topic,
                        item.partition,
                        item.offset,
                        _media_id(item),
                        item.value,
                        now_ms,
                        item.event.viewer_id,
                    )
                    for item in unknown
                ]
            )
            for item, answer in zip(unknown, answers, strict=True):
                if answer.author_id is not None:
                    known[_media_id(item)] = answer.author_id
                elif not answer.parked:
                    error = InvalidEventError(
                        "parking_full",
                        f"media {_media_id(item)!r} is unknown and too many events wait for media; "
                        "send its record to catalog.media first, or name author_id in the event",
                    )
                    messages.append(_dead_letter_of(item, error, now_ms))
        complete = []
        for item in located:
            author_id = item.author_id or known.get(_media_id(item))
            if author_id is not None:
                complete.append(item._replace(author_id=author_id))
        return complete

    async def _fold(self, by_viewer: dict[str, list[Located]]) -> None:
        """Fold and store; a viewer that somebody else wrote meanwhile is folded again."""
        viewer_ids = list(by_viewer)
        current = await self._store.load(viewer_ids) if viewer_ids else []
        while viewer_ids:
            changed: list[tuple[str, Versioned]] = []
            for viewer_id, versioned in zip(viewer_ids, current, strict=True):
                if self._apply(versioned.state, by_viewer[viewer_id]):
                    changed.append((viewer_id, versioned))
            answers = await self._store.commit([v for v, _ in changed], [s for _, s in changed])
            lost = [
                (viewer_id, newer)
                for (viewer_id, _), newer in zip(changed, answers, strict=True)
                if newer is not None
            ]
            viewer_ids = [viewer_id for viewer_id, _ in lost]
            current = [newer for _, newer in lost]

    def _apply(self, state: ViewerState, items: Iterable[Located]) -> bool:
        """Fold one viewer's records; returns whether there is anything to store."""
        if state.log_id != self._log_id:
            state.log_id, state.applied = self._log_id, {}
        moved = False
        for item in items:
            code = TOPIC_CODES[item.topic] << 16 | item.partition
            if item.offset < state.applied.get(code, 0):
                continue
            state.applied[code] = item.offset + 1
            moved = True
            if isinstance(item.event, FollowEvent):
                fold_follow_event(state, item.event, self._config)
            else:
                action = action_of(item.topic, item.event)
                author_id = item.author_id or ""
                fold_media_event(state, action, item.event, author_id, self._config)
        return moved

    async def media(
        self, topic: str, partition: int, records: Sequence[Record], now_ms: int
    ) -> None:
        """Learn the authors of media; events that waited for them join the stream again."""
        messages: list[Message] = []
        authors: dict[str, str] = {}
        for record in records:
            # A compacted topic deletes by a record without value: what was learned stays.
            if record.value is None:
                continue
            try:
                media = parse_media(record.value)
            except InvalidEventError as error:
                messages.append(_dead_letter(topic, partition, record, error, now_ms))
                continue
            authors[media.media_id] = media.author_id
        waiting = await self._store.learn_authors(list(authors), list(authors.values()))
        released: dict[str, int] = {}
        for (media_id, author_id), parked_records in zip(authors.items(), waiting, strict=True):
            for parked in parked_records:
                try:
                    event = parse_event(parked.topic, parked.value, now_ms)
                except InvalidEventError as error:
                    # Parsed once, but by another release, or nested just below the limit.
                    messages.append(_dead_letter_of_parked(parked, error))
                    continue
                complete = msgspec.structs.replace(event, author_id=author_id)
                messages.append(Message(parked.topic, parked.viewer_id, _json.encode(complete)))
            if parked_records:
                released[media_id] = len(parked_records)
        await self._sender.send(messages)
        for media_id, count in released.items():
            await self._store.unpark(media_id, count)

    async def accounts(
        self, topic: str, partition: int, records: Sequence[Record], now_ms: int
    ) -> None:
        """Check records of the account catalogue; ranking reads the topic itself."""
        messages: list[Message] = []
        for record in records:
            if record.value is None:
                continue
            try:
                parse_account(record.value)
            except InvalidEventError as error:
                messages.append(_dead_letter(topic, partition, record, error, now_ms))
        await self._sender.send(messages)

    async def expire_parked(self, now_ms: int, ttl_ms: int, limit: int = 1000) -> int:
        """Dead-letter what has waited for its media for longer than `ttl_ms`; returns how much."""
        expired = 0
        for records in await self._store.parked_since(now_ms - ttl_ms, limit):
            media_id = records[0].media_id
            error = InvalidEventError(
                PARKING_REASON,
                f"media {media_id!r} did not appear in catalog.media within {ttl_ms // 1000} s; "
                "send it there, or name author_id in the event",
            )
            await self._sender.send(_dead_letter_of_parked(record, error) for record in records)
            await self._store.unpark(media_id, len(records))
            expired += len(records)
        return expired


def _media_id(item: Located) -> str:
    return item.event.media_id if isinstance(item.event, MediaEvent) else ""


def _dead_letter_of_parked(record: ParkedRecord, error: InvalidEventError) -> Message:
    key = record.viewer_id.encode()
    return _letter(
        record.topic,
        record.partition,
        record.offset,
        key,
        record.value,
        error,
        record.first_seen_ms,
    )


def _dead_letter(
    topic: str, partition: int, record: Record, error: InvalidEventError, now_ms: int
) -> Message:
    return _letter(topic, partition, record.offset, record.key, record.value or b"", error, now_ms)


def _dead_letter_of(item: Located, error: InvalidEventError, now_ms: int) -> Message:
    key = item.event.viewer_id.encode()
    return _letter(item.topic, item.partition, item.offset, key, item.value, error, now_ms)


def _letter(
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes,
    error: InvalidEventError,
    now_ms: int,
) -> Message:
    text_key = None if key is None else key.decode("utf-8", "backslashreplace")
    letter = DeadLetter(
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
    return Message(DEAD_LETTERS_TOPIC, text_key or "", _json.encode(letter))
