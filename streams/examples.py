"""Served pages → labelled pages: ``explore.impressions`` and events → ``explore.examples``.

Offsets are committed only up to what nothing waits for any more, so after a crash the pages that
waited are read again with their events. A page sent just before the crash would then be sent
twice: the newest records of ``explore.examples`` tell which were.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.config import Settings
from infra.kafka import FOLLOWER_WAIT_MS, METADATA_MAX_AGE_MS, ClusterInfo, Message, take_added
from infra.kafka_clients import kafka_consumer
from infra.log_batches import readable_end
from infra.log_reader import LogReader
from infra.metrics import (
    LABELS_DROPPED,
    LABELS_LATE,
    LABELS_WAITING,
    PAGES_LABELLED,
    SCORE_DRIFT,
)
from infra.topics import EXAMPLES_TOPIC, IMPRESSIONS_TOPIC
from models.actions import HEADS, action_in
from models.evaluation.score_drift import ScoreDrift
from models.events import InvalidEventError, MediaEvent, parse_event
from models.examples.from_pages import LabelledPage, parse_labelled_page
from models.examples.page_join import ExampleJoin, JoinConfig
from models.explore.impressions import Impression, parse_impression
from models.viewers.forgotten import ForgottenViewers
from streams.clock import now_ms
from streams.letters import Letters
from streams.records import Record, Sender, read_records
from streams.rights.forgotten import known
from streams.topology import EXAMPLES_GROUP, flow

#: Newest examples of each partition whose request ids are read at the start.
REMEMBERED: Final = 5_000
COMMIT_INTERVAL_S: Final = 1.0
#: A drift that stays is told of again after so long.
ALARM_INTERVAL_S: Final = 600.0

_json = msgspec.json.Encoder()
logger = logging.getLogger(__name__)


class ExampleStream:
    """Labels every served page once, and watches what the rankers predict on them."""

    def __init__(
        self,
        settings: Settings,
        cluster: ClusterInfo,
        sender: Sender,
        letters: Letters | None = None,
        forgotten: ForgottenViewers | None = None,
    ) -> None:
        self._forgotten = forgotten if forgotten is not None else ForgottenViewers()
        self._settings = settings
        self._sender = sender
        self._join = ExampleJoin(
            JoinConfig(
                window_ms=settings.label_window_ms,
                late_ms=settings.label_late_ms,
                page_size=settings.grid_size,
            )
        )
        self._drift = ScoreDrift()
        self._letters = letters or Letters(sender)
        self._partitions = [
            TopicPartition(topic, number)
            for topic in flow("examples").reads
            for number in range(cluster.partitions[topic])
        ]
        self._examples = [
            (topic, number)
            for topic in flow("examples sent").reads
            for number in range(cluster.partitions[topic])
        ]
        # Partition → Kafka's timestamp of the newest record read.
        self._read_ms: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._committed_s = self._alarmed_s = float("-inf")

    def forget(self) -> None:
        """Drop the pages that wait of who is forgotten by now."""
        self._join.forget(self._forgotten.is_forgotten)

    async def run(self) -> None:
        """Label pages as their time comes, until cancelled."""
        await self._remember()
        consumer = kafka_consumer(
            self._settings,
            group_id=EXAMPLES_GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=max(self._settings.fetch_max_wait_ms, FOLLOWER_WAIT_MS),
            max_partition_fetch_bytes=self._settings.max_message_bytes,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )
        try:
            await consumer.start()
            consumer.assign(self._partitions)
            while True:
                self._partitions += await take_added(consumer, flow("examples").reads)
                fetched = await consumer.getmany(timeout_ms=1000)
                for partition, records in fetched.items():
                    self._take(partition, records)
                await self._letters.send()
                await self._send(await self._read_until_ms(consumer))
                if time.monotonic() - self._committed_s >= COMMIT_INTERVAL_S:
                    await self._commit(consumer)
        finally:
            await consumer.stop()

    async def _remember(self) -> None:
        async with LogReader(self._settings) as reader:
            spans = {
                place: span._replace(start=max(span.start, span.end - REMEMBERED))
                for place, span in (await reader.spans(self._examples)).items()
            }
            async for batch in reader.read(spans):
                pages = read_records(EXAMPLES_TOPIC, batch.records, parse_labelled_page)
                self._join.remember(page.request_id for page in pages)

    def _take(self, partition: TopicPartition, records: Sequence[Any]) -> None:
        topic, number = partition
        read_ms = now_ms()
        self._read_ms[partition] = records[-1].timestamp
        for record in known(self._forgotten, records):
            place = (topic, number, record.offset)
            if topic == IMPRESSIONS_TOPIC:
                self._page(record, place, read_ms)
                continue
            try:
                event = parse_event(topic, record.value, read_ms)
            except InvalidEventError:
                continue
            if isinstance(event, MediaEvent):
                self._join.add_event(action_in(topic, event.long), event, place, read_ms)

    def _page(self, record: Record, place: tuple[str, int, int], read_ms: int) -> None:
        refuse = self._letters.refuse
        for page in read_records(IMPRESSIONS_TOPIC, [record], parse_impression, refuse):
            self._join.add_page(page, place, read_ms)
            self._watch(page)

    def _watch(self, page: Impression) -> None:
        predicted = [item.probabilities for item in page.items]
        self._drift.add(
            page.versions.get("rankers", ""),
            np.array([list(p.by_head().values()) for p in predicted]).reshape(-1, len(HEADS)),
        )
        drift = self._drift.drift()
        for head, divergence in drift.items():
            SCORE_DRIFT.labels(head).set(divergence)
        alarm = self._settings.score_drift_alarm
        drifted = [f"{head} {of:.2f}" for head, of in drift.items() if of > alarm]
        if drifted and time.monotonic() - self._alarmed_s >= ALARM_INTERVAL_S:
            self._alarmed_s = time.monotonic()
            logger.warning(
                "predictions of rankers %s have drifted since they went live (%s nats, alarm at "
                "%g): compare features with what they were, or train again",
                self._drift.version, ", ".join(drifted), alarm,
            )  # fmt: skip

    async def _read_until_ms(self, consumer: AIOKafkaConsumer) -> int:
        """The time up to which everything that was sent has been read."""
        until = now_ms()
        for partition in self._partitions:
            behind = (readable_end(consumer, partition) or 0) - await consumer.position(partition)
            if behind > 0:
                until = min(until, self._read_ms.get(partition, 0))
        return until

    async def _send(self, until_ms: int) -> None:
        late, dropped = self._join.late, self._join.dropped
        pages = list(self._join.due(until_ms))
        LABELS_LATE.inc(self._join.late - late)
        LABELS_DROPPED.inc(self._join.dropped - dropped)
        for what, waiting in self._join.waiting().items():
            LABELS_WAITING.labels(what).set(waiting)
        if pages:
            await self._sender.send(example_messages(pages))
            PAGES_LABELLED.inc(len(pages))

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        held = self._join.held()
        offsets = {
            partition: held[partition] if partition in held else await consumer.position(partition)
            for partition in self._partitions
        }
        moved = {
            partition: offset
            for partition, offset in offsets.items()
            if self._committed.get(partition) != offset
        }
        if moved:
            await consumer.commit(moved)
            self._committed |= moved
        self._committed_s = time.monotonic()


def example_messages(pages: Iterable[LabelledPage]) -> list[Message]:
    """The records of labelled pages."""
    return [Message(EXAMPLES_TOPIC, page.viewer_id, _json.encode(page)) for page in pages]
