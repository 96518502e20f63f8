"""What is deleted elsewhere once the broker has it is acknowledged by every replica that counts."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import OutOfOrderSequenceNumber

from infra import batch_sender
from infra.batch_sender import BatchSender, Outbox, started_producer
from infra.kafka import Message, prepare_cluster
from infra.log_reader import LogReader


async def values(settings, topic):
    async with LogReader(settings) as reader:
        spans = await reader.spans([(topic, 0)])
        return [r.value async for batch in reader.read(spans) for r in batch.records]


async def test_nothing_is_acknowledged_while_a_replica_that_counts_is_away(
    broker, monkeypatch, caplog
):
    monkeypatch.setattr(batch_sender, "TELL_WAITING_S", 0.2)
    if broker.apache is None:
        pytest.skip("the embedded broker has no replicas")
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.settings.kafka_bootstrap_servers)
    await admin.start()
    # One broker, and a topic that asks for two.
    wanted = {"min.insync.replicas": "2"}
    await admin.create_topics([NewTopic("replicated", 1, 1, topic_configs=wanted)])
    outbox = Outbox(broker.settings)
    await outbox.start()
    sending = asyncio.ensure_future(outbox.send([Message("replicated", "k", b"letter")]))
    await asyncio.sleep(1)
    assert not sending.done()
    assert "Kafka has not acknowledged 1 records" in caplog.text
    enough = {"min.insync.replicas": "1"}
    topic = ConfigResource(ConfigResourceType.TOPIC, "replicated", configs=enough)
    await admin.alter_configs([topic])
    await admin.close()
    async with asyncio.timeout(30):
        await sending
    await outbox.stop()
    # Refused and repeated, it stands there once.
    assert await values(broker.settings, "replicated") == [b"letter"]


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


async def test_producers_are_idempotent_where_the_broker_numbers_them(broker, caplog):
    producer = await started_producer(broker.settings)
    assert not caplog.records
    assert (producer._txn_manager is not None) == (broker.apache is not None)
    await producer.stop()


@pytest.fixture(scope="module", autouse=True)
def topics(broker):
    asyncio.run(prepare_cluster(broker.settings))
