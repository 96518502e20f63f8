"""The batched transport in real Faust applications: what is delivered, and what is committed."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from faust import App
from faust.types import TP

from infra.doctor import CODECS
from streams.clock import now_ms
from streams.roles.runtime import agent, faust_app, running
from streams.topology import Flow
from streams.transport import Chunk
from tests.integration.conftest import DEADLINE_S

_names = itertools.count()
only_apache = pytest.mark.parametrize("broker", ["apache"], indirect=True)


class Log:
    """Topics of one test, its consumer group, and what it sends and reads."""

    def __init__(self, settings) -> None:
        self.settings = settings
        self.address = settings.kafka_bootstrap_servers
        self.number = next(_names)

    async def topic(self, partitions=1, **config) -> str:
        """A new topic; returns its name."""
        name = f"transport-{next(_names)}"
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=config)])
        await admin.close()
        return name

    @asynccontextmanager
    async def producer(self, **options) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(bootstrap_servers=self.address, **options)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def send(self, topic, values: Iterable[bytes | str], partition=0) -> int:
        """Send values to a partition; returns the offset after the last one."""
        async with self.producer() as producer:
            waiting = [
                await producer.send(topic, v.encode(), key=v.encode(), partition=partition)
                for v in values
            ]
            return (await asyncio.gather(*waiting))[-1].offset + 1

    async def committed(self, topic, partitions=1) -> list[int | None]:
        """What the group has committed, by partition."""
        async with self._consumer() as consumer:
            places = [TopicPartition(topic, number) for number in range(partitions)]
            consumer.assign(places)
            return [await consumer.committed(place) for place in places]

    async def read(self, topic, end) -> list[int]:
        """Offsets in partition 0 that hold a record."""
        async with self._consumer() as consumer:
            place = TopicPartition(topic, 0)
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            found = []
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += [record.offset for record in records]
            return found

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.address,
            group_id=f"freshgrid-transport-{self.number}",
            enable_auto_commit=False,
            fetch_max_wait_ms=20,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def reading(self, *topics, handle=None) -> AsyncIterator[Reader]:
        """A member of the group; unless told otherwise, it finishes every chunk."""
        app = faust_app(f"freshgrid-transport-{self.number}", self.settings)
        reader = Reader(app, handle)
        agent(app, Flow("reader", "worker", __file__, reads=topics), reader.take)
        async with running(app) as reader.stopped:
            yield reader


class Reader:
    """Notes what it is given, then does what the test wants done."""

    def __init__(self, app: App, handle: Callable[[Chunk], Awaitable[None]] | None) -> None:
        self.app = app
        self.stopped: asyncio.Future[None]
        self.chunks: list[Chunk] = []
        self.offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
        self.values: list[str] = []
        self._handle = handle or finish

    async def take(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        for record in chunk.records:
            self.offsets[tuple(chunk.tp)].append(record.offset)
            self.values.append(record.value.decode())
        await self._handle(chunk)

    async def until(self, condition) -> None:
        """Wait for a condition to hold; the reader may not crash meanwhile."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                assert not self.stopped.done(), "the reader has crashed"
                await asyncio.sleep(0.01)


async def finish(chunk: Chunk) -> None:
    chunk.finish()


async def hold(chunk: Chunk) -> None:
    """Hand back control without having finished: somebody else will, or nobody."""


@pytest.fixture
def log(broker) -> Log:
    return Log(broker.settings)


def numbers(start, stop):
    return [str(number) for number in range(start, stop)]


@pytest.mark.parametrize("partitions", [1, 8, 64])
async def test_busy_and_idle_partitions_are_read_once_and_committed(log, partitions):
    busy = await log.topic(partitions)
    idle = await log.topic(partitions)
    async with log.producer() as producer, log.reading(busy, idle) as reader:
        waiting = [
            await producer.send(busy, str(number).encode(), partition=number % partitions)
            for number in range(2000)
        ]
        ends = [0] * partitions
        for sent in await asyncio.gather(*waiting):
            ends[sent.partition] = max(ends[sent.partition], sent.offset + 1)
        await reader.until(lambda: len(reader.values) >= 2000)
        # A topic that was idle so far is heard at once, between others.
        await producer.send_and_wait(idle, b"late", partition=partitions - 1)
        await producer.send_and_wait(busy, b"more", partition=0)
        await reader.until(lambda: len(reader.values) >= 2002)
    ends[0] += 1
    assert sorted(reader.values) == sorted([*numbers(0, 2000), "late", "more"])
    assert all(reader.offsets[busy, number] == list(range(end)) for number, end in enumerate(ends))
    assert await log.committed(busy, partitions) == ends
    assert await log.committed(idle, partitions) == [None] * (partitions - 1) + [1]


