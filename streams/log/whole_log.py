"""The log as far as anything keeps it: an archive first, then what Kafka holds after its end.

Offsets say where one ends and the other goes on, so no record is read twice and none is left out
unseen: what neither holds is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import NamedTuple

from infra.archive_files import Archive, ArchiveError, Manifest, Part
from infra.config import Settings
from infra.errors import FreshgridError
from infra.kafka import Ends, Partition
from infra.log_reader import BEGINNING, LogReader, Span, Start
from streams.records import Record


class ArchiveGapError(FreshgridError):
    """Records are neither in the archive nor in Kafka any more."""


class Batch(NamedTuple):
    """Records of one partition, in the order of their offsets."""

    topic: str
    partition: int
    records: Sequence[Record]


class Kept(NamedTuple):
    """What there is of one partition.

    Attributes:
        parts: of the archive, by offset.
        tail: what Kafka holds after them.
        missing: offsets that are gone from the beginning, and
        gap: between parts, or between the last one and what Kafka holds.
    """

    parts: Sequence[Part]
    tail: Span
    missing: int
    gap: int

    @property
    def records(self) -> int:
        """How many there are at most: logs have gaps."""
        return sum(part.rows for part in self.parts) + max(self.tail.end - self.tail.start, 0)


class WholeLog:
    """Reads an archive, where there is one, and then Kafka."""

    def __init__(self, reader: LogReader, archive: Archive | None, manifest: Manifest) -> None:
        self._reader, self._archive, self._manifest = reader, archive, manifest

    async def kept(
        self, wanted: Iterable[Partition], start: Start = BEGINNING, ends: Ends | None = None
    ) -> dict[Partition, Kept]:
        """What there is of these partitions; `start` and `ends` are of Kafka's part.

        Raises:
            ArchiveError: the archive goes on where the log has ended: it is of one that was lost.
            LogReadError: the broker does not tell.
        """
        spans = await self._reader.spans(wanted, start, ends)
        return {place: self._kept(place, span) for place, span in spans.items()}

    def _kept(self, place: Partition, span: Span) -> Kept:
        parts = self._manifest.of(place)
        if not parts:
            return Kept((), span, span.oldest, 0)
        end = parts[-1].end
        refuse_longer(self._archive, place, end, span)
        between = sum(after.start - part.end for part, after in pairwise(parts))
        tail = span._replace(start=max(span.start, end))
        return Kept(parts, tail, parts[0].start, between + max(span.oldest - end, 0))

    async def check(self, kept: Mapping[Partition, Kept]) -> None:
        """Compare the archive's files with their checksums, before anything depends on them.

        Raises:
            ArchiveError: one is damaged or out of reach.
        """
        for part in (part for of in kept.values() for part in of.parts):
            assert self._archive is not None, "parts are of an archive"
            await asyncio.to_thread(self._archive.check, part)

    async def read(self, kept: Mapping[Partition, Kept]) -> AsyncIterator[Batch]:
        """Every record, each partition in the order of its offsets.

        Raises:
            ArchiveError: a part of the archive is damaged or out of reach.
            LogReadError: Kafka's part cannot be read.
        """
        for (topic, number), of in kept.items():
            for part in of.parts:
                assert self._archive is not None, "parts are of an archive"
                # A part is read whole and compared before anything in it is used.
                for records in await asyncio.to_thread(list, self._archive.read(part)):
                    yield Batch(topic, number, records)
        async for batch in self._reader.read({place: of.tail for place, of in kept.items()}):
            yield Batch(*batch)


@asynccontextmanager
async def open_log(
    settings: Settings, log_id: str, archive_url: str | None = None
) -> AsyncIterator[WholeLog]:
    """The log from its archive's beginning, or from Kafka's where no archive is named.

    Raises:
        ArchiveError: there is no archive, or it is of another log.
    """
    archive, manifest = None, Manifest(log_id=log_id)
    if archive_url is not None:
        archive = Archive(archive_url)
        found = await asyncio.to_thread(archive.manifest, log_id)
        if found is None:
            raise ArchiveError(
                f"{archive_url} holds no archive; `freshgrid archive {archive_url}` writes one"
            )
        manifest = found
    async with LogReader(settings) as reader:
        yield WholeLog(reader, archive, manifest)


def refuse_longer(archive: Archive | None, place: Partition, end: int, span: Span) -> None:
    """Refuse an archive that holds what the log has not reached.

    Raises:
        ArchiveError: it does.
    """
    if archive is not None and end > span.end:
        topic, number = place
        raise ArchiveError(
            f"{archive.url} holds {topic}[{number}] up to offset {end}, and Kafka ends at "
            f"{span.end}: the broker lost records, and would give their offsets to others. Restore "
            "the log, or begin with a new cluster and a new archive"
        )


def gap_error(gaps: Mapping[Partition, int], remedy: str) -> ArchiveGapError:
    """What would be lost, and what to do."""
    named = ", ".join(f"{topic}[{number}] {count}" for (topic, number), count in gaps.items())
    return ArchiveGapError(
        f"up to {sum(gaps.values())} records are neither in the archive nor in Kafka any more "
        f"({named}): retention took them before they were archived. Nothing was changed. {remedy}"
    )
