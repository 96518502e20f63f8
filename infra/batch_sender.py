"""Records to Kafka in whole batches, built here, at about ten times the usual rate.

A producer's `send` costs a future, a lookup and several copies for each record. Here a record is
appended to the batch of its partition, and only batches are sent and waited for.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    KafkaTimeoutError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    UnknownError,
    UnknownProducerId,
    UnsupportedVersionError,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

from infra.config import Settings
from infra.kafka import METADATA_MAX_AGE_MS, Ends, Message, Partition
from infra.kafka_clients import kafka_producer
from infra.kafka_waiting import connect
from infra.metrics import KAFKA_FAILURES
from infra.refusals import kafka_unreachable
from infra.topics import TOUCHED_TOPIC
from infra.tracing import TRACEPARENT

BATCH_BYTES: Final = 256 * 1024
#: Batches unacknowledged at most: enough to keep the broker busy, little to hold in memory.
MAX_UNDER_WAY: Final = 16
TELL_EVERY: Final = 1000
#: A healthy broker answers within milliseconds.
TELL_WAITING_S: Final = 10.0
#: A producer that is given up may hold what the broker never takes.
CLOSE_TIMEOUT_S: Final = 5.0
#: What a broker answers that no longer knows a producer, after it lost its log or a part of it.
FORGOTTEN: Final = (
    OutOfOrderSequenceNumber,
    UnknownProducerId,
    InvalidProducerEpoch,
    ProducerFenced,
)
#: … and one that never gave producers numbers.
NUMBERS_NONE: Final = (UnknownError, UnsupportedVersionError)

logger = logging.getLogger(__name__)


async def started_producer(settings: Settings) -> AIOKafkaProducer:
    """A producer whose acknowledgement may be relied on: what was sent is deleted elsewhere then.

    Every replica that is in step has the record, so it outlives its leader. And a request that is
    repeated because its answer got lost adds nothing, unless the broker numbers no producers (the
    embedded one does not).

    Raises:
        KafkaError, OSError: no broker answers.
    """
    for idempotent in (True, False):
        producer = kafka_producer(
            settings,
            max_request_size=settings.max_message_bytes,
            max_batch_size=BATCH_BYTES,
            acks="all",
            enable_idempotence=idempotent,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )
        try:
            with _asking_for_a_number():
                await connect(producer)
        except BaseException as error:
            await producer.stop()
            if not (idempotent and isinstance(error, NUMBERS_NONE)):
                raise
            logger.info("Kafka numbers no producers (%r): repeated records may come twice", error)
        else:
            break
    return producer


@contextmanager
def _asking_for_a_number() -> Iterator[None]:
    """That a broker gives none is no error, as which the library logs it."""
    library = logging.getLogger("aiokafka.producer.sender")

    def wanted(record: logging.LogRecord) -> bool:
        return "InitProducerIdRequest" not in record.getMessage()

    library.addFilter(wanted)
    try:
        yield
    finally:
        library.removeFilter(wanted)


class Outbox:
    """Sends records and knows when the broker has them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer
        self._replacing = asyncio.Lock()

    async def start(self) -> None:
        """Connect.

        Raises:
            UnreachableError: no broker answers at the configured address.
        """
        try:
            self._producer = await started_producer(self._settings)
        except (KafkaError, OSError) as error:
            raise kafka_unreachable(self._settings, "does not answer", error) from error

    async def stop(self) -> None:
        """Send what is buffered, as far as the broker takes it soon, then disconnect."""
        await _close(self._producer)

    async def post(self, message: Message) -> None:
        """Send without waiting for the broker: for what may be lost in a crash."""
        await self._producer.send(message.topic, message.value, key=message.key.encode())

    async def send(self, messages: Iterable[Message], traceparent: str = "") -> None:
        """Return once the broker has acknowledged every record.

        Waits for a broker that is away as long as it takes; some records may then arrive twice.

        Args:
            traceparent: of the trace that they are part of; empty without one.

        Raises:
            KafkaError: what no waiting helps against.
        """
        records = list(messages)
        failures = 0
        while records:
            producer = self._producer
            sender = BatchSender(producer)
            try:
                for message in records:
                    await sender.add(message, traceparent)
                await self._finished(sender, len(records))
                return
            except FORGOTTEN as error:
                # The broker has lost count of this producer, not of what it has acknowledged.
                self._failed(error, failures)
                await self._replace(producer)
            except KafkaError as error:
                # A timeout is that of a full buffer: what is in it is sent as long as it takes.
                if not error.retriable and not isinstance(error, KafkaTimeoutError):
                    raise
                self._failed(error, failures)
            failures += 1
            await asyncio.sleep(min(2.0, 0.1 * 2**failures))

    async def _finished(self, sender: BatchSender, records: int) -> None:
        """Return once everything is acknowledged; now and then say that it is not yet."""
        finishing = asyncio.ensure_future(sender.finish())
        try:
            while not (await asyncio.wait([finishing], timeout=TELL_WAITING_S))[0]:
                KAFKA_FAILURES.inc()
                logger.warning(
                    "Kafka has not acknowledged %d records for %g s; waiting",
                    records,
                    TELL_WAITING_S,
                )
            await finishing
        finally:
            finishing.cancel()

    @staticmethod
    def _failed(error: KafkaError, failures: int) -> None:
        KAFKA_FAILURES.inc()
        logger.warning("Kafka takes no records (%r, %d in a row)", error, failures + 1)

    async def _replace(self, producer: AIOKafkaProducer) -> None:
        """Begin anew with another producer, unless somebody else did already."""
        async with self._replacing:
            if self._producer is not producer:
                return
            try:
                fresh = await started_producer(self._settings)
            except (KafkaError, OSError):
                return  # Away altogether: the next attempt comes here again.
            self._producer = fresh
            await _close(producer)


