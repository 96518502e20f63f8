"""What retention deletes before a reader has come so far is said.

A client goes on from the oldest record that there is, without a word. Gaps between offsets are
normal, though: markers of transactions stand there. Where the log begins tells them apart.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from aiokafka.errors import KafkaError

from infra.metrics import RECORDS_EXPIRED
from infra.topics import COMPACTED

#: Topic and partition.
Place = tuple[str, int]
#: Asks the broker where a partition begins.
Oldest = Callable[[], Awaitable[int]]

logger = logging.getLogger(__name__)


class NextOffsets:
    """Knows the offset that is to come next of each partition that somebody reads.

    Args:
        reader: who reads, for what is said.
    """

    def __init__(self, reader: str) -> None:
        self._reader = reader
        self._next: dict[Place, int] = {}

    def begin(self, offsets: Mapping[Place, int]) -> None:
        """Reading goes on from these, and of all other partitions from wherever it does."""
        self._next = dict(offsets)

    async def came(self, place: Place, first: int, following: int, oldest: Oldest) -> None:
        """Take in that records came; says what is missing before them.

        Args:
            first: offset of the first of them.
            following: the offset after the last one.
        """
        expected = self._next.get(place)
        self._next[place] = following
        topic, partition = place
        # Compaction leaves gaps everywhere, and nobody misses what it took.
        if expected is None or first <= expected or topic in COMPACTED:
            return
        try:
            begins = await oldest()
        except KafkaError as error:
            logger.info("Kafka does not tell where %s[%d] begins: %s", topic, partition, error)
            return
        lost = min(begins, first) - expected
        if lost <= 0:
            return
        RECORDS_EXPIRED.labels(topic).inc(lost)
        logger.error(
            "%s[%d]: retention deleted offsets %d to %d before %s read them: %d records are "
            "applied nowhere; set retention.ms of %s above the longest time that it may be "
            "stopped or behind",
            topic, partition, expected, expected + lost - 1, self._reader, lost, topic,
        )  # fmt: skip
