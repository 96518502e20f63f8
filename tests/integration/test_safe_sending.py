"""What is deleted elsewhere once the broker has it is acknowledged by every replica that counts."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber

from infra import batch_sender
from infra.batch_sender import BatchSender, Outbox, started_producer
from infra.kafka import Message, prepare_cluster
from infra.log_reader import LogReader


async def test_a_broker_that_stands_still_is_waited_for_and_named(broker, monkeypatch, caplog):
    if broker.apache is None:
        pytest.skip("the embedded broker cannot be paused")
    monkeypatch.setattr(batch_sender, "TELL_WAITING_S", 0.2)
    outbox = Outbox(broker.settings)
    await outbox.start()
    await outbox.send([Message("explore.dead_letters", "k", b"first")])
    broker.apache.pause()
    sending = asyncio.ensure_future(outbox.send([Message("explore.dead_letters", "k", b"letter")]))
    await asyncio.sleep(1)
    assert not sending.done()
    assert "Kafka has not acknowledged 1 records" in caplog.text
    broker.apache.resume()
    async with asyncio.timeout(30):
        await sending
    await outbox.stop()
    async with LogReader(broker.settings) as reader:
        places = [("explore.dead_letters", number) for number in range(broker.settings.partitions)]
        spans = await reader.spans(places)
        read = [r.value async for batch in reader.read(spans) for r in batch.records]
    assert read == [b"first", b"letter"]


async def test_a_broker_that_forgot_the_producer_is_sent_everything_by_another(broker, monkeypatch):
    outbox = Outbox(broker.settings)
    await outbox.start()
    await outbox.send([Message("events.like", "k", b"1")])
    finish, forgotten = BatchSender.finish, []

    async def forgetful(self):
        if not forgotten:
            forgotten.append(self)
            raise OutOfOrderSequenceNumber
        return await finish(self)

    monkeypatch.setattr(BatchSender, "finish", forgetful)
    first = outbox._producer
    await outbox.send([Message("events.like", "k", b"2")])
    assert outbox._producer is not first
    await outbox.send([Message("events.like", "k", b"3")])
    await outbox.stop()


async def test_every_replica_in_step_acknowledges_and_no_repetition_counts_twice(broker, caplog):
    producer = await started_producer(broker.settings)
    assert not caplog.records
    assert producer._sender._acks == -1
    assert (producer._txn_manager is not None) == (broker.apache is not None)
    await producer.stop()


@pytest.fixture(scope="module", autouse=True)
def topics(broker):
    asyncio.run(prepare_cluster(broker.settings))
