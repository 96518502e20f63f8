"""``freshgrid batch``: state, sessions and sentences of everybody from an archive, on Spark.

What is computed is what the stream computes, by the same code: records are parsed by
:mod:`models.events`, folded by :class:`streams.ingest.Ingest`, cut into sessions by
:func:`streams.sessions.close_sessions`, and these made sentences by
:mod:`models.ig2vec.sentences`. Spark only brings together what belongs together: the newest author
of each media to the events that name none, and all events of a viewer to one task, by event time.

Folds do not depend on order (``docs/contracts.md``), so the state has the hash of the stream's.
What is folded by event time is cut into sessions before the action logs drop it: sessions are all
that there were, however long ago.

::

    FreshgridError
    └── SparkMissingError    pyspark is not installed
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from infra.archive_files import Archive, ArchiveError, Manifest
from infra.config import Settings
from infra.errors import FreshgridError
from infra.memory_store import MemoryStore
from infra.topics import DEAD_LETTERS_TOPIC, FORGOTTEN_TOPIC
from models.actions import ACTION_CODES, EVENT_TOPICS
from models.events import MEDIA_TOPIC, FollowEvent, InvalidEventError, parse_event, parse_media
from models.ig2vec.sentences import sentences
from models.viewers.forgotten import ForgottenViewers
from models.viewers.state import ViewerState, combine, digest, encode
from streams.clock import now_ms
from streams.ingest import Ingest
from streams.log.fold import Nowhere, dead_records
from streams.log.whole_log import Batch
from streams.records import ClosedSession
from streams.rights.forgotten import hear
from streams.sessions import close_sessions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

#: Events of one viewer folded at once: no action log drops any that was not cut into a session.
ROUND: Final = 50
#: Events of so many viewers' are folded together.
CHUNK: Final = 5000
#: Rows of a batch that goes back to Spark.
ROWS: Final = 2000

EVENTS: Final = (
    "viewer string, ts long, topic string, partition int, offset long, timestamp long, key binary, "
    "value binary, media string"
)
MEDIA: Final = "media string, author string, partition int, offset long, timestamp long"
VIEWERS: Final = (
    "viewer string, digest binary, state binary, sessions array<string>, "
    "sentences array<array<string>>"
)
TOTALS: Final = "digest binary, viewers long, sessions long, sentences long"

_json = msgspec.json.Encoder()


class SparkMissingError(FreshgridError):
    """The extra ``spark`` is not installed: pyspark cannot be imported."""


class Row(NamedTuple):
    """An event as Spark hands it on; it passes for a record of Kafka.

    Attributes:
        offset: its number among all events of the viewer's task, in the order of folding.
        author: of its media, where it names none and the catalogue knows.
    """

    topic: str
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    ts: int
    media: str | None
    author: str | None
    partition: int = 0


class Folding(NamedTuple):
    """What every task needs to know.

    Attributes:
        until_ms: event time at which the archive ends: sessions that are open then stay open.
    """

    settings: dict[str, float]
    forgotten: ForgottenViewers
    gap_ms: int
    until_ms: int


def fold_on_spark(
    settings: Settings, archive_url: str, out: str, *, master: str = "local[*]"
) -> dict[str, Any]:
    """Fold an archive into `out`: a Parquet table, one row a viewer.

    Its columns are those of :data:`VIEWERS`: the state as Redis holds it behind its revision, the
    sessions as ``explore.sessions`` carries them, and the sentences that ig2vec learns from.

    Raises:
        SparkMissingError: the extra ``spark`` is not installed.
        ArchiveError: the archive cannot be used.
    """
    started = time.monotonic()
    archive = Archive(archive_url)
    manifest = archive.manifest()
    if manifest is None:
        raise ArchiveError(
            f"{archive_url} holds no archive; `freshgrid archive {archive_url}` writes one"
        )
    spark = _session(master)
    try:
        events = _events(spark, archive, manifest)
        events.persist()
        newest = events.selectExpr("count(*)", "max(ts)").first()
        assert newest is not None, "an aggregate has one row"
        folding = Folding(
            settings=settings.model_dump(include={"half_life_ms", "max_strong", "max_views"}),
            forgotten=_forgotten(archive, manifest),
            gap_ms=settings.session_gap_ms,
            until_ms=newest[1] or 0,
        )
        joined = events.join(_authors(spark, archive, manifest), "media", "left")
        tasks = int(spark.conf.get("spark.sql.shuffle.partitions") or 1)
        together = joined.repartition(tasks, "viewer").sortWithinPartitions(
            "viewer", "ts", "topic", "partition", "offset"
        )
        folded = together.mapInArrow(partial(_fold, folding), VIEWERS)
        folded.write.mode("overwrite").parquet(out)
        totals = spark.read.parquet(out).mapInArrow(_totals, TOTALS).collect()
        gaps = manifest.gaps()
    finally:
        spark.stop()
    return {
        "events": newest[0],
        "viewers": sum(row.viewers for row in totals),
        "sessions": sum(row.sessions for row in totals),
        "sentences": sum(row.sentences for row in totals),
        "state_hash": combine(int.from_bytes(row.digest, "big") for row in totals),
        "missing": {f"{topic}[{n}]": count for (topic, n), count in gaps.items()},
        "seconds": round(time.monotonic() - started, 3),
    }


def _session(master: str) -> SparkSession:
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise SparkMissingError(
            "this needs Spark and Java 17 or newer: pip install 'freshgrid[spark]'"
        ) from error
    # Tasks run what this process runs.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder: Any = SparkSession.builder
    session: SparkSession = (
        builder.master(master)
        .appName("freshgrid batch")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    if master.startswith("local"):
        # One after the other on each core: more tasks than that only cost starts.
        session.conf.set(
            "spark.sql.shuffle.partitions", str(session.sparkContext.defaultParallelism)
        )
    return session


def _records(
    spark: SparkSession, archive: Archive, manifest: Manifest, topic: str
) -> DataFrame | None:
    """The archived records of a topic with the partition that each stands in."""
    from pyspark.sql import functions as f

    paths = [archive.place(part) for part in manifest.parts if part.topic == topic and part.rows]
    if not paths:
        return None
    number = f.regexp_extract(f.input_file_name(), r"/(\d+)/\d+-\d+\.parquet$", 1).cast("int")
    return spark.read.parquet(*paths).select(
        f.lit(topic).alias("topic"),
        number.alias("partition"),
        "offset",
        "timestamp",
        "key",
        "value",
    )


def _events(spark: SparkSession, archive: Archive, manifest: Manifest) -> DataFrame:
    """Valid events that did not die, with viewer, time, and the media whose author is asked for."""
    dead = [
        place
        for part in manifest.parts
        if part.topic == DEAD_LETTERS_TOPIC
        for records in archive.read(part)
        for place in dead_records(Batch(part.topic, part.partition, records))
    ]
    topics = [_records(spark, archive, manifest, topic) for topic in EVENT_TOPICS]
    found = [records for records in topics if records is not None]
    if not found:
        return spark.createDataFrame([], EVENTS)
    records = found[0]
    for more in found[1:]:
        records = records.unionByName(more)
    if dead:
        named = spark.createDataFrame(dead, "topic string, partition int, offset long")
        records = records.join(named.hint("broadcast"), ["topic", "partition", "offset"], "anti")
    records = records.select("topic", "partition", "offset", "timestamp", "key", "value")
    return records.mapInArrow(_parse, EVENTS)


def _authors(spark: SparkSession, archive: Archive, manifest: Manifest) -> DataFrame:
    """Media → the author that its newest record names, as :mod:`models.arrays.newest_told` has it:
    within a partition the last, between them the one written last."""
    records = _records(spark, archive, manifest, MEDIA_TOPIC)
    if records is None:
        return spark.createDataFrame([], "media string, author string")
    told = records.mapInArrow(_parse_media, MEDIA)
    last = told.groupBy("media", "partition").agg({"offset": "max"})
    last = last.withColumnRenamed("max(offset)", "offset")
    newest = told.join(last, ["media", "partition", "offset"], "leftsemi")
    return newest.groupBy("media").agg(_newest_author())


def _newest_author() -> Any:
    from pyspark.sql import functions as f

    return f.max_by("author", f.struct("timestamp", "partition")).alias("author")


def _forgotten(archive: Archive, manifest: Manifest) -> ForgottenViewers:
    viewers = ForgottenViewers()
    for part in manifest.parts:
        if part.topic == FORGOTTEN_TOPIC:
            for records in archive.read(part):
                hear(viewers, records)
    return viewers


# What runs in tasks. Columns stay Arrow's: rows of Spark would be made one by one.


def _parse(batches: Iterable[Any]) -> Iterator[Any]:
    """Records → those that are valid events, with what Spark has to know of them."""
    now = now_ms()
    for batch in batches:
        rows: list[tuple[Any, ...]] = []
        columns = (column.to_pylist() for column in batch.columns)
        for topic, partition, offset, timestamp, key, value in zip(*columns, strict=True):
            try:
                event = parse_event(topic, value, now)
            except InvalidEventError:
                continue  # a worker sent a dead letter, or will
            asked = None
            if not isinstance(event, FollowEvent) and event.author_id is None:
                asked = event.media_id
            rows.append(
                (event.viewer_id, event.ts, topic, partition, offset, timestamp, key, value, asked)
            )
        yield from _batches(rows, EVENTS)


def _parse_media(batches: Iterable[Any]) -> Iterator[Any]:
    now = now_ms()
    for batch in batches:
        rows: list[tuple[Any, ...]] = []
        columns = (column.to_pylist() for column in batch.columns)
        for _, partition, offset, timestamp, _, value in zip(*columns, strict=True):
            # A tombstone: what was learned stays.
            if value is None:
                continue
            try:
                media = parse_media(value, now)
            except InvalidEventError:
                continue
            rows.append((media.media_id, media.author_id, partition, offset, timestamp))
        yield from _batches(rows, MEDIA)


def _fold(folding: Folding, batches: Iterable[Any]) -> Iterator[Any]:
    """Events by viewer and time → the rows of :data:`VIEWERS`."""
    for viewers in _chunks(_rows(batches)):
        yield from _batches(asyncio.run(_fold_viewers(folding, viewers)), VIEWERS)


def _rows(batches: Iterable[Any]) -> Iterator[tuple[str, Row]]:
    number = 0
    for batch in batches:
        columns = batch.select(
            ["viewer", "topic", "timestamp", "key", "value", "ts", "media", "author"]
        ).columns
        for viewer, topic, *of in zip(*(column.to_pylist() for column in columns), strict=True):
            yield viewer, Row(topic, number, *of)
            number += 1


def _chunks(rows: Iterable[tuple[str, Row]]) -> Iterator[dict[str, list[Row]]]:
    """Viewers with all that they did, some at a time."""
    chunk: dict[str, list[Row]] = {}
    size = 0
    for viewer, of_viewer in groupby(rows, key=lambda row: row[0]):
        chunk[viewer] = [row for _, row in of_viewer]
        size += len(chunk[viewer])
        if size >= CHUNK:
            yield chunk
            chunk, size = {}, 0
    if chunk:
        yield chunk


async def _fold_viewers(
    folding: Folding, viewers: dict[str, list[Row]]
) -> list[tuple[str, bytes, bytes, list[str], list[list[str]]]]:
    settings = Settings.model_validate(folding.settings)
    store = MemoryStore(settings)
    ingest = Ingest(
        store, Nowhere(), settings.fold_config(), "archive", forgotten=folding.forgotten
    )
    known = {
        row.media: row.author
        for rows in viewers.values()
        for row in rows
        if row.media is not None and row.author is not None
    }
    await store.learn_authors(list(known), list(known.values()))
    sessions: dict[str, list[ClosedSession]] = {viewer: [] for viewer in viewers}
    for first in range(0, max(map(len, viewers.values())), ROUND):
        here = {viewer: rows[first : first + ROUND] for viewer, rows in viewers.items()}
        await _fold_round(ingest, [row for rows in here.values() for row in rows])
        for viewer, rows in here.items():
            if rows:
                last = len(viewers[viewer]) <= first + ROUND
                await _close(
                    store, viewer, folding, folding.until_ms if last else rows[-1].ts, sessions
                )
    return [
        (
            viewer,
            digest(viewer, state, store.fold).to_bytes(32, "big"),
            encode(state),
            [_json.encode(session).decode() for session in sessions[viewer]],
            list(sentences(map(_actions, sessions[viewer]))),
        )
        async for viewer, state in store.scan()
    ]


async def _fold_round(ingest: Ingest, rows: Sequence[Row]) -> None:
    # Of one topic in the order of their numbers, which is that of each viewer's time.
    for topic, of_topic in groupby(
        sorted(rows, key=lambda row: row[:2]), key=lambda row: row.topic
    ):
        await ingest.events(topic, 0, list(of_topic), now_ms())


async def _close(
    store: MemoryStore,
    viewer: str,
    folding: Folding,
    stream_ms: int,
    sessions: dict[str, list[ClosedSession]],
) -> None:
    [found] = await store.load([viewer])
    if not found.revision:
        return  # forgotten, or everything she did waits for its media
    state: ViewerState = found.state
    sent_ts = state.sessions_sent
    closed, _ = close_sessions(viewer, state, folding.gap_ms, stream_ms)
    sessions[viewer] += closed
    if state.sessions_sent != sent_ts:
        await store.commit([viewer], [found])


def _actions(session: ClosedSession) -> list[tuple[str, int]]:
    return [(account, ACTION_CODES[action]) for account, action, _ in session.steps]


def _totals(batches: Iterable[Any]) -> Iterator[Any]:
    """Rows of :data:`VIEWERS` → one of :data:`TOTALS`; digests add up."""
    total = viewers = cut = said = 0
    for batch in batches:
        total += sum(int.from_bytes(one, "big") for one in batch.column("digest").to_pylist())
        viewers += batch.num_rows
        cut += sum(map(len, batch.column("sessions").to_pylist()))
        said += sum(map(len, batch.column("sentences").to_pylist()))
    yield from _batches([((total % (1 << 256)).to_bytes(32, "big"), viewers, cut, said)], TOTALS)


def _batches(rows: Sequence[tuple[Any, ...]], schema: str) -> Iterator[Any]:
    """Arrow's batches of rows; none where there are none."""
    import pyarrow

    types = {
        "string": pyarrow.string(),
        "int": pyarrow.int32(),
        "long": pyarrow.int64(),
        "binary": pyarrow.binary(),
        "array<string>": pyarrow.list_(pyarrow.string()),
        "array<array<string>>": pyarrow.list_(pyarrow.list_(pyarrow.string())),
    }
    fields = [(name, types[kind]) for name, kind in map(str.split, schema.split(", "))]
    for first in range(0, len(rows), ROWS):
        columns = zip(*rows[first : first + ROWS], strict=True)
        arrays = [
            pyarrow.array(column, type_) for (_, type_), column in zip(fields, columns, strict=True)
        ]
        yield pyarrow.RecordBatch.from_arrays(arrays, names=[name for name, _ in fields])
