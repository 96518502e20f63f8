"""Very many records to Kafka: whole batches, built here, at about ten times the usual rate.

A producer's `send` costs a future, a lookup and several copies for each record. Here a record is
appended to the batch of its partition, and only batches are sent and waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

from infra.config import Settings
from infra.kafka import Ends, Message

BATCH_BYTES: Final = 256 * 1024
#: Batches unacknowledged at most: enough to keep the broker busy, little to hold in memory.
MAX_UNDER_WAY: Final = 16
TELL_EVERY: Final = 1000

Place = tuple[str, int]


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
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        max_request_size=settings.max_message_bytes,
        max_batch_size=BATCH_BYTES,
    )
    await producer.start()
    try:
        yield BatchSender(producer)
    finally:
        await producer.stop()


class BatchSender:
    """Collects records in batches of their partitions and sends those."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._partitioner = DefaultPartitioner()
        self._partitions: dict[str, list[int]] = {}
        self._places: dict[tuple[str, str], Place] = {}
        self._batches: dict[Place, BatchBuilder] = {}
        self._under_way: dict[asyncio.Future[Any], tuple[Place, int]] = {}
        self._ends: dict[Place, int] = {}

    async def add(self, message: Message) -> None:
        """Take a record; it leaves when its batch is full, or with the next `flush`."""
        topic, key, value = message
        place = self._places.get((topic, key))
        if place is None:
            place = self._places[topic, key] = await self._place(topic, key)
        batch = self._batches.get(place)
        if batch is None:
            batch = self._batches[place] = self._producer.create_batch()
        if batch.append(key=key.encode(), value=value, timestamp=None) is not None:
            return
        await self._send(place, batch)
        batch = self._batches[place] = self._producer.create_batch()
        if batch.append(key=key.encode(), value=value, timestamp=None) is None:
            # Larger than a batch: on its own, as large as the topic takes.
            sent = await self._producer.send_and_wait(
                topic, value, key=key.encode(), partition=place[1]
            )
            self._ends[place] = sent.offset + 1

    async def flush(self) -> None:
        """Send everything taken so far, without waiting for the broker."""
        batches, self._batches = self._batches, {}
        for place, batch in batches.items():
            await self._send(place, batch)

    async def finish(self) -> Ends:
        """Return once the broker has everything; the ends of the partitions written."""
        await self.flush()
        while self._under_way:
            await self._settle()
        return self._ends

    async def _place(self, topic: str, key: str) -> Place:
        if topic not in self._partitions:
            self._partitions[topic] = sorted(await self._producer.partitions_for(topic))
        everyone = self._partitions[topic]
        return topic, self._partitioner(key.encode(), everyone, everyone)

    async def _send(self, place: Place, batch: BatchBuilder) -> None:
        records = batch.record_count()
        if not records:
            return
        topic, partition = place
        future = await self._producer.send_batch(batch, topic, partition=partition)
        self._under_way[future] = (place, records)
        if len(self._under_way) >= MAX_UNDER_WAY:
            await self._settle()

    async def _settle(self) -> None:
        """Wait for some batch to be acknowledged; raises what went wrong with it."""
        done, _ = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            place, records = self._under_way.pop(future)
            end = future.result().offset + records
            self._ends[place] = max(end, self._ends.get(place, 0))
