"""The log as it is read outside groups: exact ends, starts, gaps."""

from __future__ import annotations

import time

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.batch_sender import send_in_batches
from infra.kafka import Message, Partition, prepare_cluster
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
