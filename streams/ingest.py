"""Events → viewer state: validate, find authors, fold, store, tell who was touched.

The same code runs inside the Faust agent (Redis, Kafka) and in a replay without servers (memory).

Everything a batch says of one viewer is one slice, stored by one atomic call. Mostly its records
are new and newer than what is there, and the store puts them on top; where they are not, the store
answers with the state, and the slice is folded here and stored by compare and set.

**Effectively once.** Inside each viewer's state stands, per topic and partition, the next offset
to apply. State and offsets are stored by one atomic call, and Kafka's offsets are committed only
afterwards: a record delivered again is recognised by its offset, a record that a producer sent
twice by its event id, which the state's records keep.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from infra.kafka import Message
from infra.metrics import FORGOTTEN_EVENTS, SLICES
from infra.stores import ParkedRecord, Slice, Store, Versioned
from infra.topics import TOUCHED_TOPIC
from infra.tracing import Traces, traceparent_of
from models.actions import TOPIC_CODES, VIEW_TOPICS
from models.arrays.newest_told import NewestById
from models.events import (
    FollowEvent,
    InvalidEventError,
    MediaEvent,
    parse_account,
    parse_event,
    parse_media,
)
from models.viewers.forgotten import ForgottenViewers
from models.viewers.state import (
    FoldConfig,
    ViewerState,
    fold_follow_event,
    fold_record,
    log_key,
    place,
)
from streams.dead_letter import dead_letter_of_parked, dead_letter_of_state
from streams.letters import Letters
from streams.packing import Item, pack_slice, packed_event
from streams.records import Record, Sender
from streams.rights.forgotten import known

if TYPE_CHECKING:
    from opentelemetry.trace import Span

PARKING_REASON: Final = "unknown_media"

_json = msgspec.json.Encoder()

logger = logging.getLogger(__name__)


class Part(NamedTuple):
    """Records of one partition of an event topic, in offset order."""

    topic: str
    partition: int
    records: Sequence[Record]


class Located(NamedTuple):
    """A valid event whose author has to be looked up, and where it stands in the log."""

    topic: str
    record: Record
    event: MediaEvent

    @property
    def partition(self) -> int:
        """Number of the partition that it stands in."""
        return self.record.partition

    @property
    def offset(self) -> int:
        """Where it stands in its partition."""
        return self.record.offset


class ParsedBatch(NamedTuple):
    """Records that were read and are to be stored.

    Attributes:
        items: viewer → what she did.
        lacking: events without an author.
        messages: what is to be sent so far.
        now_ms: when they were read.
        parents: viewer → traces of events of hers.
    """

    items: dict[str, list[Item]]
    lacking: list[Located]
    messages: list[Message]
    now_ms: int
    parents: dict[str, list[str]]


class Ingest:
    """Applies records to viewer state.

    Args:
        log_id: of the log that their offsets belong to.
        newest: given where the catalogue is read whole: then a media's author is that of its newest
            record, whichever partition is read first. Who reads on where others stopped meets
            records in the order in which they are written.
        letters: of records that cannot be applied; by default they go to `sender`.
        forgotten: viewers of whom nothing is applied.
        traces: of events whose producers trace them.
    """

    def __init__(
        self,
        store: Store,
        sender: Sender,
        config: FoldConfig,
        log_id: str,
        newest: NewestById | None = None,
        letters: Letters | None = None,
        forgotten: ForgottenViewers | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._newest, self._traces = newest, traces
        self._letters = letters or Letters(sender)
        self._forgotten = forgotten if forgotten is not None else ForgottenViewers()
        self._store = store
        self._sender = sender
        self._config = config
        self._log = log_key(log_id)

    async def events(
        self, topic: str, partition: int, records: Sequence[Record], now_ms: int
    ) -> None:
        """Apply records of one event topic; returns when everything they cause is safe."""
        await self.send(await self.fold([Part(topic, partition, records)], now_ms))

    async def send(self, messages: Sequence[Message]) -> None:
        """Send what :meth:`fold` returned, and letters; returns when both are safe."""
        await self._sender.send(messages)
        await self._letters.send()

    async def fold(self, parts: Sequence[Part], now_ms: int) -> list[Message]:
        """Apply records of event topics; returns when they are stored, with what is to be sent.

        A part's records are applied only once that is sent, too.
        """
        return await self.store(self.read(parts, now_ms))

    def read(self, parts: Sequence[Part], now_ms: int) -> ParsedBatch:
        """Parse and validate records and group them by viewer."""
        messages: list[Message] = []
        lacking: list[Located] = []
        items: dict[str, list[Item]] = {}
        parents: dict[str, list[str]] = {}
        is_traced = self._traces is not None
        for topic, partition, records in parts:
            at = place(TOPIC_CODES[topic], partition)
            is_view = topic in VIEW_TOPICS
            for record in records:
                try:
                    event = parse_event(topic, record.value, now_ms)
                except InvalidEventError as error:
                    # A letter would hold what is to be forgotten.
                    if known(self._forgotten, [record]):
                        self._letters.refuse(topic, record, error)
                    continue
                if self._forgotten.refuses(event.viewer_id, event.ts):
                    FORGOTTEN_EVENTS.inc()
                    continue
                if is_traced and (parent := traceparent_of(record)) is not None:
                    parents.setdefault(event.viewer_id, []).append(parent)
                item: Item
                if isinstance(event, FollowEvent):
                    item = (at, record.offset, event, False)
                elif event.author_id is not None:
                    item = (at, record.offset, packed_event(topic, event, event.author_id), is_view)
                else:
                    lacking.append(Located(topic, record, event))
                    continue
                of_viewer = items.get(event.viewer_id)
                if of_viewer is None:
                    items[event.viewer_id] = [item]
                else:
                    of_viewer.append(item)
        return ParsedBatch(items, lacking, messages, now_ms, parents)

    async def store(self, batch: ParsedBatch) -> list[Message]:
        """Apply what was read; returns when it is stored, with what is to be sent.

        Calls must not overlap: offsets of one partition have to reach the store in order.
        """
        items, lacking, messages, now_ms, parents = batch
        if lacking:
            await self._look_up(lacking, items, now_ms)
        spans = self._begin_spans(parents, now_ms) if parents else {}
        try:
            await self._store_items(items, messages, now_ms, spans)
        finally:
            for span in spans.values():
                span.end()
        return messages

    def _begin_spans(self, parents: Mapping[str, list[str]], now_ms: int) -> dict[str, Span]:
        """A span for each viewer of whom an event is traced."""
        assert self._traces is not None
        begun = {
            viewer_id: self._traces.begin("fold", of, {}, now_ms * 1_000_000)
            for viewer_id, of in parents.items()
        }
        return {viewer_id: span for viewer_id, span in begun.items() if span is not None}

    async def _look_up(
        self,
        lacking: list[Located],
        items: dict[str, list[Item]],
        now_ms: int,
    ) -> None:
        """Add items with their authors from the catalogue; events on unknown media are parked."""
        media_ids = [item.event.media_id for item in lacking]
        authors = dict(zip(media_ids, await self._store.authors_of(media_ids), strict=True))
        unknown = [item for item in lacking if authors[item.event.media_id] is None]
        if unknown:
            answers = await self._store.park(
                [
                    ParkedRecord(
                        item.topic,
                        item.partition,
                        item.offset,
                        item.event.media_id,
                        item.record.value or b"",
                        now_ms,
                        item.event.viewer_id,
                    )
                    for item in unknown
                ]
            )
            for item, answer in zip(unknown, answers, strict=True):
                if answer.author_id is not None:
                    authors[item.event.media_id] = answer.author_id
                elif not answer.parked:
                    error = InvalidEventError(
                        "parking_full",
                        f"media {item.event.media_id!r} is unknown and too many events wait for "
                        "media; send its record to catalog.media first, or name author_id in the "
                        "event",
                    )
                    self._letters.refuse(item.topic, item.record, error, late=True)
        found: set[str] = set()
        for item in lacking:
            author_id = authors[item.event.media_id]
            if author_id is not None:
                at = place(TOPIC_CODES[item.topic], item.partition)
                packed = packed_event(item.topic, item.event, author_id)
                items.setdefault(item.event.viewer_id, []).append(
                    (at, item.offset, packed, item.topic in VIEW_TOPICS)
                )
                found.add(item.event.viewer_id)
        for viewer_id in found:
            items[viewer_id].sort(key=itemgetter(0, 1))

    async def _store_items(
        self,
        items: dict[str, list[Item]],
        messages: list[Message],
        now_ms: int,
        spans: Mapping[str, Span],
    ) -> None:
        """Put every viewer's items on top of the state, or fold them; adds who was touched."""
        slices: list[Slice] = []
        to_fold: list[str] = []
        for viewer_id, of_viewer in items.items():
            packed, touched = pack_slice(viewer_id, of_viewer)
            if packed is None:
                to_fold.append(viewer_id)
            else:
                slices.append(packed)
            if (span := spans.get(viewer_id)) is not None and self._traces is not None:
                touched.trace = self._traces.parent(span)
            messages.append(Message(TOUCHED_TOPIC, viewer_id, _json.encode(touched)))
        current: list[Versioned] = []
        if to_fold:
            current = await self._store.load(to_fold)
        for packed, answer in zip(slices, await self._store.append(self._log, slices), strict=True):
            if answer is not None:
                to_fold.append(packed.viewer_id)
                current.append(answer)
        SLICES.labels("folded").inc(len(to_fold))
        SLICES.labels("appended").inc(len(items) - len(to_fold))
        while to_fold:
            await self._set_aside_damaged(to_fold, current, now_ms)
            changed = [
                (viewer_id, versioned)
                for viewer_id, versioned in zip(to_fold, current, strict=True)
                if self._apply(versioned.state, items[viewer_id])
            ]
            answers = await self._store.commit([v for v, _ in changed], [s for _, s in changed])
            # A viewer that somebody else wrote meanwhile is folded again.
            lost = [
                (viewer_id, newer)
                for (viewer_id, _), newer in zip(changed, answers, strict=True)
                if newer is not None
            ]
            to_fold = [viewer_id for viewer_id, _ in lost]
            current = [newer for _, newer in lost]

    async def _set_aside_damaged(
        self, viewer_ids: Sequence[str], current: Sequence[Versioned], now_ms: int
    ) -> None:
        """Let viewers whose stored value is no state begin anew; a letter holds the value."""
        damaged = [
            (viewer_id, found.damaged)
            for viewer_id, found in zip(viewer_ids, current, strict=True)
            if found.damaged is not None
        ]
        if not damaged:
            return
        # The letter first: what it holds is replaced only once it is safe.
        await self._sender.send([dead_letter_of_state(*of, now_ms) for of in damaged])
        await self._store.set_aside([v for v, _ in damaged], [of.value for _, of in damaged])
        for viewer_id, of in damaged:
            logger.error(
                "the stored state of viewer %r is damaged (%s): it is set aside, a dead letter "
                "holds it, and the viewer begins anew; freshgrid rebuild brings back what the log "
                "has", viewer_id, of.why,
            )  # fmt: skip

    def _apply(self, state: ViewerState, items: Iterable[Item]) -> bool:
        """Fold one viewer's items; returns whether there is anything to store."""
        if state.log != self._log:
            state.log, state.applied = self._log, {}
        moved = False
        for at, offset, event, is_view in items:
            if offset < state.applied.get(at, 0):
                continue
            state.applied[at] = offset + 1
            moved = True
            if isinstance(event, FollowEvent):
                fold_follow_event(state, event, self._config)
            else:
                fold_record(state, is_view, event, self._config)
        return moved

    async def media(
        self, topic: str, partition: int, records: Sequence[Record], now_ms: int
    ) -> None:
        """Learn the authors of media; events that waited for them join the stream again."""
        messages: list[Message] = []
        authors: dict[str, str] = {}
        written_ms: dict[str, int] = {}
        for record in records:
            # A compacted topic deletes by a record without value: what was learned stays.
            if record.value is None:
                continue
            try:
                media = parse_media(record.value, now_ms)
            except InvalidEventError as error:
                self._letters.refuse(topic, record, error)
                continue
            authors[media.media_id] = media.author_id
            written_ms[media.media_id] = record.timestamp
        if self._newest is not None:
            taken = self._newest.take(list(authors), partition, list(written_ms.values()))
            authors = dict(compress(authors.items(), taken.tolist()))
        waiting = await self._store.learn_authors(list(authors), list(authors.values()))
        released: list[ParkedRecord] = []
        for author_id, parked_records in zip(authors.values(), waiting, strict=True):
            for parked in parked_records:
                try:
                    event = parse_event(parked.topic, parked.value, now_ms)
                except InvalidEventError as error:
                    # Parsed once, but by another release, or nested just below the limit.
                    messages.append(dead_letter_of_parked(parked, error))
                    continue
                complete = msgspec.structs.replace(event, author_id=author_id)
                messages.append(Message(parked.topic, parked.viewer_id, _json.encode(complete)))
            released.extend(parked_records)
        await self.send(messages)
        await self._store.unpark(released)

    async def accounts(
        self, topic: str, partition: int, records: Sequence[Record], now_ms: int
    ) -> None:
        """Check records of the account catalogue; ranking reads the topic itself."""
        for record in records:
            if record.value is None:
                continue
            try:
                parse_account(record.value)
            except InvalidEventError as error:
                self._letters.refuse(topic, record, error)
        await self._letters.send()

    async def parked_media(self) -> int:
        """How many media are being waited for."""
        return await self._store.parked_media()

    async def catalog_read(self, until_ms: Mapping[int, int], partitions: int) -> int:
        """Note how far this worker has read the media; returns how far the workers together have.

        Args:
            until_ms: partition of ``catalog.media`` → when everything in it was processed.
            partitions: how many the topic has.
        """
        return await self._store.note_catalog_read(until_ms, partitions)

    async def overdue(self, read_ms: int, ttl_ms: int) -> bool:
        """Whether :meth:`expire_parked` would find anything."""
        return bool(await self._store.parked_since(read_ms - ttl_ms, 1))

    async def expire_parked(self, read_ms: int, ttl_ms: int, limit: int = 1000) -> int:
        """Dead-letter what has waited for its media for longer than `ttl_ms`; returns how much.

        What has waited at `read_ms`, up to which the media are read: one that stands in the log
        has appeared, however late it is read.
        """
        expired = 0
        for records in await self._store.parked_since(read_ms - ttl_ms, limit):
            media_id = records[0].media_id
            error = InvalidEventError(
                PARKING_REASON,
                f"media {media_id!r} did not appear in catalog.media within {ttl_ms // 1000} s; "
                "send it there, or name author_id in the event",
            )
            await self._sender.send(dead_letter_of_parked(record, error) for record in records)
            await self._store.unpark(records)
            expired += len(records)
        return expired
