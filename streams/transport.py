"""A Kafka transport for Faust that delivers chunks of records instead of single records.

Faust's cost is per delivered message: queues, events, acknowledgements and sensors in asyncio.
This transport keeps all of that machinery (groups, rebalancing, flow control, back-pressure,
monitoring) and lets one Faust message carry everything that one fetch returned for one partition.

**Commit rule.** An offset is committed only when every record at or below it has been processed.
An agent says so itself, by calling :meth:`Chunk.finish`; that Faust acknowledged a message says
nothing, since it also acknowledges messages whose agent raised. A chunk that was never finished is
never committed past, and is delivered again after a restart or a rebalance.

Registered in the entry point group ``faust.transports``; use a broker URL like
``batched://127.0.0.1:9092``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple, cast

import faust
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message

from infra.kafka_waiting import once_there
from infra.log_batches import stable_end
from infra.retention import NextOffsets
from streams.records import Record

FINISH_POLL_S: Final = 0.01
#: How often to look which partitions are read to their end.
READ_LOOK_S: Final = 0.5

logger = logging.getLogger(__name__)


class Chunk:
    """The records of one partition that one fetch returned, in offset order."""

    __slots__ = ("finished", "first_offset", "next_offset", "records", "tp")

    def __init__(self, tp: TP, records: Sequence[Record]) -> None:
        self.tp = tp
        self.records = records
        self.first_offset = records[0].offset
        self.next_offset = records[-1].offset + 1
        self.finished = False

    def finish(self) -> None:
        """Every record of the chunk has been processed: its offsets may be committed."""
        self.finished = True

    def __len__(self) -> int:
        return len(self.records)


class CommitLedger:
    """Which offset of each partition may be committed, given chunks finished in any order."""

    def __init__(self) -> None:
        self._delivered: defaultdict[TP, deque[Chunk]] = defaultdict(deque)
        self._told: dict[TP, int] = {}

    def delivered(self, chunk: Chunk) -> None:
        """A chunk is on its way to an agent; a delivery from further back replaces later ones."""
        chunks = self._delivered[chunk.tp]
        while chunks and chunks[-1].next_offset > chunk.first_offset:
            chunks.pop()
        chunks.append(chunk)

    def committable(self, tp: TP) -> int | None:
        """The offset after the longest finished prefix, or None when there is nothing new.

        It only goes forward: what is delivered again from before it was finished once, so nothing
        waits for it.
        """
        chunks, told = self._delivered.get(tp), self._told.get(tp, 0)
        offset = told
        while chunks and (chunks[0].finished or chunks[0].next_offset <= told):
            offset = max(offset, chunks.popleft().next_offset)
        if offset == told:
            return None
        self._told[tp] = offset
        return offset

    def finished_before(self, tp: TP, offset: int) -> bool:
        """Whether every chunk that was delivered from before the offset is finished."""
        chunks = self._delivered.get(tp, ())
        return all(chunk.finished or chunk.first_offset >= offset for chunk in chunks)

    def finished(self, partitions: Iterable[TP]) -> bool:
        """Whether every chunk that was delivered of these partitions is finished."""
        return all(chunk.finished for tp in partitions for chunk in self._delivered.get(tp, ()))

    def forget(self, partitions: Iterable[TP]) -> None:
        """Partitions were revoked or sought: whatever is under way will be delivered again."""
        for tp in partitions:
            self._delivered.pop(tp, None)
            self._told.pop(tp, None)

    def partitions(self) -> list[TP]:
        """Partitions with chunks under way or waiting to be committed."""
        return [tp for tp, chunks in self._delivered.items() if chunks]


class End(NamedTuple):
    """Where a partition ended, and when (epoch ms) the broker said so."""

    offset: int
    polled_ms: int


class ChunkSchema(faust.Schema[Any, Any]):
    """Hands a chunk to the agent as it is: records are decoded by whoever understands them."""

    def compile(self, app: Any, **_: Any) -> Any:
        """Faust asks for a decoding function once per topic."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return create_event(message.key, message.value, message.headers, message)

        return decode


class BatchedConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, with the fetch wait that the transport was given."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust fixes 1,500 ms. A broker that wakes waiting fetches late (the embedded one does)
        # would add that to the freshness of every grid.
        consumer._fetch_max_wait_ms = BatchedTransport.fetch_max_wait_ms
        # Faust asks for this only where it writes transactions itself. What a producer took back
        # by aborting its transaction has not happened.
        consumer._isolation_level = "read_committed"
        return consumer

    def partition_state(self, tp: TP) -> Any:
        """What the client knows of an assigned partition: position, end, time of the last poll."""
        return self._ensure_consumer()._subscription.subscription.assignment.state_value(tp)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Warn of a partition that does not move on.

        Faust looks at what the consumer knows of the partition from another thread. Right after a
        rebalance that is nothing yet, and a warning that cannot be given is no reason to end.
        """
        with suppress(AssertionError, AttributeError):
            super().verify_event_path(now, tp)


class BatchedConsumer(driver.Consumer):
    """Faust's aiokafka consumer, delivering one message per partition and fetch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.ledger = CommitLedger()
        self._leaving = False
        self._seeks = 0
        self._seeking = 0
        self._rewind = False
        self._ends: dict[TP, End] = {}
        self._read_until_ms: dict[TP, int] = {}
        self._next_look = 0.0
        super().__init__(*args, **kwargs)
        self._next = NextOffsets(f"group {self.app.conf.id}")

    def _new_consumer_thread(self) -> BatchedConsumerThread:
        return BatchedConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Yield ``(partition, message)`` with a :class:`Chunk` as the message's value."""
        if self._rewind:
            if not self.flow_active:
                await self.can_resume_flow.wait()
            self._rewind = False
            try:
                if self.assignment():
                    await self.perform_seek()
            except IllegalStateError:
                # Moved again meanwhile: once more, for the partitions it has then.
                self._rewind = True
                return
        seeks = self._seeks
        records, active = await self._wait_next_records(timeout)
        moved = self._leaving or not self.flow_active or self._seeks != seeks
        if not moved and not self._seeking:
            self._look_for_ends()
        if not records or self.should_stop:
            return
        generation_id = self.app.consumer_generation_id
        if moved:
            # A rebalance moved the positions while this fetch was under way: these records may
            # lie beyond a part that was not processed. Committing past it would lose it.
            self._rewind = True
            return
        for tp, partition_records in records.items():
            if partition_records:
                await self._next.came(
                    tp,
                    partition_records[0].offset,
                    partition_records[-1].offset + 1,
                    partial(self._oldest, tp),
                )
            out_of_date = self.app.consumer_generation_id != generation_id
            if self._leaving or not self.flow_active or out_of_date:
                self._rewind = True
                return
            if not partition_records:
                continue
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            chunk = Chunk(tp, partition_records)
            self.ledger.delivered(chunk)
            yield tp, self._chunk_message(tp, chunk, generation_id)

    async def _oldest(self, tp: TP) -> int:
        """The offset that a partition begins at."""
        return int((await once_there(partial(self.earliest_offsets, tp)))[tp])

    def _chunk_message(self, tp: TP, chunk: Chunk, generation_id: int) -> ConsumerMessage:
        last = chunk.records[-1]
        value: Any = chunk
        # The stream drops a message silently unless it carries the current generation.
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            0,
            None,
            None,
            value,
            None,
            tp=tp,
            generation_id=generation_id,
        )

    def lag(self) -> dict[tuple[str, int], int]:
        """Records of the assigned partitions that the broker has and that are not committed."""
        lag = {}
        thread = cast(BatchedConsumerThread, self._thread)
        under_way = set(self.ledger.partitions())
        for tp in self.assignment():
            reached = self._committed_offset.get(tp) or 0
            if tp not in under_way:
                # What lies behind the last record, markers of transactions or what compaction
                # left, is never committed.
                with suppress(AssertionError, AttributeError):
                    reached = max(thread.partition_state(tp).position, reached)
            lag[tp.topic, tp.partition] = max((self.highwater(tp) or 0) - reached, 0)
        return lag

    def read_until_ms(self, topic: str) -> dict[int, int]:
        """Until when (epoch ms) the assigned partitions of a topic are processed.

        Everything that stood in a partition at that time is. One that was not read to its end since
        it was assigned is missing.
        """
        return {tp.partition: ms for tp, ms in self._read_until_ms.items() if tp.topic == topic}

    def _look_for_ends(self) -> None:
        """Note which partitions are fetched to their end, and which ends are processed by now.

        To be called right after a fetch returned: what it did not return is with the agents, so
        when the next one returns, all up to an end noted now is in the ledger.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + READ_LOOK_S
        thread = cast(BatchedConsumerThread, self._thread)
        for tp in self.assignment():
            end = self._ends.get(tp)
            if end is not None:
                if not self.ledger.finished_before(tp, end.offset):
                    continue
                self._read_until_ms[tp] = end.polled_ms
                del self._ends[tp]
            # While partitions move, the client may not know this one any more.
            with suppress(AssertionError, AttributeError):
                state = thread.partition_state(tp)
                # In this order: what is fetched meanwhile makes the position too low.
                polled_ms, stable = state.timestamp, stable_end(state.highwater, state.lso)
                position = state.position
                if polled_ms is not None and stable is not None and position >= stable:
                    self._ends[tp] = End(position, polled_ms)

    def _new_offset(self, tp: TP) -> int | None:
        # Faust's own lists of acknowledged offsets would grow for ever: they are not used.
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self.ledger.committable(tp)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        for tp in self.ledger.partitions():
            if topics is None or tp in topics or tp.topic in topics:
                yield tp

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets inside and between chunks that hold no record need no bookkeeping."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go back to the committed offsets, or to the beginning where nothing was committed yet.

        The client leaves partitions without a committed offset where they are: what was fetched
        from them and dropped would never come again. And Faust remembers an offset as committed
        even when the broker refused it: what comes again could then not be committed.
        """
        committed: Mapping[TP, int] = await super().seek_to_committed()
        unread = [tp for tp, offset in committed.items() if not offset]
        if unread:
            await self._thread.seek_to_beginning(*unread)
        for tp in unread:
            self._committed_offset[tp] = None
        self._next.begin({tp: offset for tp, offset in committed.items() if offset})
        return committed

    async def perform_seek(self) -> None:
        """Go back to the committed offsets; chunks under way will be delivered again."""
        self._seeks += 1
        self._seeking += 1
        self._ends.clear()
        self.ledger.forget(self.ledger.partitions())
        try:
            await super().perform_seek()
        finally:
            self._seeking -= 1
            self._seeks += 1

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget the partitions; what is not committed is delivered again to whoever has them.

        What is under way is finished and committed first, if that takes no longer than is told:
        nobody has to do it again then.
        """
        self._leaving = True
        try:
            await self._finish(revoked)
        finally:
            self._leaving = False
        await super().on_partitions_revoked(revoked)
        self.ledger.forget(revoked)
        for tp in revoked:
            self._ends.pop(tp, None)
            self._read_until_ms.pop(tp, None)

    async def _finish(self, partitions: set[TP]) -> None:
        deadline = time.monotonic() + BatchedTransport.finish_wait_s
        while not self.should_stop and not self.ledger.finished(partitions):
            if time.monotonic() >= deadline:
                if BatchedTransport.finish_wait_s:
                    logger.warning(
                        "partitions move and what was taken from them is not finished after %g s: "
                        "it is done again by whoever has them next, and a dead letter of it may "
                        "be sent twice", BatchedTransport.finish_wait_s,
                    )  # fmt: skip
                break
            await asyncio.sleep(FINISH_POLL_S)
        # A commit that is under way is waited for instead; it knows nothing of what finished since.
        if not await self.commit():
            await self.commit()


class BatchedTransport(driver.Transport):
    """Kafka by aiokafka, in chunks.

    Attributes:
        fetch_max_wait_ms: how long the broker may hold a fetch that finds nothing.
        finish_wait_s: how long partitions that move wait until what was taken is finished.
    """

    fetch_max_wait_ms: ClassVar[int] = 500
    finish_wait_s: ClassVar[float] = 0.0

    Consumer: ClassVar[type] = BatchedConsumer
