"""The cluster, producers and readers of Kafka outside the consumer groups that Faust runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from infra.config import Settings
from infra.errors import UnreachableError
from infra.kafka_clients import kafka_admin, kafka_consumer
from infra.kafka_waiting import connect, once_there
from infra.log_batches import readable_end
from infra.metrics import KAFKA_SILENT
from infra.refusals import kafka_unreachable
from infra.retention import NextOffsets
from infra.topics import TOPICS

#: A follower keeps a copy of what changes slowly: it need not hear of it at once, and a fetch of
#: all partitions of many topics costs the embedded broker dearly.
FOLLOWER_WAIT_MS: Final = 250
#: Topic and number.
Partition = tuple[str, int]
#: Partition → the offset after the last record.
Ends = Mapping[Partition, int]

#: How old what a client knows of topics and leaders may be: partitions that are added are used as
#: soon as that.
METADATA_MAX_AGE_MS: Final = 20_000
# A broker on this machine answers in milliseconds, one across a network in well under a second.
ADMIN_TIMEOUT_MS: Final = 10_000
#: How often to look whether a topic that was created is there.
TOPICS_POLL_S: Final = 0.05
#: A broker is asked all the time and holds an answer for less than a second. One that gives none
#: for so long is away, or cannot be reached.
SILENT_S: Final = 5.0

logger = logging.getLogger(__name__)


class ClusterInfo(NamedTuple):
    """What a process learns from the cluster before it starts.

    `log_id` tells whose offsets a state holds: a broker that lost its log comes back with another.
    """

    log_id: str
    partitions: dict[str, int]


async def prepare_cluster(settings: Settings) -> ClusterInfo:
    """Create the topics that are missing and identify the cluster.

    Raises:
        UnreachableError: no broker answers at the configured address.
    """
    admin = kafka_admin(settings, request_timeout_ms=ADMIN_TIMEOUT_MS)
    try:
        await connect(admin)
        existing = set(await admin.list_topics())
        missing = [topic for topic in topics_to_create(settings) if topic.name not in existing]
        if missing:
            # Another process of the stack may be faster: that a topic exists is no error here.
            await admin.create_topics(missing)
        partitions = await _partition_counts(admin, list(TOPICS))
        return ClusterInfo(str((await admin.describe_cluster())["cluster_id"]), partitions)
    except (KafkaError, OSError) as error:
        raise kafka_unreachable(settings, "does not answer", error) from error
    finally:
        await admin.close()


def topics_to_create(settings: Settings) -> list[NewTopic]:
    """The topics as these settings want them."""
    more = {
        "max.message.bytes": str(settings.max_message_bytes),
        # All replicas but one: an acknowledged record outlives a broker, and one may be away.
        "min.insync.replicas": str(max(settings.replication_factor - 1, 1)),
    }
    return [
        NewTopic(
            name, settings.partitions, settings.replication_factor, topic_configs={**config, **more}
        )
        for name, config in TOPICS.items()
    ]


async def group_lag(settings: Settings, group: str, ends: Ends) -> int:
    """Records before `ends` that a consumer group has not committed yet.

    The ends are those that sending told: what a broker reports as the end of a partition may
    lag behind (the embedded one does).
    """
    committed = await committed_offsets(settings, group, ends)
    return sum(max(end - committed[partition], 0) for partition, end in ends.items())


async def committed_offsets(
    settings: Settings, group: str, partitions: Iterable[Partition]
) -> Ends:
    """What a consumer group has committed in these partitions; 0 where it has nothing yet."""
    async with _of_group(settings, group, partitions) as consumer:
        return {
            (p.topic, p.partition): await consumer.committed(p) or 0 for p in consumer.assignment()
        }


async def commit_offsets(settings: Settings, group: str, ends: Ends) -> None:
    """Commit offsets for a group that nobody joins: what Kafka is to remember of a reading.

    Raises:
        KafkaError: the broker does not take them.
    """
    async with _of_group(settings, group, ends) as consumer:
        await consumer.commit({TopicPartition(*at): end for at, end in ends.items()})


@asynccontextmanager
async def _of_group(
    settings: Settings, group: str, partitions: Iterable[Partition]
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer that knows a group's offsets; assigned by hand, so that it does not join it."""
    consumer = kafka_consumer(settings, group_id=group, enable_auto_commit=False)
    try:
        await connect(consumer)
        consumer.assign([TopicPartition(*partition) for partition in partitions])
        yield consumer
    finally:
        await consumer.stop()