async def send_in_batches(
    settings: Settings, messages: Iterable[Message], on_sent: Callable[[int], None] | None = None
) -> Ends:
    """Send records; returns once the broker has all, with the ends of the partitions written.

    Each partition gets its records in the given order, in the partition that Kafka's own clients
    choose for the key.

    Args:
        on_sent: called now and then with the number of records sent so far.
    """
    async with batch_sender(settings) as sender:
        for sent, message in enumerate(messages, start=1):
            await sender.add(message)
            if on_sent is not None and sent % TELL_EVERY == 0:
                on_sent(sent)
                await asyncio.sleep(0)
        return await sender.finish()


@asynccontextmanager
async def batch_sender(settings: Settings) -> AsyncIterator[BatchSender]:
    """A :class:`BatchSender` connected to Kafka. What was not flushed when it is left is lost."""
    producer = await started_producer(settings)
    try:
        yield BatchSender(producer)
    finally:
        await _close(producer)


async def _close(producer: AIOKafkaProducer) -> None:
    """Send what is buffered and disconnect; a broker that is away is not waited for."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await producer.stop()
    except (TimeoutError, KafkaError) as error:
        logger.warning("Kafka did not take what was left to send: %r", error)
        await producer.client.close()


class BatchSender:
    """Collects records in batches of their partitions and sends those."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        # As they are when it begins: partitions may be added any time.
        self._partitions: dict[str, list[int]] = {}
        self._batches: dict[Partition, BatchBuilder] = {}
        self._under_way: dict[asyncio.Future[Any], tuple[Partition, int]] = {}
        self._ends: dict[Partition, int] = {}

    async def add(self, message: Message, traceparent: str = "") -> None:
        """Take a record; it leaves when its batch is full, or with the next `flush`.

        Args:
            traceparent: of the trace that it is part of; empty without one.
        """
        topic, text, value = message
        key = text.encode()
        headers = [(TRACEPARENT, traceparent.encode())] if traceparent else []
        partitions = self._partitions.get(topic) or await self._look_up(topic)
        at = topic, _partition(topic, key, partitions)
        batch = self._batches.get(at)
        if batch is None:
            batch = self._batches[at] = self._producer.create_batch()
        if batch.append(key=key, value=value, timestamp=None, headers=headers) is not None:
            return
        await self._send(at, batch)
        batch = self._batches[at] = self._producer.create_batch()
        if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
            # Larger than a batch: on its own, as large as the topic takes.
            sent = await self._producer.send_and_wait(
                topic, value, key=key, partition=at[1], headers=headers
            )
            self._ends[at] = sent.offset + 1

    async def flush(self) -> None:
        """Send everything taken so far, without waiting for the broker."""
        batches, self._batches = self._batches, {}
        for at, batch in batches.items():
            await self._send(at, batch)

    async def finish(self) -> Ends:
        """Return once the broker has everything; the ends of the partitions written."""
        await self.flush()
        while self._under_way:
            await self._settle()
        return self._ends

    async def _look_up(self, topic: str) -> list[int]:
        found = self._partitions[topic] = sorted(await self._producer.partitions_for(topic))
        return found

    async def _send(self, at: Partition, batch: BatchBuilder) -> None:
        records = batch.record_count()
        if not records:
            return
        topic, partition = at
        future = await self._producer.send_batch(batch, topic, partition=partition)
        self._under_way[future] = (at, records)
        if len(self._under_way) >= MAX_UNDER_WAY:
            await self._settle()

    async def _settle(self) -> None:
        """Wait for some batch to be acknowledged; raises what went wrong with it."""
        done, _ = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            at, records = self._under_way.pop(future)
            end = future.result().offset + records
            self._ends[at] = max(end, self._ends.get(at, 0))


_default_partitioner = DefaultPartitioner()


def _partition(topic: str, key: bytes, partitions: list[int]) -> int:
    """The partition of a key: what Kafka's own clients choose, where a client may look."""
    if topic == TOUCHED_TOPIC:
        # One record a viewer and batch, read by nobody outside: a hash in C instead of Python.
        return partitions[zlib.crc32(key) % len(partitions)]
    chosen: int = _default_partitioner(key, partitions, partitions)
    return chosen
