"""``freshgrid backup`` and ``freshgrid restore``: all that an installation holds, out and back in.

Saved are the log (every topic), the store (every key of the table of flows) and the artifacts. What
is saved later may be ahead of what is saved before, never the other way round: first how far the
groups are, then the store, then the log, then the artifacts. Records that a state holds already
come again after a restore and are recognised, as after a crash.
"""

from __future__ import annotations

import asyncio
import heapq
import re
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

import fsspec

from infra.backup_files import BackupError, BackupFolder, Manifest
from infra.batch_sender import started_producer
from infra.config import Settings
from infra.errors import reason_of
from infra.kafka import Ends, commit_offsets, committed_offsets, prepare_cluster
from infra.log_reader import LogReader, Span
from infra.open_stores import open_copies
from infra.stores import StoredKey
from infra.topics import TOPICS
from streams.clock import now_ms
from streams.snapshots import LEARNER, WORLD
from streams.topology import FLOWS

STORE: Final = "store.gz"
ARTIFACTS: Final = "artifacts/"
#: Kinds of artifacts that stay here.
SNAPSHOTS: Final = frozenset({WORLD, LEARNER})
#: Records that are on their way to the broker at once.
SENT_AT_ONCE: Final = 2000

Tell = Callable[[str], object]


class SavedRecord(NamedTuple):
    """One record of the log; its offset is where it stood."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def is_ours(key: bytes) -> bool:
    """Whether a key of the store is one of the table of flows."""
    return _OURS.fullmatch(key) is not None


def _ours() -> re.Pattern[bytes]:
    names = {key for flow in FLOWS for key in flow.stores}
    patterns = (re.sub(r"\b[A-Z]+\b", ".*", re.escape(name)) for name in sorted(names))
    return re.compile("|".join(patterns).encode(), re.DOTALL)


_OURS: Final = _ours()


async def backup(settings: Settings, url: str, tell: Tell = print) -> dict[str, Any]:
    """Save everything below an fsspec URL, while all runs or while nothing does.

    Raises:
        BackupError: the folder is not empty, or does not take it.
        UnreachableError, LogReadError: Kafka or Redis cannot be read.
    """
    started = time.monotonic()
    folder = BackupFolder(url)
    folder.begin()
    made_ms = now_ms()
    cluster = await prepare_cluster(settings)
    places = [(topic, n) for topic in TOPICS for n in range(cluster.partitions[topic])]
    groups = {flow.group for flow in FLOWS if flow.group is not None}
    committed = {group: await committed_offsets(settings, group, places) for group in groups}
    tell("the store")
    keys = await _save_store(settings, folder)
    async with LogReader(settings) as reader:
        spans = await reader.spans(places)
        done: dict[str, dict[str, dict[int, int]]] = {group: {} for group in groups}
        records = 0
        for topic, number in places:
            if number == 0:
                tell(topic)
            span = spans[topic, number]
            reached = {group: of[topic, number] for group, of in committed.items()}
            saved, counted = await _save_partition(reader, folder, (topic, number), span, reached)
            records += saved
            for group, count in counted.items():
                done[group].setdefault(topic, {})[number] = count
    tell("the artifacts")
    artifacts = await asyncio.to_thread(_save_artifacts, settings.artifacts_url, folder)
    manifest = folder.finish(
        made_ms=made_ms, log_id=cluster.log_id, partitions=cluster.partitions, committed=done
    )
    return _report(manifest, started, keys=keys, records=records, artifacts=artifacts)


async def restore(settings: Settings, url: str, tell: Tell = print) -> dict[str, Any]:
    """Put a back-up into servers that hold nothing. No role may run.

    Nothing is changed before all of the back-up was read and found whole, and the servers empty.

    Raises:
        BackupError: the back-up is damaged, or the servers hold something.
        UnreachableError, KafkaError: Kafka or Redis does not take it.
    """
    started = time.monotonic()
    folder = BackupFolder(url)
    tell("looking whether it is whole")
    manifest = await asyncio.to_thread(folder.verified)
    # Topics that are created now get as many partitions: records go where they were.
    most = max(manifest.partitions.values())
    cluster = await prepare_cluster(settings.model_copy(update={"partitions": most}))
    await _refuse_what_is_not_empty(settings, manifest, cluster.partitions)
    tell("the artifacts")
    artifacts = await asyncio.to_thread(
        _restore_artifacts, settings.artifacts_url, folder, manifest
    )
    tell("the log")
    begins = await _restore_log(settings, folder, manifest, tell)
    tell("the store")
    keys = await _restore_store(settings, folder)
    for group, topics in manifest.committed.items():
        ends = {
            (topic, number): begins[topic, number] + count
            for topic, counts in topics.items()
            for number, count in counts.items()
            if count
        }
        if ends:
            await commit_offsets(settings, group, ends)
    records = sum(file.rows for path, file in manifest.files.items() if path.startswith("log/"))
    return _report(manifest, started, keys=keys, records=records, artifacts=artifacts)


def _report(manifest: Manifest, started: float, **counts: int) -> dict[str, Any]:
    size = sum(file.bytes for file in manifest.files.values())
    seconds = round(time.monotonic() - started, 3)
    return {"made_ms": manifest.made_ms, **counts, "bytes": size, "seconds": seconds}


async def _save_store(settings: Settings, folder: BackupFolder) -> int:
    async with open_copies(settings) as copies:
        with folder.rows(STORE) as out:
            async for keys in copies.read(is_ours):
                out.write(keys)
    return out.rows


async def _save_partition(
    reader: LogReader,
    folder: BackupFolder,
    place: tuple[str, int],
    span: Span,
    reached: Mapping[str, int],
) -> tuple[int, dict[str, int]]:
    """How many records were saved, and how many of them each group had done."""
    done = dict.fromkeys(reached, 0)
    with folder.rows(_log_file(*place)) as out:
        async for batch in reader.read({place: span}):
            out.write(
                SavedRecord(r.offset, r.timestamp, r.key, r.value, list(r.headers))
                for r in batch.records
            )
            for group, offset in reached.items():
                done[group] += sum(record.offset < offset for record in batch.records)
    return out.rows, done


def _log_file(topic: str, number: int) -> str:
    return f"log/{topic}/{number}.gz"


def _save_artifacts(url: str, folder: BackupFolder) -> int:
    fs, root = fsspec.core.url_to_fs(url)
    paths = sorted(fs.find(root)) if fs.exists(root) else []
    # The offsets in snapshots are of a log that is not restored as it was.
    names = {path: path.removeprefix(root).lstrip("/") for path in paths}
    kept = {path: name for path, name in names.items() if name.partition("/")[0] not in SNAPSHOTS}
    for path, name in kept.items():
        with fs.open(path, "rb") as file:
            folder.copy_in(ARTIFACTS + name, file)
    return len(kept)


async def _refuse_what_is_not_empty(
    settings: Settings, manifest: Manifest, partitions: Mapping[str, int]
) -> None:
    places = [(topic, n) for topic in manifest.partitions for n in range(partitions[topic])]
    async with LogReader(settings) as reader:
        spans = await reader.spans(places)
    for (topic, _), span in spans.items():
        if span.end > span.oldest:
            raise BackupError(
                f"{topic} holds records; a back-up is restored into an empty cluster: name one in "
                "KAFKA_BOOTSTRAP_SERVERS, or delete the topics of this one"
            )
    for topic, count in manifest.partitions.items():
        if partitions[topic] < count:
            raise BackupError(
                f"{topic} has {partitions[topic]} partitions, and the back-up {count}; delete the "
                "empty topic, so that it is created as it was"
            )
    async with open_copies(settings) as copies:
        if await copies.hold(is_ours):
            raise BackupError(
                f"Redis at {settings.redis_url} holds keys of Freshgrid; name an empty one in "
                "REDIS_URL, or delete them"
            )


def _restore_artifacts(url: str, folder: BackupFolder, manifest: Manifest) -> int:
    fs, root = fsspec.core.url_to_fs(url)
    paths = [path for path in manifest.files if path.startswith(ARTIFACTS)]
    try:
        for path in paths:
            full = f"{root.rstrip('/')}/{path.removeprefix(ARTIFACTS)}"
            fs.makedirs(full.rpartition("/")[0], exist_ok=True)
            with folder.read(path) as source, fs.open(full, "wb") as file:
                while data := source.read(1 << 20):
                    file.write(data)
    except OSError as error:
        raise BackupError(f"{url} does not take the artifacts: {reason_of(error)}") from error
    return len(paths)


async def _restore_log(
    settings: Settings, folder: BackupFolder, manifest: Manifest, tell: Tell
) -> Ends:
    """Send every record to its partition; returns the offset that each partition began at."""
    begins: dict[tuple[str, int], int] = {}
    producer = await started_producer(settings)
    try:
        for topic, count in manifest.partitions.items():
            tell(topic)
            # By time over all partitions: where one key stands in two, the newer is sent later.
            rows = heapq.merge(
                *(_rows(folder, topic, number) for number in range(count)),
                key=lambda row: row[1].timestamp_ms,
            )
            while some := list(islice(rows, SENT_AT_ONCE)):
                sending = [
                    await producer.send(
                        topic, record.value, key=record.key, partition=number,
                        timestamp_ms=record.timestamp_ms, headers=record.headers or None,
                    )
                    for number, record in some
                ]  # fmt: skip
                for (number, _), sent in zip(some, await asyncio.gather(*sending), strict=True):
                    begins.setdefault((topic, number), sent.offset)
    finally:
        await producer.stop()
    places = ((t, n) for t, count in manifest.partitions.items() for n in range(count))
    return {place: begins.get(place, 0) for place in places}


def _rows(folder: BackupFolder, topic: str, number: int) -> Iterator[tuple[int, SavedRecord]]:
    for record in folder.read_rows(_log_file(topic, number), SavedRecord):
        yield number, record


async def _restore_store(settings: Settings, folder: BackupFolder) -> int:
    async with open_copies(settings) as copies:
        return await copies.write(folder.read_rows(STORE, StoredKey))