async def test_an_unfinished_chunk_holds_back_those_after_it(log):
    topic = await log.topic()
    async with log.reading(topic, handle=hold) as reader:
        await log.send(topic, ["first"])
        await reader.until(lambda: reader.values == ["first"])
        await log.send(topic, ["second"])
        await reader.until(lambda: reader.values == ["first", "second"])
        reader.chunks[1].finish()
    assert await log.committed(topic) == [None]

    never = asyncio.Event()

    async def hold_the_third(chunk: Chunk) -> None:
        if chunk.records[0].value == b"third":
            await never.wait()

    async with log.reading(topic, handle=hold_the_third) as reader:
        await reader.until(lambda: reader.values == ["first", "second"])
        await log.send(topic, ["third"])
        await reader.until(lambda: reader.values == ["first", "second", "third"])
        # In any order; the last chunk is still being processed when the member stops.
        for chunk in reversed(reader.chunks[:-1]):
            chunk.finish()
    assert await log.committed(topic) == [2]


async def test_a_partition_is_read_up_to_now_unless_a_chunk_is_under_way(log):
    topic = await log.topic(2)

    def read_ms(partition):
        return reader.app.consumer.read_until_ms(topic).get(partition, 0)

    async with log.reading(topic, handle=hold) as reader:
        await log.send(topic, ["held"])
        await reader.until(lambda: reader.chunks)
        held_ms = now_ms()
        await reader.until(lambda: read_ms(1) > held_ms)
        assert read_ms(0) <= held_ms
        # Nor does it end what is delivered again.
        await reader.app.consumer.perform_seek()
        await reader.until(lambda: len(reader.chunks) == 2)
        again_ms = now_ms()
        await reader.until(lambda: read_ms(1) > again_ms)
        assert read_ms(0) <= held_ms
        reader.chunks[1].finish()
        await reader.until(lambda: read_ms(0) > again_ms)


async def test_a_partition_that_never_rests_is_read_up_to_now(log):
    topic = await log.topic()
    async with log.producer() as producer, log.reading(topic) as reader:

        async def send() -> None:
            while True:
                await producer.send_and_wait(topic, b"more", partition=0)

        sending = asyncio.create_task(send())
        await reader.until(lambda: reader.chunks)
        later_ms = now_ms() + 1000
        await reader.until(lambda: reader.app.consumer.read_until_ms(topic).get(0, 0) > later_ms)
        sending.cancel()


async def test_a_chunk_that_raised_is_delivered_again_after_a_restart(log):
    topic = await log.topic(2)

    async def fail(chunk: Chunk) -> None:
        if chunk.records[-1].value == b"bad":
            raise RuntimeError("as the test wants it")
        chunk.finish()

    async with log.reading(topic, handle=fail) as reader:
        await log.send(topic, numbers(0, 10))
        await reader.until(lambda: len(reader.values) == 10)
        await log.send(topic, ["bad"])
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.wait((reader.stopped,))
    assert reader.values[-1] == "bad"
    [committed, untouched] = await log.committed(topic, 2)
    assert (committed or 0) <= 10
    assert untouched is None
    end = await log.send(topic, ["after"])
    async with log.reading(topic) as reader:
        await reader.until(lambda: "after" in reader.values)
    assert reader.values == [*numbers(committed or 0, 10), "bad", "after"]
    assert await log.committed(topic, 2) == [end, None]


async def test_what_is_not_committed_is_delivered_again_after_a_seek_back(log):
    topic = await log.topic()

    async def keep(chunk: Chunk) -> None:
        if chunk.records[-1].offset == 1 and len(reader.chunks) > 1:
            chunk.finish()

    async with log.reading(topic, handle=keep) as reader:
        await log.send(topic, ["a", "b"])
        await reader.until(lambda: reader.values == ["a", "b"])
        await reader.app.consumer.perform_seek()
        await reader.until(lambda: reader.values == ["a", "b"] * 2)
        assert await reader.app.consumer.commit()
        await log.send(topic, ["c"])
        await reader.until(lambda: reader.values[4:] == ["c"])
        await reader.app.consumer.perform_seek()
        await reader.until(lambda: reader.values[4:] == ["c", "c"])
    assert await log.committed(topic) == [2]


async def test_a_member_without_partitions_waits_for_one(log):
    topic = await log.topic()
    sent = itertools.count()

    def values(*readers):
        return {int(value) for reader in readers for value in reader.values}

    async with log.producer() as producer:

        async def send() -> int:
            number = next(sent)
            await producer.send_and_wait(topic, str(number).encode())
            return number

        async with log.reading(topic) as first:
            await send()
            await first.until(lambda: first.values)
            async with log.reading(topic) as second:
                both = first, second
                owner = first if first.app.consumer.assignment() else second
                assert sum(len(reader.app.consumer.assignment()) for reader in both) == 1
                newest = await send()
                await owner.until(lambda: newest in values(owner))
            newest = await send()
            await first.until(lambda: newest in values(first))
    assert values(*both) == set(range(newest + 1))
    assert await log.committed(topic) == [newest + 1]


