"""Event fixtures → Kafka, or → the same folding code in this process without any server.

A fixture holds one JSON object a line (``.gz`` is fine): the record as it goes to Kafka, plus
``topic``, which says where. Blank lines and lines that begin with ``#`` are skipped.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.errors import FreshgridError, reason_of
from infra.kafka import Ends, Message
from infra.memory_store import MemoryStore
from infra.stores import Store
from infra.topics import DEAD_LETTERS_TOPIC
from models.actions import EVENT_TOPICS
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC
from models.viewers.state import combine, digest
from streams.clock import now_ms
from streams.dead_letter import DeadLetter, parse_dead_letter
from streams.ingest import Ingest
from streams.topology import flow

REPLAYABLE: Final = flow("producers").writes
KEY_FIELD: Final = {
    **dict.fromkeys(EVENT_TOPICS, "viewer_id"),
    MEDIA_TOPIC: "media_id",
    ACCOUNTS_TOPIC: "account_id",
}
#: Records folded at once, as one fetch of a partition would bring them.
CHUNK: Final = 1000

Progress = Callable[[int, int], None]

_decoder = msgspec.json.Decoder(dict[str, object])
_encoder = msgspec.json.Encoder()


class FixtureError(FreshgridError):
    """A fixture cannot be read, or one of its lines is no record."""


class Line(NamedTuple):
    """One record of a fixture; it passes for a Kafka record, too."""

    topic: str
    key: bytes
    value: bytes
    offset: int = 0
    partition: int = 0
    timestamp: int = 0


class ReplayReport(NamedTuple):
    """What a replay sent.

    Attributes:
        records: how many, by topic.
        newest_ts: newest event time sent in ms, 0 without events.
        ends: where the partitions written end now.
    """

    records: dict[str, int]
    newest_ts: int
    ends: Ends


def read_fixture(path: Path) -> Iterator[Line]:
    """The records of one fixture, in order.

    Raises:
        FixtureError: the file cannot be read or a line is no record; names file and line.
    """
    try:
        with _open(path) as file:
            for number, text in enumerate(file, start=1):
                if text.strip() and not text.startswith(b"#"):
                    yield _line(path, number, text)
    except (OSError, EOFError, zlib.error) as error:
        raise FixtureError(f"cannot read fixture {path}: {reason_of(error)}") from error


def _open(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _line(path: Path, number: int, text: bytes) -> Line:
    try:
        record = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FixtureError(f"{path}:{number} is no JSON object: {error}") from error
    topic = record.pop("topic", None)
    if topic not in REPLAYABLE:
        raise FixtureError(
            f"{path}:{number} has topic {topic!r}; expected one of {', '.join(REPLAYABLE)}"
        )
    return Line(
        str(topic), str(record.get(KEY_FIELD[str(topic)], "")).encode(), _encoder.encode(record)
    )


def replay_to_kafka(
    paths: Sequence[Path],
    config: Settings,
    *,
    shift_to_now: bool = False,
    on_progress: Progress | None = None,
) -> ReplayReport:
    """Send fixtures to their topics; returns once the broker has everything.

    Args:
        shift_to_now: move all times by the same amount, so that the newest event is now.
        on_progress: called with (records sent, records in all).
    """
    lines = [line for path in paths for line in read_fixture(path)]
    newest_ts = max((_ts(line) for line in lines), default=0)
    if shift_to_now and newest_ts:
        shift = now_ms() - newest_ts
        lines = [_shifted(line, shift) for line in lines]
        newest_ts += shift
    counts = Counter(line.topic for line in lines)
    messages = (Message(line.topic, line.key.decode(), line.value) for line in lines)

    def tell(sent: int) -> None:
        if on_progress is not None:
            on_progress(sent, len(lines))

    ends = asyncio.run(send_in_batches(config, messages, tell))
    tell(len(lines))
    return ReplayReport(dict(counts), newest_ts, ends)


def _ts(line: Line) -> int:
    if line.topic not in EVENT_TOPICS:
        return 0
    ts = _decoder.decode(line.value).get("ts")
    return ts if isinstance(ts, int) else 0


def _shifted(line: Line, shift_ms: int) -> Line:
    record = _decoder.decode(line.value)
    for field in ("ts", "created_ts"):
        ts = record.get(field)
        if isinstance(ts, int):
            record[field] = ts + shift_ms
    return line._replace(value=_encoder.encode(record))


class Loopback:
    """Where a replay without Kafka sends messages: events come back, dead letters are kept."""

    def __init__(self) -> None:
        self.returned: deque[Line] = deque()
        self.dead_letters: list[DeadLetter] = []

    async def send(self, messages: Iterable[Message]) -> None:
        """Take messages as a broker would."""
        for topic, key, value in messages:
            if topic in REPLAYABLE:
                self.returned.append(Line(topic, key.encode(), value or b""))
            elif topic == DEAD_LETTERS_TOPIC and (letter := parse_dead_letter(value)) is not None:
                self.dead_letters.append(letter)


class OfflineReport(NamedTuple):
    """What a replay without servers did."""

    store: MemoryStore
    records: int
    dead_letters: list[DeadLetter]
    waiting: int


async def replay_offline(
    paths: Sequence[Path], config: Settings, on_progress: Progress | None = None
) -> OfflineReport:
    """Fold fixtures with the code that the agents run, into memory."""
    store = MemoryStore(config)
    loopback = Loopback()
    ingest = Ingest(store, loopback, config.fold_config(), log_id="offline")
    offsets = dict.fromkeys(REPLAYABLE, 0)
    done = 0

    async def apply(lines: Iterable[Line]) -> None:
        by_topic: dict[str, list[Line]] = {}
        for line in lines:
            by_topic.setdefault(line.topic, []).append(line._replace(offset=offsets[line.topic]))
            offsets[line.topic] += 1
        for topic, records in by_topic.items():
            handle = {MEDIA_TOPIC: ingest.media, ACCOUNTS_TOPIC: ingest.accounts}.get(
                topic, ingest.events
            )
            await handle(topic, 0, records, now_ms())

    for path in paths:
        batch: list[Line] = []
        for line in read_fixture(path):
            batch.append(line)
            done += 1
            if len(batch) == CHUNK:
                await apply(batch)
                batch = []
                if on_progress is not None:
                    on_progress(done, done)
        await apply(batch)
    while loopback.returned:
        returned, loopback.returned = loopback.returned, deque()
        await apply(returned)
    return OfflineReport(store, done, loopback.dead_letters, await store.parked_media())


async def state_hash(store: Store) -> tuple[str, int]:
    """One hash of all viewers' state, and how many viewers there are."""
    digests = [digest(viewer_id, state, store.fold) async for viewer_id, state in store.scan()]
    return combine(digests), len(digests)