async def partition_counts(settings: Settings, topics: Sequence[str]) -> dict[str, int]:
    """Topic → number of partitions, as the broker has them now.

    Raises:
        UnreachableError: no broker answers, or it has no such topic.
    """
    admin = kafka_admin(settings, request_timeout_ms=ADMIN_TIMEOUT_MS)
    try:
        await connect(admin)
        return await _partition_counts(admin, topics)
    except (KafkaError, OSError) as error:
        raise kafka_unreachable(settings, "does not tell the partitions", error) from error
    finally:
        await admin.close()


async def _partition_counts(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, int]:
    """Topic → number of partitions.

    Raises:
        UnreachableError: a topic does not exist.
    """
    deadline = time.monotonic() + ADMIN_TIMEOUT_MS / 1000
    while True:
        described = await admin.describe_topics(list(topics))
        counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
        absent = [topic for topic in topics if not counts.get(topic)]
        if not absent:
            return counts
        # Apache Kafka answers that it created a topic before every broker knows of it.
        if time.monotonic() > deadline:
            raise UnreachableError(
                f"Kafka has no topic {absent[0]} and did not create it; check that this client "
                "may create topics, or create it by hand"
            )
        await asyncio.sleep(TOPICS_POLL_S)


class Message(NamedTuple):
    """A record to send; without a value it takes the key out of a compacted topic."""

    topic: str
    key: str
    value: bytes | None


