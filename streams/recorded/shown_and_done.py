"""Pages that were served and what viewers did, read from the log in that order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from infra.config import Settings
from infra.kafka import prepare_cluster
from infra.log_reader import LogReader, Start
from infra.topics import IMPRESSIONS_TOPIC
from models.actions import Action, action_in
from models.events import InvalidEventError, MediaEvent, parse_event


class Joined(Protocol):
    """What joins actions to pages.

    Attributes:
        skipped: records that could not be read.
    """

    skipped: int

    def show(self, value: bytes, at_ms: int) -> None:
        """Take in a record of ``explore.impressions``."""

    def act(self, action: Action, event: MediaEvent) -> None:
        """Take in what a viewer did."""


async def read_shown_and_done(
    settings: Settings, since_ms: int, topics: Iterable[str], into: Joined
) -> None:
    """Read all pages since a time, then all events of `topics`.

    Raises:
        UnreachableError: Kafka does not answer.
        LogReadError: the log cannot be read to its end.
    """
    cluster = await prepare_cluster(settings)
    async with LogReader(settings) as reader:
        for names in ((IMPRESSIONS_TOPIC,), tuple(topics)):
            places = [(t, number) for t in names for number in range(cluster.partitions[t])]
            spans = await reader.spans(places, Start(ts_ms=since_ms))
            async for batch in reader.read(spans):
                for record in batch.records:
                    if record.value is None:
                        continue
                    if batch.topic == IMPRESSIONS_TOPIC:
                        into.show(record.value, record.timestamp)
                        continue
                    try:
                        event = parse_event(batch.topic, record.value, record.timestamp)
                    except InvalidEventError:
                        into.skipped += 1
                        continue
                    if isinstance(event, MediaEvent):
                        into.act(action_in(batch.topic, event.long), event)
