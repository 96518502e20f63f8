"""Poison in every topic of Freshgrid's own: a letter for the record, and nobody stops.

One table: for each topic a good record, and a reader made of the parts that read the topic in a
process. Poison goes between two good records, and both must have their effect.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.kafka import ClusterInfo
from infra.memory_store import MemorySchedule, MemoryStore
from infra.topics import (
    CANDIDATES_TOPIC,
    DEAD_LETTERS_TOPIC,
    EMBEDDINGS_TOPIC,
    EXAMPLES_TOPIC,
    FORGOTTEN_TOPIC,
    IMPRESSIONS_TOPIC,
    SESSIONS_TOPIC,
    TOPICS,
    TOUCHED_TOPIC,
    VERSIONS_TOPIC,
)
from models.events import DAY_MS, InvalidEventError, Unreadable
from models.examples.page_join import ExampleJoin
from models.viewers.forgotten import Forgotten, ForgottenViewers
from models.world import World
from streams.clock import now_ms
from streams.dead_letter import dead_letter, parse_dead_letter
from streams.embeddings import Embeddings
from streams.examples import ExampleStream
from streams.letters import Letters
from streams.log.dead_letters import StoredDeadLetter, _summary, decode_record, time_text
from streams.ranking import Ranking
from streams.records import ClosedSession, Touched, closed_sessions, touches
from streams.rights.forgotten import hear
from streams.serving.live_items import LiveItems
from streams.serving.live_rankers import LiveRankers
from streams.serving.world_feed import WorldFeed, embedding_messages
from streams.sessions import Sessions
from streams.training import Training
from streams.versions import (
    IG2VEC,
    ITEMS,
    RANKERS,
    Heard,
    Version,
    earlier,
    last_good,
    version_message,
)
from tests.unit.models.examples.test_candidate_log import record as candidates
from tests.unit.models.examples.test_from_pages import page

NOW: Final = now_ms()
AHEAD: Final = NOW + 2 * DAY_MS


class Record(NamedTuple):
    value: bytes | None
    offset: int = 0
    key: bytes | None = b"key"
    partition: int = 0
    timestamp: int = NOW


class Outbox:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send(self, messages: Any) -> None:
        self.sent += messages

    def letters(self) -> list[Any]:
        return [parse_dead_letter(m.value) for m in self.sent if m.topic == DEAD_LETTERS_TOPIC]


class Process:
    """What reads internal topics, with nothing around it."""

    def __init__(self, folder: str) -> None:
        settings = Settings(redis_url="redis://nowhere", bootstrap_sessions=10**6)
        self.outbox = Outbox()
        self.letters = Letters(self.outbox)
        self.store = MemoryStore(settings)
        self.schedule = MemorySchedule()
        self.sessions = Sessions(self.store, self.schedule, self.outbox, settings.session_gap_ms)
        self.ranking = Ranking(self.store, None)
        self.world = World()
        self.feed = WorldFeed(self.world, self.letters.refuse)
        self.artifacts = ArtifactStore(folder)
        self.training = Training(
            settings, World(), self.artifacts, self.outbox, refuse=self.letters.refuse
        )
        self.embeddings = Embeddings(settings, self.artifacts, self.outbox, None, self.world)
        cluster = ClusterInfo("log", dict.fromkeys(TOPICS, 1))
        self.labelling = ExampleStream(settings, cluster, self.outbox)
        self.labelling._letters = self.letters
        self.viewers = ForgottenViewers()
        self.heard = Heard(self.letters.refuse)
        self.rankers, self.items = LiveRankers(self.artifacts), LiveItems(self.artifacts, World())

    async def touched(self, records: list[Record]) -> int:
        told = touches(records, self.letters.refuse)
        await self.sessions.touched(told, NOW)
        await self.sessions.sweep(NOW + 60_000)
        self.ranking.touch(told, lambda: None)
        return len(told)

    async def closed(self, records: list[Record]) -> int:
        before = self.embeddings._fresh_sessions
        self.embeddings.closed(closed_sessions(records, self.letters.refuse), lambda: None)
        self.embeddings._histories.corpus(NOW - 90 * DAY_MS)
        self.embeddings._histories.lesson(NOW - 90 * DAY_MS)
        assert self.embeddings._stream_ms <= NOW + 2 * DAY_MS
        return self.embeddings._fresh_sessions - before

    async def embeddings_read(self, records: list[Record]) -> int:
        self.feed.apply(EMBEDDINGS_TOPIC, records)
        self.feed.polled(0)
        return sum(space.told for space in self.world.spaces())

    async def impressions(self, records: list[Record]) -> int:
        from aiokafka import TopicPartition

        self.labelling._take(TopicPartition(IMPRESSIONS_TOPIC, 0), records)
        join: ExampleJoin = self.labelling._join
        return len(list(join.due(NOW + 3 * DAY_MS)))

    async def examples(self, records: list[Record]) -> int:
        before = self.training._intake.pages
        await self.training.examples(records)
        await self.training.polled(0)
        assert len(self.training._intake.kept.all()) == len(self.training._intake.kept)
        return self.training._intake.pages - before

    async def candidates(self, records: list[Record]) -> int:
        self.training.candidates(records)
        return len(self.training._logged)

    async def versions(self, records: list[Record]) -> int:
        self.feed.apply(VERSIONS_TOPIC, records)
        self.heard.hear(records)
        await self.rankers.apply(records)
        await self.items.apply(records)
        for told in self.heard.live.values():
            self.embeddings.told(told)
            self.training.told(told)
            list(earlier(self.artifacts, told))
            last_good(self.artifacts, told, lambda artifact: artifact)
        await self.embeddings._take_over()
        return len(self.heard.live)

    async def forgotten(self, records: list[Record]) -> int:
        hear(self.viewers, records, self.letters.refuse)
        return len(self.viewers)

    async def dead_letters(self, records: list[Record]) -> int:
        found = [decode_record(record) for record in records]
        for letter in found:
            if isinstance(letter, StoredDeadLetter):
                base64.b64decode(letter.about.value_base64)
                time_text(_summary(letter)["first_seen"])
            elif letter is not None:
                time_text(letter.redriven_ms)
        return sum(letter is not None for letter in found)


class Topic(NamedTuple):
    """How one topic is read.

    Attributes:
        good: a good record by a number; records of two numbers have two effects.
        lettered: whether bad records get letters; a letter about letters would never end.
    """

    good: Callable[[int], bytes | None]
    read: Callable[[Process, list[Record]], Any]
    lettered: bool = True


def _labelled(number: int) -> bytes:
    join = ExampleJoin()
    join.add_page(page(f"r{number}", served=NOW - DAY_MS))
    [labelled] = join.due(NOW)
    return msgspec.json.encode(labelled)


def _letter(number: int) -> bytes | None:
    error = InvalidEventError("bad_json", "no JSON")
    return dead_letter("events.like", 0, number, b"v", b"{", error, NOW).value


READERS: Final = {
    TOUCHED_TOPIC: Topic(
        lambda n: msgspec.json.encode(Touched(f"v{n}", NOW, viewed=True)), Process.touched
    ),
    SESSIONS_TOPIC: Topic(
        lambda n: msgspec.json.encode(
            ClosedSession(f"v{n}", NOW - 9, NOW, [("a", "like", NOW - 9), ("b", "save", NOW)])
        ),
        Process.closed,
    ),
    EMBEDDINGS_TOPIC: Topic(
        lambda n: (
            next(embedding_messages("s", [f"a{n}"], np.full((1, 4), n + 1, np.float32))).value
        ),
        Process.embeddings_read,
    ),
    IMPRESSIONS_TOPIC: Topic(
        lambda n: msgspec.json.encode(page(f"r{n}", served=NOW - 1000)), Process.impressions
    ),
    EXAMPLES_TOPIC: Topic(_labelled, Process.examples),
    CANDIDATES_TOPIC: Topic(
        lambda n: msgspec.json.encode(candidates(f"v{n}", NOW)), Process.candidates
    ),
    VERSIONS_TOPIC: Topic(
        lambda n: (
            version_message(
                Version([RANKERS, IG2VEC, ITEMS][n], "v1", NOW, space="s" * (n == 1), previous="v0")
            ).value
        ),
        Process.versions,
    ),
    FORGOTTEN_TOPIC: Topic(
        lambda n: msgspec.json.encode(Forgotten.of(f"v{n}", NOW)), Process.forgotten
    ),
    DEAD_LETTERS_TOPIC: Topic(_letter, Process.dead_letters, lettered=False),
}


def test_every_internal_topic_is_in_the_table() -> None:
    assert READERS.keys() == {topic for topic in TOPICS if topic.startswith("explore.")}


def broken(good: bytes) -> Iterator[tuple[str, bytes | None]]:
    """Values that are no record of any topic."""
    yield "bad UTF-8", good.replace(b'":"', b'":"\xff', 1)
    yield "no UTF-8 at all", b"\xff\xfe{"
    yield "empty", b""
    yield "cut", good[: len(good) // 2]
    yield "a list", b"[" + good + b"]"
    yield "null", b"null"
    yield "nothing in it", b"{}"
    yield "a batch that cannot be read", Unreadable(b"the batch of offsets 1 to 1")
    yield "too deep", b'{"unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"," + good[1:]
    yield "half of a pair", b'{"a":"\\ud800",' + good[1:]


#: What a field may hold that it must not; what a topic takes of it must be harmless.
VALUES: Final[list[Any]] = [
    None, True, "", "x", "x" * 200, "../../etc", -1, 0, 1.5, 2**31, 2**63, 2**70, 10**17,
    [], [7], [-1], ["x"], [["a", "like", 10**17]], [["a", "poke", NOW]], {}, {"x": [7]},
    {"like": [0, 0]}, {"like": [-1]}, {"x": 1e300}, [1e300] * 4, [None], [{}],
]  # fmt: skip
#: Of all topics: these fields decide what becomes of everything else, so no such value passes.
NEVER: Final[dict[str, list[Any]]] = {
    "viewer_id": ["", "x" * 200, None, 7],
    "ts": [-1, 10**17, 2**63, 2**70, AHEAD],
    "ended_ts": [-1, 10**17, 2**63, 2**70, AHEAD],
    "steps": [[], [["a", "poke", NOW]], [["a", "like", 10**17]], [["x" * 200, "like", NOW]]],
    "vector": ["", "AAA", "AAAAAA==", "AADAfw==", "AAAAAA=="],
    "served_ms": [-1, 2**63, 2**70, 10**17, AHEAD],
    "page": [-1, 2**31, 2**70],
    "seen": [[7], [-1], [2**70], [0, 0]],
    "labels": [{"like": [7]}, {"like": [-1]}, {"like": [0, 0]}],
    "first_position": [0, -1, 2**31, 32_767],
    "propensities": [[], [0.0] * 4, [2.0] * 4],
    "ranked_ms": [-1, 2**63, 10**17, AHEAD],
    "candidates": [-1, 2**63, 1.5],
    "features": ["x", 7, None],
    "kind": ["", "x", 7],
    "version": ["", "../../etc", "a/b", None],
    "previous": ["../../etc", "a/b", 7],
    "announced_ms": [-1, 10**17, 2**70],
    "accounts": [-1, 2**63],
    "first_seen": [-1, 10**17, 2**70],
    "value_base64": ["x", "é"],
    "partition": [-2],
    "offset": [-1],
}
#: Where a name means something else in one topic.
FINE: Final = {(IMPRESSIONS_TOPIC, "candidates")}


def poison(topic: str) -> Iterator[tuple[str, bytes | None]]:
    good = READERS[topic].good(2) or b""
    yield from broken(good)
    fields = json.loads(good)
    more = ("previous", "accounts") if topic == VERSIONS_TOPIC else ()
    for name in dict.fromkeys((*fields, *more)):
        for value in NEVER.get(name, ()) if (topic, name) not in FINE else ():
            # Named without the time: whoever runs them side by side collects the same tests.
            what = str(value).replace(str(AHEAD), "ahead").replace(str(NOW), "now")
            yield f"{name} {what[:40]}", json.dumps({**fields, name: value}).encode()


CASES: Final = [(topic, what, value) for topic in READERS for what, value in poison(topic)]


@pytest.mark.parametrize(
    ("topic", "value"),
    [pytest.param(topic, value, id=f"{topic} {what}") for topic, what, value in CASES],
)
async def test_poison_gets_a_letter_and_stops_nobody(topic, value, tmp_path) -> None:
    of = READERS[topic]
    process = Process(str(tmp_path))
    records = [Record(of.good(0)), Record(value, 1), Record(of.good(1), 2)]
    assert await of.read(process, records) == 2
    await process.letters.send()
    letters = process.outbox.letters()
    if not of.lettered:
        assert letters == []
        return
    assert [(one.topic, one.partition, one.offset) for one in letters] == [(topic, 0, 1)]
    assert base64.b64decode(letters[0].value_base64) == (value or b"")
    assert (letters[0].error == "unreadable") == isinstance(value, Unreadable)
    # Read again, as after a rebalance: it has its letter.
    await of.read(process, records)
    await process.letters.send()
    assert len(process.outbox.letters()) == 1


@given(st.data())
async def test_whatever_a_field_holds_stops_nobody(tmp_path_factory, data) -> None:
    topic = data.draw(st.sampled_from(sorted(READERS)))
    of = READERS[topic]
    fields = json.loads(of.good(2) or b"")
    for name in data.draw(st.sets(st.sampled_from(sorted(fields)), min_size=1, max_size=2)):
        fields[name] = data.draw(st.sampled_from(VALUES))
    value = json.dumps(fields).encode()
    process = Process(str(tmp_path_factory.getbasetemp() / "artifacts"))
    records = [Record(value), Record(of.good(0), 1), Record(value, 2), Record(of.good(1), 3)]
    assert await of.read(process, records) >= 2


async def test_a_vector_of_another_length_does_not_keep_the_others_out() -> None:
    for order in ([0, 1, 2], [1, 2, 0]):
        process = Process("memory://none")
        values = [
            *embedding_messages("s", ["odd"], np.ones((1, 2), np.float32)),
            *embedding_messages("s", ["a", "b"], np.eye(2, 4, dtype=np.float32)),
        ]
        records = [Record(values[at].value, n) for n, at in enumerate(order)]
        for one in records:
            process.feed.apply(EMBEDDINGS_TOPIC, [one])
        process.world.name_space("s")
        space = process.world.space
        assert (space.dimension, sorted(space.account_ids())) == (4, ["a", "b"])


async def test_letters_that_were_sent_before_a_restart_are_not_sent_again() -> None:
    outbox, noted = Outbox(), {}

    async def note(ends: Any) -> None:
        noted.update(ends)

    error = InvalidEventError("bad_json", "no JSON")
    for _ in range(2):
        letters = Letters(outbox, noted, note)
        for offset in (3, 8):
            letters.refuse(EXAMPLES_TOPIC, Record(b"{", offset), error)
        await letters.send()
    assert [letter.offset for letter in outbox.letters()] == [3, 8]
    assert noted == {(EXAMPLES_TOPIC, 0): 9}
