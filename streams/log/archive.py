"""``freshgrid archive``: the log into Parquet files, so that its retention bounds no rebuild.

Archived is what a rebuild reads: events, catalogue, sessions and dead letters; and who is
forgotten, for who reads the archive without Kafka. Each run goes on where the one before ended;
offsets say where that is. Who is forgotten is left out (:mod:`streams.rights.forgotten`), and who
is forgotten later by whoever reads the archive.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from infra.archive_files import Archive, ArchivedRecord, Manifest, Part
from infra.config import Settings
from infra.kafka import Partition, prepare_cluster
from infra.log_reader import LogReader, Span
from infra.topics import DEAD_LETTERS_TOPIC, FORGOTTEN_TOPIC, SESSIONS_TOPIC
from models.actions import EVENT_TOPICS
from models.viewers.forgotten import ForgottenViewers
from streams.log.whole_log import gap_error, refuse_longer
from streams.rights.forgotten import known, read_forgotten
from streams.topology import FOLDED

ARCHIVED: Final = (*FOLDED, SESSIONS_TOPIC, DEAD_LETTERS_TOPIC, FORGOTTEN_TOPIC)
#: Keyed by viewers, of whom nobody may be known any more.
_OF_VIEWERS: Final = frozenset((*EVENT_TOPICS, SESSIONS_TOPIC))
#: Of keys and values in one file, which is in memory while it is written or read.
PART_BYTES: Final = 64 << 20

#: Of a partition that the cluster does not have.
NOTHING: Final = Span(0, 0, 0)

Tell = Callable[[str], object]


async def archive(
    settings: Settings, url: str, *, accept_loss: bool = False, tell: Tell = print
) -> dict[str, Any]:
    """Append what the log holds beyond the archive's end, up to its end now.

    Args:
        accept_loss: go on behind what retention took before it was archived.

    Raises:
        ArchiveGapError: it took something, and `accept_loss` is not given.
        ArchiveError: the archive is of another log, damaged or out of reach.
        UnreachableError, LogReadError: Kafka cannot be read.
    """
    started = time.monotonic()
    cluster = await prepare_cluster(settings)
    target = Archive(url)
    manifest = await asyncio.to_thread(target.manifest, cluster.log_id)
    manifest = manifest or Manifest(log_id=cluster.log_id)
    forgotten = await read_forgotten(settings, cluster)
    places = [(topic, n) for topic in ARCHIVED for n in range(cluster.partitions[topic])]
    written: list[Part] = []
    async with LogReader(settings) as reader:
        spans = await reader.spans(places)
        ends = manifest.ends()
        for place, end in ends.items():
            refuse_longer(target, place, end, spans.get(place, NOTHING))
        gaps = {
            place: spans[place].oldest - end
            for place, end in ends.items()
            if spans[place].oldest > end
        }
        if gaps and not accept_loss:
            raise gap_error(
                gaps,
                "To archive what is left, run `freshgrid archive --accept-loss`; run it more often "
                "than retention.ms of these topics",
            )
        for place, span in spans.items():
            start = max(ends.get(place, span.oldest), span.oldest)
            if start >= span.end:
                continue
            tell(f"{place[0]}[{place[1]}] {start} to {span.end}")
            parts = await _save(reader, target, place, span._replace(start=start), forgotten)
            written += parts
            # After each partition: a run that is cut off does not begin anew.
            manifest = msgspec.structs.replace(manifest, parts=(*manifest.parts, *parts))
            await asyncio.to_thread(target.finish, manifest)
    if not manifest.parts:
        # An archive of nothing is one: what it ends at is the beginning.
        await asyncio.to_thread(target.finish, manifest)
    return {
        "log_id": cluster.log_id,
        "records": sum(part.rows for part in written),
        "files": len(written),
        "bytes": sum(part.bytes for part in written),
        "records_in_all": sum(part.rows for part in manifest.parts),
        "missing": {f"{topic}[{n}]": count for (topic, n), count in manifest.gaps().items()},
        "seconds": round(time.monotonic() - started, 3),
    }


async def _save(
    reader: LogReader,
    target: Archive,
    place: Partition,
    span: Span,
    forgotten: ForgottenViewers,
) -> list[Part]:
    """Write the files of one partition; together they cover all of the span."""
    topic, number = place
    parts: list[Part] = []
    waiting: list[ArchivedRecord] = []
    start, size = span.start, 0

    async def write(end: int) -> None:
        nonlocal start, size, waiting
        parts.append(await asyncio.to_thread(target.write, place, start, end, waiting))
        start, size, waiting = end, 0, []

    async for batch in reader.read({place: span}):
        records = known(forgotten, batch.records) if topic in _OF_VIEWERS else batch.records
        for record in records:
            waiting.append(
                ArchivedRecord(number, record.offset, record.timestamp, record.key, record.value)
            )
            size += len(record.key or b"") + len(record.value or b"")
            if size >= PART_BYTES:
                await write(record.offset + 1)
    if start < span.end:
        await write(span.end)
    return parts
