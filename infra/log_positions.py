"""How far the log goes and how far consumer groups are, asked of the broker without reading it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from infra.config import Settings
from infra.errors import UnreachableError, reason_of
from infra.kafka import ADMIN_TIMEOUT_MS, Partition


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
    settings: Settings, topics: Mapping[str, int], groups: Sequence[str]
) -> LogPositions:
    """Ask the broker.

    Args:
        topics: topic → how many partitions it has.

    Raises:
        UnreachableError: it does not answer.
    """
    wanted = [TopicPartition(name, number) for name in topics for number in range(topics[name])]
    servers = settings.kafka_bootstrap_servers
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, group_id=None, request_timeout_ms=ADMIN_TIMEOUT_MS
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=ADMIN_TIMEOUT_MS)
    try:
        await consumer.start()
        await admin.start()
        committed = {
            name: _offsets(await admin.list_consumer_group_offsets(name)) for name in groups
        }
        oldest = await consumer.beginning_offsets(wanted)
        ends = await consumer.end_offsets(wanted)
    except (KafkaError, OSError) as error:
        raise UnreachableError(
            f"Kafka at {servers} does not tell how far its log goes ({reason_of(error)}); check "
            "that it is up"
        ) from error
    finally:
        await consumer.stop()
        await admin.close()
    partitions = {}
    for place in wanted:
        at = (place.topic, place.partition)
        known = [of[at] for of in committed.values() if at in of]
        partitions[at] = PartitionPosition(oldest[place], max([ends[place], *known]))
    return LogPositions(partitions, committed)


def _offsets(told: Mapping[TopicPartition, object]) -> dict[Partition, int]:
    """What a group has committed, of its partitions that have anything."""
    offsets = {(p.topic, p.partition): int(getattr(of, "offset", -1)) for p, of in told.items()}
    return {at: offset for at, offset in offsets.items() if offset >= 0}
