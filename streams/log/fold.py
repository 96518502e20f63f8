"""The log folded again, by the code that the workers run, into any store.

Into a :class:`infra.memory_store.MemoryStore` it is the pure fold of the log: what the state ought
to be. Into Redis it is how lost state comes back. Both end in the state that the workers reached:

* **Dead stays dead.** Records named in ``explore.dead_letters`` are left out: what was too far
  ahead of time, or waited for its media in vain, would be valid today. A redriven record stands
  in the log for itself.
* **The catalogue first.** Then an event without an author finds it at once; the complete copy
  that was sent into the log when its media came late is recognised by its ``event_id``. What
  waits for media that never came is parked again.
* **Forgotten stays forgotten.** What ``explore.forgotten`` names is left out.
* **Nothing is sent.** What folding causes was caused when the workers did it: it is in the log.
  For records that no worker has handled yet, give a `sender`.

Three things cannot be had from the log. A media whose author changed counts for its newest author,
one that compaction took out has none any more. And a record that was dead-lettered, delivered again
after a crash and found its media just then was applied, which its dead letter does not say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from infra.config import Settings
from infra.kafka import ClusterInfo, Ends, Message, Partition, prepare_cluster
from infra.log_reader import BEGINNING, Start
from infra.stores import Store
from infra.topics import DEAD_LETTERS_TOPIC
from models.actions import EVENT_TOPICS
from models.arrays.newest_told import NewestById
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC, InvalidEventError, decode_value
from streams.clock import now_ms
from streams.ingest import Ingest
from streams.log.whole_log import Batch, Kept, gap_error, open_log
from streams.records import Sender
from streams.rights.forgotten import read_forgotten

#: Records folded at once: many of one viewer fold together, and memory stays bounded.
CHUNK: Final = 5000

Progress = Callable[[int, int], None]


class Nowhere:
    """Takes messages that are in the log already."""

    async def send(self, messages: Iterable[Message]) -> None:
        """Drop them: the log has what follows from it already."""


class Report(NamedTuple):
    """What was folded.

    Attributes:
        log_id: the cluster whose offsets the state holds now.
        events: records of event topics that were folded, copies included.
        catalogue: records of media and accounts that were read.
        dead: records left out, because a dead letter names them.
        ends: per partition of event and catalogue topics, the offset after the last one folded.
        missing: per partition of event topics, how many records are gone (retention): from the
            beginning of what is kept, or between an archive and the log; partitions of which none
            are, are not named.
    """

    log_id: str
    events: int
    catalogue: int
    dead: int
    ends: Ends
    missing: Mapping[Partition, int]


class _Died(msgspec.Struct):
    """The part of a dead letter that says which record died; other records there lack `error`."""

    topic: str
    partition: int
    offset: int
    error: str


_died = msgspec.json.Decoder(_Died)


async def fold_log(
    settings: Settings,
    store: Store,
    start: Start = BEGINNING,
    ends: Ends | None = None,
    sender: Sender | None = None,
    on_progress: Progress | None = None,
    archive_url: str | None = None,
    accept_loss: bool = False,
) -> Report:
    """Fold the log into `store`; returns once everything is stored.

    Args:
        start: where to begin in the event topics. The catalogue is always read as a whole.
        ends: where to end, per partition of event and catalogue topics; the log's end as it is
            now by default. A partition that is not named is not read.
        sender: where messages go that folding causes; nowhere by default.
        on_progress: called with (records read, records in all).
        archive_url: of an archive, which is read first (:mod:`streams.log.archive`).
        accept_loss: fold also where records lie neither in the archive nor in Kafka.

    Raises:
        ArchiveGapError: some do not, and `accept_loss` is not given.
        ArchiveError: the archive cannot be used.
        UnreachableError: Kafka does not answer.
        LogReadError: the log cannot be read to its end.
    """
    cluster = await prepare_cluster(settings)
    ingest = Ingest(
        store,
        sender or Nowhere(),
        settings.fold_config(),
        cluster.log_id,
        newest=NewestById(),
        forgotten=await read_forgotten(settings, cluster),
    )
    async with open_log(settings, cluster.log_id, archive_url) as log:
        dead_letters = await log.kept(_partitions(cluster, DEAD_LETTERS_TOPIC))
        catalogue = await log.kept(_partitions(cluster, MEDIA_TOPIC, ACCOUNTS_TOPIC), ends=ends)
        events = await log.kept(_partitions(cluster, *EVENT_TOPICS), start, ends)
        gaps = {
            place: of.gap for place, of in {**dead_letters, **catalogue, **events}.items() if of.gap
        }
        if gaps and not accept_loss:
            raise gap_error(gaps, "To do without, add --accept-loss")
        tell = _Counter(on_progress, (dead_letters, catalogue, events))
        dead: defaultdict[Partition, set[int]] = defaultdict(set)
        async for batch in log.read(dead_letters):
            for topic, partition, offset in dead_records(batch):
                dead[topic, partition].add(offset)
            tell.read(len(batch.records))
        counts = {
            name: [await _fold(ingest, batch, dead, tell) async for batch in log.read(kept)]
            for name, kept in (("catalogue", catalogue), ("events", events))
        }
    folded = {**catalogue, **events}
    return Report(
        log_id=cluster.log_id,
        events=sum(done for done, _ in counts["events"]),
        catalogue=sum(done for done, _ in counts["catalogue"]),
        dead=sum(left_out for parts in counts.values() for _, left_out in parts),
        ends={partition: of.tail.end for partition, of in folded.items()},
        missing={
            partition: of.missing + of.gap
            for partition, of in events.items()
            if of.missing + of.gap
        },
    )


async def _fold(
    ingest: Ingest, batch: Batch, dead: Mapping[Partition, set[int]], tell: _Counter
) -> tuple[int, int]:
    """Fold one batch; returns how many records were folded and how many left out."""
    topic, partition, records = batch
    handle = {MEDIA_TOPIC: ingest.media, ACCOUNTS_TOPIC: ingest.accounts}.get(topic, ingest.events)
    left_out = dead.get((topic, partition))
    alive = [r for r in records if r.offset not in left_out] if left_out else records
    for first in range(0, len(alive), CHUNK):
        chunk = alive[first : first + CHUNK]
        await handle(topic, partition, chunk, now_ms())
        tell.read(len(chunk))
    tell.read(len(records) - len(alive))
    return len(alive), len(records) - len(alive)


def _partitions(cluster: ClusterInfo, *topics: str) -> list[Partition]:
    return [(topic, number) for topic in topics for number in range(cluster.partitions[topic])]


def dead_records(batch: Batch) -> Iterable[tuple[str, int, int]]:
    """Topic, partition and offset of each record that a batch of dead letters names."""
    for record in batch.records:
        try:
            dead_letter = decode_value(_died, record.value)
        except InvalidEventError:
            continue  # somebody else's record, or a mark that a dead letter was redriven
        yield dead_letter.topic, dead_letter.partition, dead_letter.offset


class _Counter:
    """Counts records for a progress callback. Offsets are an upper bound: logs have gaps."""

    def __init__(
        self, on_progress: Progress | None, parts: Iterable[Mapping[Partition, Kept]]
    ) -> None:
        self._on_progress = on_progress
        self._total = sum(of.records for kept in parts for of in kept.values())
        self._done = 0

    def read(self, records: int) -> None:
        self._done += records
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)
