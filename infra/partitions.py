"""Partitions that are added while processes run are noticed and told.

Kafka tells of them only who asks. Consumer groups ask by themselves, at most
:data:`infra.kafka.METADATA_MAX_AGE_MS` apart; who reads partitions of its own choice adds them by
:func:`infra.kafka.take_added`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from infra.config import Settings
from infra.errors import UnreachableError
from infra.kafka import partition_counts
from infra.metrics import PARTITIONS

LOOK_INTERVAL_S: Final = 20.0

logger = logging.getLogger(__name__)


class PartitionWatch:
    """Knows how many partitions the topics have, and says when some were added.

    Attributes:
        counts: topic → partitions, as at the last look.
    """

    def __init__(self, settings: Settings, counts: Mapping[str, int]) -> None:
        self._settings = settings
        self.counts: dict[str, int] = {}
        self._note(counts)

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            try:
                await self.look()
            except UnreachableError as error:
                logger.info("no look at the partitions: %s", error)

    async def look(self) -> Mapping[str, int]:
        """Ask the broker; returns `counts`.

        Raises:
            UnreachableError: it does not answer.
        """
        self._note(await partition_counts(self._settings, list(self.counts)))
        return self.counts

    def _note(self, counts: Mapping[str, int]) -> None:
        for topic, count in counts.items():
            known = self.counts.get(topic, count)
            if count != known:
                logger.warning(
                    "%s has %d partitions now, and had %d: all are read from now on; records of "
                    "one key may stand in two of them", topic, count, known,
                )  # fmt: skip
            PARTITIONS.labels(topic).set(count)
        self.counts.update(counts)
