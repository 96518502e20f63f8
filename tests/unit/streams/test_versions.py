"""What is live, what was, and which of it can be gone back to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from infra.artifacts import ArtifactMissingError, ArtifactStore
from infra.metrics import VERSIONS
from models.ig2vec.gate import Decision
from models.rankers.prior import PriorRankers
from streams.serving.live_rankers import LiveRankers
from streams.versions import (
    DECISION_NOTE,
    IG2VEC,
    LIVE_NOTE,
    RANKERS,
    Heard,
    Live,
    NewestVersions,
    Version,
    announce,
    earlier,
    last_good,
    listed,
    noted_live,
    version_message,
    versions,
)
from tests.rankers import bundle


class Record(NamedTuple):
    key: bytes
    value: bytes | None
    partition: int = 0
    timestamp: int = 0
    offset: int = 0


class Outbox:
    def __init__(self):
        self.sent = []

    async def send(self, messages):
        self.sent += messages


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path))


def put(store, number, kind=IG2VEC):
    return store.put(kind, {"x": np.array(number)}, {"metrics": {"number": number}})


async def go_live(store, version, previous="", keep=2, kind=IG2VEC):
    told = Version(kind, version, 1, previous=previous)
    await announce(store, Outbox(), told, keep)
    return told


def number_of(artifact):
    return int(artifact.arrays["x"])


async def test_the_way_back_is_what_was_live_and_survives_retention(store):
    live, names = None, []
    for number in range(6):
        names.append(put(store, number))
        put(store, 100 + number)  # refused ones, that were never live
        live = await go_live(store, names[-1], names[-2] if number else "")
    assert list(earlier(store, live))[:2] == [names[4], names[3]]
    # The two that can be gone back to, and the two newest, whatever became of them.
    kept = [int(store.get(IG2VEC, v).arrays["x"]) for v in store.list(IG2VEC)]
    assert kept == [3, 4, 5, 105]


async def test_going_back_leads_further_back_and_promoting_never_in_circles(store):
    first, second, third = (put(store, number) for number in range(3))
    await go_live(store, first)
    await go_live(store, second, first)
    await go_live(store, third, second)
    back = await go_live(store, second, first)  # a rollback
    assert list(earlier(store, back)) == [first]
    forth = await go_live(store, first, third)  # an old one, promoted
    assert list(earlier(store, forth)) == [third, second]


async def test_the_last_version_that_is_whole_is_found(store, tmp_path, caplog):
    first, second, third = (put(store, number) for number in range(3))
    await go_live(store, first)
    await go_live(store, second, first)
    live = await go_live(store, third, second)
    assert last_good(store, live, number_of) == (third, 2)
    (tmp_path / IG2VEC / third / "x.npy").write_bytes(b"")
    assert last_good(store, live, number_of) == (second, 1)
    manifest = tmp_path / IG2VEC / second / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"number": 1', b'"number": 7'))
    assert last_good(store, live, number_of) == (first, 0)
    assert "x.npy has 0 bytes" in caplog.text
    assert "does not describe this version" in caplog.text

    def refuse(_):
        raise ValueError("of another release")

    assert last_good(store, live, refuse) is None


def test_notes_are_no_part_of_a_version_and_a_damaged_one_is_none(store, tmp_path):
    version = put(store, 1)
    note = Live(announced_ms=5, previous="", reason="because")
    store.write_note(IG2VEC, version, LIVE_NOTE, note)
    assert store.read_note(IG2VEC, version, LIVE_NOTE, Live) == note
    assert put(store, 1) == version
    assert store.read_note(IG2VEC, version, LIVE_NOTE, Live) == note
    assert store.read_note(IG2VEC, version, "other", Live) is None
    assert store.read_note(IG2VEC, "0" * 24, LIVE_NOTE, Live) is None
    for content in (b"", b"\xff", b"[]", b'{"announced_ms": "x"}'):
        (tmp_path / IG2VEC / version / "notes" / "live.json").write_bytes(content)
        assert store.read_note(IG2VEC, version, LIVE_NOTE, Live) is None
    store.prune(IG2VEC, keep=0)
    assert not (tmp_path / IG2VEC / version).exists()
    with pytest.raises(ArtifactMissingError):
        store.get(IG2VEC, version)


async def test_the_list_tells_size_figures_decision_and_what_is_live(store):
    first, second = put(store, 1), put(store, 2)
    decision = Decision(promote=False, reason="worse", margin=0.01, candidate=None, live=None)
    store.write_note(IG2VEC, second, DECISION_NOTE, decision)
    live = await go_live(store, first)
    ranked = put(store, 3, RANKERS)
    rows = listed(store, {IG2VEC: live})
    assert [(row["kind"], row["version"], row["live"]) for row in rows] == [
        (IG2VEC, first, True),
        (IG2VEC, second, False),
        (RANKERS, ranked, False),
    ]
    assert rows[0]["figures"] == {"number": 1}
    assert rows[0]["bytes"] == store.manifest(IG2VEC, first).files["x"].bytes
    assert rows[0]["created_ms"] <= rows[1]["created_ms"]
    assert rows[0]["decision"] is None
    assert rows[1]["decision"]["reason"] == "worse"
    assert [row["kind"] for row in listed(store, {}, [RANKERS])] == [RANKERS]


# The rankers of a process that serves.


@pytest.fixture
def bundles(store):
    """The names of three whole versions of rankers, and what they are called when live."""
    made = [bundle(seed) for seed in range(3)]
    names = [store.put(RANKERS, *of.to_arrays()) for of in made]
    return dict(zip(names, [of.version for of in made], strict=True))


class Process:
    """What follows ``explore.versions`` in a ranker."""

    def __init__(self, store):
        self.rankers, self.swapped = LiveRankers(store), 0

    async def told(self, *told):
        messages = [version_message(version) for version in told]
        records = [Record(m.key.encode(), m.value) for m in messages]
        self.swapped += await self.rankers.apply(records)
        return self.rankers.live.version


async def test_running_rankers_follow_and_refuse_what_is_damaged(store, tmp_path, bundles, caplog):
    first, second, third = bundles
    process = Process(store)
    live = await go_live(store, first, kind=RANKERS)
    assert await process.told(live, Version(IG2VEC, "other", 2, space="s")) == bundles[first]
    newer = await go_live(store, second, first, kind=RANKERS)
    file = next((tmp_path / RANKERS / second).glob("*.npy"))
    file.write_bytes(file.read_bytes()[:-1])
    before, counter = process.swapped, VERSIONS.labels(RANKERS, "damaged")._value
    damaged = counter.get()
    assert await process.told(newer) == bundles[first]
    assert (before, process.swapped) == (1, 1)
    assert counter.get() == damaged + 1
    assert f"{file.name} has" in caplog.text
    assert await process.told(Version(RANKERS, "0" * 24, 3)) == bundles[first]
    assert await process.told(Version(RANKERS, third, 4, previous=second)) == bundles[third]
    assert process.swapped == 2


async def test_rankers_for_other_features_are_refused_told_and_counted(store, bundles, caplog):
    first, _, _ = bundles
    process = Process(store)
    live = await go_live(store, first, kind=RANKERS)
    await process.told(live)
    arrays, meta = bundle(seed=7).to_arrays()
    other = store.put(RANKERS, arrays, {**meta, "feature_version": "older"})
    counter = VERSIONS.labels(RANKERS, "damaged")._value
    before = counter.get()
    assert await process.told(Version(RANKERS, other, 2, previous=first)) == bundles[first]
    assert counter.get() == before + 1
    assert f"rankers {other} refused: " in caplog.text
    assert "trained on feature version 'older', this build has" in caplog.text
    assert process.swapped == 1


async def test_a_starting_process_takes_the_last_whole_rankers(store, tmp_path, bundles):
    first, second, _ = bundles
    await go_live(store, first, kind=RANKERS)
    live = await go_live(store, second, first, kind=RANKERS)
    (tmp_path / RANKERS / second / "manifest.json").unlink()
    assert await Process(store).told(live) == bundles[first]
    (tmp_path / RANKERS / first / "manifest.json").unlink()
    assert await Process(store).told(live) == PriorRankers().version


class Told(NamedTuple):
    """A record of ``explore.versions``."""

    value: bytes | None
    offset: int = 0
    key: bytes = b"ig2vec"
    partition: int = 0
    timestamp: int = 0


def said(version):
    return Told(version_message(version).value)


@pytest.mark.parametrize("previous", ["../../etc", "a/b", "", "gone"])
def test_the_way_back_ends_where_a_note_is_damaged(store, previous):
    first = put(store, 1)
    store.write_note(IG2VEC, first, LIVE_NOTE, Live(announced_ms=1, previous=previous, reason=""))
    live = Version(IG2VEC, "0" * 24, 2, previous=first)
    assert list(earlier(store, live))[:1] == [first]
    assert last_good(store, live, number_of) == (first, 1)


async def test_what_is_live_is_known_although_the_newest_record_is_damaged(store):
    heard = Heard()
    good = Version(IG2VEC, "v1", 1, space="s")
    heard.hear([said(good), Told(b'{"kind": "ig2vec", "version": "../../etc"}')])
    assert (heard.live, heard.damaged) == ({IG2VEC: good}, {IG2VEC})
    heard.hear([said(good)])
    assert heard.damaged == set()
    # Compaction took the good record: the notes tell what went live last.
    first, second = put(store, 1), put(store, 2)
    await announce(store, Outbox(), Version(IG2VEC, second, 5, previous=first), 5)
    await announce(store, Outbox(), Version(IG2VEC, first, 9, previous=second, reason="back"), 5)
    noted = noted_live(store, IG2VEC)
    assert (noted.version, noted.previous, noted.reason) == (first, second, "back")
    assert noted_live(store, RANKERS) is None


def test_nothing_is_noted_where_the_store_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    assert noted_live(ArtifactStore(str(tmp_path / "file")), IG2VEC) is None
    live = Version(IG2VEC, "v1", 1, previous="v0")
    assert last_good(ArtifactStore(str(tmp_path / "file")), live, number_of) is None


def test_the_newest_version_counts_whichever_partition_is_read_first():
    # Partitions were added between the two: the kind moved from 1 to 0.
    old, new = Version(RANKERS, "old", 1), Version(RANKERS, "new", 2)
    records = [
        Record(RANKERS.encode(), version_message(version).value, partition, timestamp)
        for version, partition, timestamp in ((old, 1, 10), (new, 0, 20))
    ]
    for order in (records, records[::-1]):
        newest = NewestVersions()
        taken = [v for record in order for v in versions(newest.take([record]))]
        assert taken[-1] == new
    poison = Record(RANKERS.encode(), b"{", 2, 30)
    assert NewestVersions().take([poison]) == []