async def take_added(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> list[TopicPartition]:
    """Assign what was added to these topics, beside what is assigned; returns it.

    It is read from where the consumer's group stands, or from the beginning.
    """
    assigned = consumer.assignment()
    numbers = {topic: consumer.partitions_for_topic(topic) or () for topic in topics}
    known = {TopicPartition(topic, number) for topic in numbers for number in numbers[topic]}
    added = sorted(known - assigned)
    if added:
        positions = {partition: await consumer.position(partition) for partition in assigned}
        consumer.assign([*assigned, *added])
        for partition, position in positions.items():
            consumer.seek(partition, position)
    return added


class Heard:
    """Knows when a broker last said something of each partition, and says when it falls silent."""

    def __init__(self) -> None:
        self._heard: dict[TopicPartition, tuple[int | None, float]] = {}
        self._silent = False

    def note(self, polled_ms: Mapping[TopicPartition, int | None]) -> None:
        """Take in when each partition was polled last; a time that did not change is old."""
        now_s = time.monotonic()
        for partition, polled in polled_ms.items():
            known = self._heard.get(partition)
            if known is None or known[0] != polled:
                self._heard[partition] = polled, now_s
        silent_s = self.silent_s()
        KAFKA_SILENT.set(silent_s)
        if (silent_s >= SILENT_S) != self._silent:
            self._silent = not self._silent
            if self._silent:
                longest = min(self._heard, key=lambda partition: self._heard[partition][1])
                logger.warning(
                    "Kafka has said nothing of %s[%d] for %.0f s: what is known of its topics may "
                    "be old; check the brokers and KAFKA_BOOTSTRAP_SERVERS", *longest, silent_s,
                )  # fmt: skip
            else:
                logger.warning("Kafka answers again: its topics are read on")

    def silent_s(self) -> float:
        """Seconds since the partition of which nothing was heard for longest was polled."""
        now_s = time.monotonic()
        return now_s - min((at for _, at in self._heard.values()), default=now_s)


class ReadTo(NamedTuple):
    """How far a partition was read.

    Attributes:
        offset: the one that comes next.
        last_offset: of the last record, -1 where there was none.
        last_ms: when that was written, as Kafka keeps it.
    """

    offset: int
    last_offset: int = -1
    last_ms: int = -1


Handle = Callable[[str, Sequence[ConsumerRecord[bytes, bytes]]], Awaitable[None]]
Polled = Callable[[], Awaitable[None]]


class Follower:
    """Reads every partition of some topics from their beginning, those that are added as well.

    A process that keeps a copy of what the topics say (catalogue, vectors, versions) reads all of
    it at the start and then whatever is appended: one that starts late ends up like one that ran
    all along.

    Attributes:
        caught_up: everything that was there at the start has been handled.
        lag: records that the broker has and this reader was not given yet, as far as it told.

    Args:
        newest: topic → of each of its partitions only so many records are read, the newest at the
            start and all that come.
        first: topics that are read to the ends they have at the start before any other: what the
            others are about.
        begin: partition → how far another one has read it, and the log holds what follows; others
            are read from their beginning.
    """

    def __init__(
        self,
        settings: Settings,
        partitions: Mapping[str, int],
        topics: Sequence[str],
        newest: Mapping[str, int] | None = None,
        first: Collection[str] = (),
        begin: Mapping[Partition, ReadTo] | None = None,
    ) -> None:
        self._settings = settings
        self._read_to = dict(begin or {})
        self._newest = newest or {}
        self._first = first
        self._topics = topics
        self._partitions = [
            TopicPartition(topic, number) for topic in topics for number in range(partitions[topic])
        ]
        self._consumer: AIOKafkaConsumer
        self._heard = Heard()
        self.caught_up = False
        self.lag = 0

    @property
    def silent_s(self) -> float:
        """Seconds since the broker last told where some partition ends; it does so all the time."""
        return self._heard.silent_s()

    @property
    def up_to_date(self) -> bool:
        """Whether everything that the broker has now was handled, as far as can be known now."""
        return self.caught_up and self.lag == 0 and self.silent_s < SILENT_S

    async def read_to(self) -> dict[Partition, ReadTo]:
        """How far each partition was read, of what :meth:`run` is reading.

        Within `polled`, everything up to there has been handled and nothing after it.
        """
        read_to = {}
        for p in self._partitions:
            before = self._read_to.get((p.topic, p.partition), ReadTo(0))
            read_to[p.topic, p.partition] = before._replace(offset=await self._consumer.position(p))
        return read_to

    async def run(self, handle: Handle, polled: Polled | None = None) -> None:
        """Hand over batches of one topic until cancelled; the catalogue before the events.

        `polled` is called after each look at the broker, at least once a second.

        """
        following = NextOffsets("a copy of the topic")
        following.begin({place: known.offset for place, known in self._read_to.items()})
        behind = await once_there(self._begin)
        try:
            later = [of for of in self._partitions if of.topic not in self._first]
            self._consumer.pause(*later)
            while True:
                for partition, end in list(behind.items()):
                    if await self._consumer.position(partition) >= end:
                        del behind[partition]
                if later and not any(partition.topic in self._first for partition in behind):
                    self._consumer.resume(*later)
                    later = []
                self.caught_up = not behind
                fetched = await self._consumer.getmany(timeout_ms=1000)
                for partition in sorted(fetched):
                    records = fetched[partition]
                    await following.came(
                        partition, records[0].offset, records[-1].offset + 1,
                        partial(self._oldest, partition),
                    )  # fmt: skip
                    await handle(partition.topic, records)
                    last = records[-1]
                    self._read_to[partition.topic, partition.partition] = ReadTo(
                        last.offset + 1, last.offset, last.timestamp
                    )
                self._partitions += await take_added(self._consumer, self._topics)
                self._heard.note(
                    {at: self._consumer.last_poll_timestamp(at) for at in self._partitions}
                )
                self.lag = 0
                for partition in self._partitions:
                    end = readable_end(self._consumer, partition) or 0
                    self.lag += max(end - await self._consumer.position(partition), 0)
                if polled is not None:
                    await polled()
                if self.caught_up:
                    # Under a steady stream the next record is there already, and the next: asking
                    # for each of them costs the broker what others need.
                    await asyncio.sleep(FOLLOWER_WAIT_MS / 1000)
        finally:
            await self._consumer.stop()

    async def _begin(self) -> dict[TopicPartition, int]:
        """Stand where reading begins; returns where each partition ends now."""
        # Made here and not before: one that is never started is never closed.
        settings = self._settings
        self._consumer = kafka_consumer(
            settings,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=max(settings.fetch_max_wait_ms, FOLLOWER_WAIT_MS),
            max_partition_fetch_bytes=settings.max_message_bytes,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )
        try:
            await connect(self._consumer)
            self._consumer.assign(self._partitions)
            await self._consumer.seek_to_beginning(*self._partitions)
            ends: dict[TopicPartition, int] = await self._consumer.end_offsets(self._partitions)
            for partition in self._partitions:
                known = self._read_to.get((partition.topic, partition.partition))
                if known is not None:
                    self._consumer.seek(partition, known.offset)
                    continue
                most = self._newest.get(partition.topic)
                first = await self._consumer.position(partition)
                if most is not None and ends[partition] - most > first:
                    self._consumer.seek(partition, ends[partition] - most)
        except BaseException:
            await self._consumer.stop()
            raise
        return ends

    async def _oldest(self, partition: TopicPartition) -> int:
        """The offset that a partition begins at."""
        begins = await once_there(partial(self._consumer.beginning_offsets, [partition]))
        return int(begins[partition])
