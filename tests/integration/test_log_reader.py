"""The log as it is read outside groups: exact ends, starts, gaps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.consumer import fetcher
from aiokafka.structs import ConsumerRecord

from infra.batch_sender import send_in_batches
from infra.kafka import Follower, Message, Partition, prepare_cluster
from infra.log_batches import ReadableBatches
from infra.log_reader import LogReader, Span, Start
from tests.integration.conftest import Broker

TOPIC = "events.like"


async def offsets(reader: LogReader, spans: dict[Partition, Span]) -> list[tuple[int, int]]:
    return [
        (record.partition, record.offset)
        async for batch in reader.read(spans)
        for record in batch.records
    ]


async def test_a_reading_has_every_record_once_up_to_the_exact_end(broker: Broker) -> None:
    cluster = await prepare_cluster(broker.settings)
    places = [(TOPIC, number) for number in range(cluster.partitions[TOPIC])]
    before_ms = int(time.time() * 1000)
    # Several records a batch: the embedded broker lists the beginning of the last batch as the end.
    messages = [Message(TOPIC, f"v{n % 50}", b"%d" % n) for n in range(3000)]
    ends = await send_in_batches(broker.settings, messages)
    assert set(ends) == set(places)
    async with LogReader(broker.settings) as reader:
        spans = await reader.spans(places)
        assert {place: span.end for place, span in spans.items()} == ends
        everything = [(p, offset) for (_, p), end in ends.items() for offset in range(end)]
        assert sorted(await offsets(reader, spans)) == sorted(everything)
        # From the middle of a batch, and to the middle of one.
        middle = await reader.spans(places, Start(offset=100), dict.fromkeys(places, 200))
        assert len(await offsets(reader, middle)) == 100 * len(places)
        # From beyond the end; from times before and after all of it.
        assert await offsets(reader, await reader.spans(places, Start(10**9))) == []
        by_time = await reader.spans(places, Start(ts_ms=before_ms))
        assert len(await offsets(reader, by_time)) == 3000
        later = await reader.spans(places, Start(ts_ms=before_ms + 3_600_000))
        assert await offsets(reader, later) == []
        place, end = next(iter(ends.items()))
        last = await reader.record(place, end - 1)
        assert last is not None
        assert last.offset == end - 1
        assert await reader.record(place, end) is None


async def test_gaps_of_transactions_do_not_hold_a_reading_up(broker: Broker) -> None:
    if broker.apache is None:
        pytest.skip("the embedded broker does not write markers of transactions")
    servers = broker.settings.kafka_bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic("transactions", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(
        bootstrap_servers=servers, transactional_id="test", linger_ms=0
    ) as producer:
        for _ in range(2):
            async with producer.transaction():
                await producer.send_and_wait("transactions", b"x", partition=0)
    async with LogReader(broker.settings) as reader:
        spans = await reader.spans([("transactions", 0)])
        assert spans["transactions", 0].end == 4  # the last offset is a marker
        assert await offsets(reader, spans) == [(0, 0), (0, 2)]
        assert await reader.record(("transactions", 0), 1) is None


async def test_what_an_open_transaction_wrote_is_not_waited_for(broker: Broker) -> None:
    if broker.apache is None:
        pytest.skip("the embedded broker does not keep transactions apart")
    servers = broker.settings.kafka_bootstrap_servers
    place = await _topic(servers, "open-transaction")
    await send_in_batches(broker.settings, [Message(place[0], "k", b"before")])
    async with AIOKafkaProducer(bootstrap_servers=servers, transactional_id="open") as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(*place[:1], b"not yet", partition=0)
        async with LogReader(broker.settings) as reader:
            spans = await reader.spans([place])
            assert spans[place].end == 1
            assert await offsets(reader, spans) == [(0, 0)]
        await producer.abort_transaction()


async def test_a_marker_that_compaction_emptied_ends_nobody(broker: Broker) -> None:
    if broker.apache is None:
        pytest.skip("the embedded broker does not compact")
    servers = broker.settings.kafka_bootstrap_servers
    place = await _topic(
        servers, "emptied-marker",
        **{"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0",
           "delete.retention.ms": "0"},
    )  # fmt: skip
    topic = place[0]
    dies = AIOKafkaProducer(bootstrap_servers=servers, transactional_id="dies")
    await dies.start()
    await dies.begin_transaction()
    await dies.send_and_wait(topic, b"aborted", key=b"k", partition=0)
    # Whoever comes after it by this name ends what it left open.
    async with AIOKafkaProducer(bootstrap_servers=servers, transactional_id="dies"):
        pass
    await dies.stop()
    emptied = False
    async with asyncio.timeout(60):
        while not emptied:
            # The newest segment is never compacted: each further record starts a new one.
            await send_in_batches(broker.settings, [Message(topic, "k", b"live")])
            await asyncio.sleep(0.2)
            batches = await _batches(servers, place)
            emptied = any(batch.is_control_batch and not list(batch) for batch in batches)
    async with LogReader(broker.settings) as reader:
        spans = await reader.spans([place])
        read = await offsets(reader, spans)
    assert read
    assert read[-1] == (0, spans[place].end - 1)
    assert (0, 0) not in read
    follower = Follower(broker.settings, {topic: 1}, [topic])
    caught_up = asyncio.Event()
    found: list[bytes | None] = []

    async def handle(_: str, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        found.extend(record.value for record in records)

    async def polled() -> None:
        if follower.caught_up and follower.lag == 0:
            caught_up.set()

    following = asyncio.ensure_future(follower.run(handle, polled))
    async with asyncio.timeout(20):
        await asyncio.wait(
            [asyncio.ensure_future(caught_up.wait()), following],
            return_when=asyncio.FIRST_COMPLETED,
        )
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert caught_up.is_set()
    assert set(found) == {b"live"}


async def _topic(servers: str, name: str, **config: str) -> Partition:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs=config)])
    await admin.close()
    return name, 0


async def _batches(servers: str, place: Partition) -> list[Any]:
    """The batches of a partition, as the broker has them."""
    found: list[Any] = []

    class Noting(ReadableBatches):
        def _unpack_records(self) -> Iterator[ConsumerRecord[bytes, bytes]]:
            while self._records.has_next():
                batch = self._records.next_batch()
                found.append(batch)
                self.next_fetch_offset = batch.next_offset
            yield from ()

    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetcher, "PartitionRecords", Noting)
        await consumer.start()
        consumer.assign([TopicPartition(*place)])
        [end] = (await consumer.end_offsets(consumer.assignment())).values()
        while await consumer.position(*consumer.assignment()) < end:
            await consumer.getmany(timeout_ms=100)
        await consumer.stop()
    return found