async def test_a_chunk_under_way_moves_with_its_partition(log):
    topic = await log.topic(2)
    release = asyncio.Event()

    async def slowly(chunk: Chunk) -> None:
        await release.wait()
        chunk.finish()

    async with log.reading(topic, handle=slowly) as first:
        ends = [await log.send(topic, ["a0", "a1"], 0), await log.send(topic, ["b0", "b1"], 1)]
        await first.until(lambda: first.chunks)
        async with log.reading(topic) as second:
            await second.until(lambda: len(second.values) == 2)
            [(_, moved)] = second.offsets
            kept = 1 - moved
            # What the first member holds is not done, whoever owns its partition now.
            assert (await log.committed(topic, 2))[kept] is None
            release.set()
            await first.until(lambda: (topic, kept) in first.offsets)
            ends[moved] = await log.send(topic, ["moved"], moved)
            ends[kept] = await log.send(topic, ["kept"], kept)
            await second.until(lambda: second.values[-1] == "moved")
            await first.until(lambda: first.values[-1] == "kept")
    assert second.offsets == {(topic, moved): [0, 1, 2]}
    assert first.offsets[topic, kept][-3:] == [0, 1, 2]
    assert await log.committed(topic, 2) == ends


async def test_a_partition_without_a_position_ends_nobody(log):
    topic = await log.topic()
    async with log.reading(topic) as reader:
        await log.send(topic, ["a"])
        await reader.until(lambda: reader.values == ["a"])
        thread = reader.app.consumer._thread
        place = TopicPartition(topic, 0)
        state = thread._consumer._subscription.subscription.assignment.state_value(place)
        position, state._position = state._position, None  # as in the midst of a rebalance
        reader.app.consumer.verify_event_path(time.monotonic(), TP(topic, 0))
        state._position = position
        await log.send(topic, ["b"])
        await reader.until(lambda: reader.values == ["a", "b"])


@only_apache
async def test_records_of_aborted_transactions_are_not_read(log):
    topic = await log.topic()
    async with log.producer(transactional_id=f"transport-{log.number}") as producer:
        for number, commit in enumerate((True, False, True, False)):
            await producer.begin_transaction()
            for part in ("a", "b"):
                await producer.send_and_wait(topic, f"{number}{part}".encode(), partition=0)
            await (producer.commit_transaction if commit else producer.abort_transaction)()
    async with log.reading(topic) as reader:
        await reader.until(lambda: len(reader.values) >= 4)
        # What ends with an aborted transaction is read to its end, too.
        later_ms = now_ms()
        await reader.until(lambda: reader.app.consumer.read_until_ms(topic).get(0, 0) > later_ms)
        await reader.until(lambda: reader.app.consumer.lag() == {(topic, 0): 0})
        end = await log.send(topic, ["last"])
        await reader.until(lambda: reader.values[-1] == "last")
    assert reader.values == ["0a", "0b", "2a", "2b", "last"]
    assert reader.offsets[topic, 0] == [0, 1, 6, 7, 12]
    assert await log.committed(topic) == [end]


@only_apache
async def test_a_compacted_topic_is_read_and_committed_across_its_gaps(log):
    config = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0"}
    topic = await log.topic(**config)
    await log.send(topic, ["a", "b", "c", "a", "b", "d"])
    # The newest segment is never compacted: each further record starts a new one.
    async with asyncio.timeout(DEADLINE_S):
        while True:
            end = await log.send(topic, ["d"])
            kept = await log.read(topic, end)
            if not {0, 1} & set(kept):
                break
    async with log.reading(topic) as reader:
        await reader.until(lambda: reader.values and reader.offsets[topic, 0][-1] == end - 1)
    assert reader.values[:3] == ["c", "a", "b"]
    assert await log.committed(topic) == [end]
    # From a committed offset whose record is gone, the next one is read.
    async with log.reading(topic) as again:
        last = await log.send(topic, ["e"])
        await again.until(lambda: again.values)
    assert again.values == ["e"]
    assert await log.committed(topic) == [last]


@pytest.mark.parametrize("codec", CODECS)
async def test_every_codec_of_kafka_is_read(log, codec):
    topic = await log.topic()
    await log.send(topic, ["before"])
    async with log.producer(compression_type=codec, linger_ms=20) as producer:
        # Long enough that a producer compresses it, in one batch.
        sending = [await producer.send(topic, b"%d" % n * 200, partition=0) for n in range(9)]
        await asyncio.gather(*sending)
    await log.send(topic, ["after"])
    async with log.reading(topic) as reader:
        await reader.until(lambda: len(reader.values) >= 11)
    assert reader.values == ["before", *(str(n) * 200 for n in range(9)), "after"]
