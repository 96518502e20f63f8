"""How far the log goes and how far consumer groups are, asked of the broker without reading it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.config import Settings
from infra.kafka import Partition
from infra.kafka_clients import kafka_consumer
from infra.kafka_waiting import connect
from infra.refusals import kafka_unreachable

#: A broker that needs longer is as good as away.
LIMIT_S: Final = 10.0


class PartitionPosition(NamedTuple):
    """Of one partition.

    Attributes:
        oldest: offset of the oldest record that the log still holds.
        end: offset after the newest record that is known of. The embedded broker names the
            beginning of the newest batch; what a group has committed corrects it.
    """

    oldest: int
    end: int


class LogPositions(NamedTuple):
    """Of some topics, and of consumer groups in them.

    Attributes:
        committed: group → partition → the offset it goes on from; none where it has none.
    """

    partitions: Mapping[Partition, PartitionPosition]
    committed: Mapping[str, Mapping[Partition, int]]

    def records(self, topic: str) -> int:
        """Records that were ever appended to a topic, as its offsets count them."""
        return sum(at.end for (name, _), at in self.partitions.items() if name == topic)

    def lag(self, group: str, topic: str) -> int:
        """Records of a topic that a group has not committed and the log still holds."""
        committed = self.committed.get(group, {})
        return sum(
            max(at.end - max(committed.get(partition, 0), at.oldest), 0)
            for partition, at in self.partitions.items()
            if partition[0] == topic
        )


async def log_positions(
    settings: Settings, topics: Mapping[str, int], groups: Mapping[str, Sequence[str]]
) -> LogPositions:
    """Ask the broker.

    Args:
        topics: topic → how many partitions it has.
        groups: consumer group → its topics.

    Raises:
        UnreachableError: it does not answer.
    """
    wanted = [TopicPartition(name, number) for name in topics for number in range(topics[name])]
    try:
        async with asyncio.timeout(LIMIT_S):
            committed = dict(
                zip(
                    groups,
                    await asyncio.gather(
                        *(
                            _committed(settings, group, [p for p in wanted if p.topic in names])
                            for group, names in groups.items()
                        )
                    ),
                    strict=True,
                )
            )
            async with _consumer(settings, None) as consumer:
                oldest = await consumer.beginning_offsets(wanted)
                ends = await consumer.end_offsets(wanted)
    except (KafkaError, OSError, TimeoutError) as error:
        raise kafka_unreachable(settings, "does not tell how far its log goes", error) from error
    partitions = {}
    for place in wanted:
        at = (place.topic, place.partition)
        known = [of[at] for of in committed.values() if at in of]
        partitions[at] = PartitionPosition(oldest[place], max([ends[place], *known]))
    return LogPositions(partitions, committed)


async def _committed(
    settings: Settings, group: str, wanted: Sequence[TopicPartition]
) -> dict[Partition, int]:
    """What a group has committed, of the partitions in which it has anything."""
    # Nothing is assigned, so that the group does not see this one as a member.
    async with _consumer(settings, group) as consumer:
        offsets = await asyncio.gather(*map(consumer.committed, wanted))
    told = zip(wanted, offsets, strict=True)
    return {(p.topic, p.partition): offset for p, offset in told if offset is not None}


@asynccontextmanager
async def _consumer(settings: Settings, group: str | None) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = kafka_consumer(settings, group_id=group, enable_auto_commit=False)
    try:
        await connect(consumer)
        yield consumer
    finally:
        await consumer.stop()
