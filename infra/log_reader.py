"""Whole topics of the Kafka log, from chosen starts to their ends, outside any consumer group.

::

    FreshgridError
    └── LogReadError    the log does not give what it says it has

The ends are those at the moment of asking, so a reading ends while producers go on sending. What
a broker lists as the end of a partition may be too low (the embedded one names the beginning of
the last batch), but each fetch tells the exact end: a look at the last batch asks for it. What
a transaction that is still open has written is not read: it has not happened yet.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from infra.config import Settings
from infra.errors import FreshgridError
from infra.kafka import Ends, Partition
from infra.kafka_clients import kafka_consumer
from infra.kafka_waiting import connect
from infra.log_batches import readable_end

#: A broker that gives nothing new for so long, though it has more, is not going to.
STALLED_S: Final = 60.0
POLL_MS: Final = 1000


class LogReadError(FreshgridError):
    """The log does not give what it says it has."""


class Start(NamedTuple):
    """Where to begin in each partition: at an offset, or at a time.

    Attributes:
        offset: the first offset to read.
        ts_ms: instead of an offset, the time from which on records were sent (the timestamp that
            Kafka keeps with a record, epoch ms).
    """

    offset: int = 0
    ts_ms: int | None = None


BEGINNING: Final = Start()


class Span(NamedTuple):
    """What there is to read in one partition: ``start <= offset < end``.

    Attributes:
        oldest: offset of the oldest record that the log still holds.
    """

    oldest: int
    start: int
    end: int


class PartitionBatch(NamedTuple):
    """Records of one partition, in offset order."""

    topic: str
    partition: int
    records: Sequence[ConsumerRecord[bytes, bytes]]


class LogReader:
    """An async context manager around one consumer.

    ::

        async with LogReader(settings) as reader:
            spans = await reader.spans([("events.like", 0)])
            async for batch in reader.read(spans):
                ...
    """

    def __init__(self, settings: Settings) -> None:
        self._consumer = kafka_consumer(
            settings,
            group_id=None,
            enable_auto_commit=False,
            # Retention that overtakes a reading must be an error, not a silent jump ahead.
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=settings.fetch_max_wait_ms,
            max_partition_fetch_bytes=settings.max_message_bytes,
        )

    async def __aenter__(self) -> Self:
        try:
            await connect(self._consumer)
        except BaseException:
            # Asked to stop while it connects: nobody else would close what it opened.
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._consumer.stop()

    async def spans(
        self, wanted: Iterable[Partition], start: Start = BEGINNING, ends: Ends | None = None
    ) -> dict[Partition, Span]:
        """What there is to read in these partitions now.

        Args:
            ends: where to end instead of at the log's end; a partition not named is not read.

        Raises:
            LogReadError: the broker does not tell.
        """
        partitions = [TopicPartition(*partition) for partition in wanted]
        try:
            oldest = await self._consumer.beginning_offsets(partitions)
            found_ends = await self._ends(partitions, oldest)
            starts = dict.fromkeys(partitions, start.offset)
            if start.ts_ms is not None:
                at = await self._consumer.offsets_for_times(dict.fromkeys(partitions, start.ts_ms))
                # No record that young: -1 as timestamp on one broker, no answer on another.
                starts = {
                    p: at[p].offset if at.get(p) and at[p].timestamp >= 0 else found_ends[p]
                    for p in partitions
                }
        except KafkaError as error:
            raise LogReadError(f"Kafka does not tell where its log begins and ends: {error}") from (
                error
            )
        spans = {}
        for p in partitions:
            end = found_ends[p] if ends is None else ends.get((p.topic, p.partition), 0)
            spans[p.topic, p.partition] = Span(oldest[p], max(starts[p], oldest[p]), end)
        return spans

    async def _ends(
        self, partitions: Sequence[TopicPartition], oldest: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """Exact ends: what fetching the last listed record tells."""
        ends = await self._consumer.end_offsets(partitions)
        unknown = {p for p in partitions if ends[p] > oldest[p]}
        self._consumer.assign(list(unknown))
        for p in unknown:
            self._consumer.seek(p, ends[p] - 1)
        deadline = time.monotonic() + STALLED_S
        while unknown:
            await self._consumer.getmany(timeout_ms=POLL_MS)
            for p in list(unknown):
                if (end := readable_end(self._consumer, p)) is not None:
                    ends[p] = max(end, ends[p])
                    unknown.discard(p)
                    self._consumer.pause(p)
            if unknown and time.monotonic() > deadline:
                raise LogReadError(f"Kafka does not tell where {_named(unknown)} ends; try again")
        return dict(ends)

    async def read(self, spans: Mapping[Partition, Span]) -> AsyncIterator[PartitionBatch]:
        """Every record of the spans, in batches of one partition each.

        Raises:
            LogReadError: a part of a span cannot be had.
        """
        ends = {TopicPartition(*p): span.end for p, span in spans.items() if span.start < span.end}
        self._consumer.assign(list(ends))
        for p in ends:
            self._consumer.seek(p, spans[p.topic, p.partition].start)
        positions: dict[TopicPartition, int] = {}
        deadline = time.monotonic() + STALLED_S
        while ends:
            try:
                fetched = await self._consumer.getmany(timeout_ms=POLL_MS)
            except OffsetOutOfRangeError as error:
                raise LogReadError(
                    f"the log no longer holds what was to be read ({error}): retention overtook "
                    "the reading, or its broker lost data; start again"
                ) from error
            except KafkaError as error:
                raise LogReadError(f"Kafka cannot be read: {error}") from error
            for p in sorted(fetched):
                if p not in ends:
                    continue
                records = fetched[p]
                if records[-1].offset >= ends[p]:
                    records = [record for record in records if record.offset < ends[p]]
                if records:
                    yield PartitionBatch(p.topic, p.partition, records)
            now = {p: await self._consumer.position(p) for p in ends}
            for p, position in now.items():
                if position >= ends[p]:
                    del ends[p]
                    self._consumer.pause(p)
            if now != positions:
                # Handling a batch takes its time, too: count from here.
                positions, deadline = now, time.monotonic() + STALLED_S
            elif time.monotonic() > deadline:
                raise LogReadError(
                    f"nothing came for {STALLED_S:g} s from {_named(ends)}, though the log should "
                    f"go on up to offset {max(ends.values())}; is the broker well?"
                )

    async def written(self, places: Mapping[Partition, int]) -> dict[Partition, int]:
        """When the records at these offsets were written, as Kafka keeps it.

        Left out are those that the log does not hold.

        Raises:
            LogReadError: the broker does not tell.
        """
        spans = await self.spans(places)
        wanted = {
            place: Span(span.oldest, places[place], places[place] + 1)
            for place, span in spans.items()
            if span.oldest <= places[place] < span.end
        }
        found: dict[Partition, int] = {}
        async for batch in self.read(wanted):
            for record in batch.records:
                found[batch.topic, batch.partition] = record.timestamp
        return found

    async def record(
        self, partition: Partition, offset: int
    ) -> ConsumerRecord[bytes, bytes] | None:
        """One record, or None where the log does not hold it (any more).

        Raises:
            LogReadError: the broker does not tell.
        """
        span = (await self.spans([partition], Start(offset)))[partition]
        if not span.oldest <= offset < span.end:
            return None
        batches = [batch async for batch in self.read({partition: span._replace(end=offset + 1)})]
        return batches[0].records[0] if batches else None


def _named(partitions: Iterable[TopicPartition]) -> str:
    """The first few partitions, for a message."""
    names = sorted(f"{p.topic}[{p.partition}]" for p in partitions)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
