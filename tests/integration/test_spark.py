"""An archive folded on Spark, beside the fold of the same records without it."""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest

from infra.archive_files import Archive, ArchivedRecord, Manifest
from infra.config import Settings
from infra.topics import DEAD_LETTERS_TOPIC, FORGOTTEN_TOPIC
from models.ig2vec.sentences import sentences
from models.viewers.forgotten import Forgotten
from models.viewers.state import combine, digest
from streams.clock import now_ms
from streams.log.replay import Line, read_fixture, replay_offline
from streams.log.spark_fold import _actions, fold_on_spark
from streams.rights.forgotten import forgotten_message
from streams.sessions import close_sessions
from tests.paths import FIXTURES

pytest.importorskip("pyspark", reason="needs Spark: pip install 'freshgrid[spark]'")
if shutil.which("java") is None:
    pytest.skip("needs Java 17 or newer", allow_module_level=True)

TINY = FIXTURES / "tiny.jsonl"
PARTITIONS = 3
#: Of two files a partition.
CUT = 40
FOREVER = 1 << 60


def archived(folder: Path, lines: list[Line], more: list[tuple[str, ArchivedRecord]]) -> str:
    """Lines as a log of some partitions, some of it delivered twice, and what comes with them."""
    at: defaultdict[tuple[str, int], list[ArchivedRecord]] = defaultdict(list)
    for number, line in enumerate(lines):
        place = line.topic, hash_of(line.key) % PARTITIONS
        for _ in range(1 + (number % 5 == 0)):
            at[place].append(ArchivedRecord(place[1], len(at[place]), number, line.key, line.value))
    for topic, record in more:
        at[topic, record.partition].append(record)
    archive, parts = Archive(str(folder)), []
    for place, records in at.items():
        parts += [
            archive.write(place, some[0].offset, some[-1].offset + 1, some)
            for some in (records[:CUT], records[CUT:])
            if some
        ]
    archive.finish(Manifest(log_id="log", parts=tuple(parts)))
    return str(folder)


def hash_of(key: bytes) -> int:
    return sum(key)


def test_spark_folds_an_archive_to_the_hash_of_the_stream(tmp_path: Path) -> None:
    lines, settings = list(read_fixture(TINY)), Settings()
    pure = asyncio.run(replay_offline([TINY], settings)).store
    states = dict(asyncio.run(_scanned(pure)))
    gone = sorted(states)[0]
    said = forgotten_message(Forgotten.of(gone, now_ms()))
    poison = ArchivedRecord(0, 10_000, 1, b"k", b"{")
    dead = lines[-1]._replace(value=lines[-1].value.replace(b'"event_id":"', b'"event_id":"dead-'))
    letter = msgspec.json.encode(
        {"topic": "events.like", "partition": 0, "offset": 10_001, "error": "too_late"}
    )
    where = archived(
        tmp_path / "archive",
        lines,
        [
            ("events.like", poison),
            ("events.like", ArchivedRecord(0, 10_001, 1, dead.key, dead.value)),
            (DEAD_LETTERS_TOPIC, ArchivedRecord(0, 0, 1, b"k", letter)),
            (FORGOTTEN_TOPIC, ArchivedRecord(0, 0, 1, said.key.encode(), said.value)),
        ],
    )
    found = fold_on_spark(settings, where, str(tmp_path / "viewers"), master="local[2]")
    del states[gone]
    expected = combine(digest(name, state, pure.fold) for name, state in states.items())
    assert found["state_hash"] == expected
    assert found["viewers"] == len(states)
    # Nobody in the fixture did more than the state keeps, so its sessions are all there were.
    closed = [
        session
        for viewer, state in states.items()
        for session in close_sessions(viewer, state, settings.session_gap_ms, FOREVER)[0]
    ]
    still_open = len(closed) - found["sessions"]
    assert 0 <= still_open <= len(states) / 2, "only those of the last half hour are open"
    said_in_all = list(sentences(map(_actions, closed)))
    assert 0 < found["sentences"] <= len(said_in_all)
    assert found["missing"] == {}


async def _scanned(store):
    return [one async for one in store.scan()]
