"""What the chaos run sends, and what must come of it.

Made from the bundled fixture and a seed alone: viewers are cloned under new ids with shifted
times, and a stated share of the records is made difficult. What must be counted in the end is
written down while the records are made, without any of the code under test.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any, Final, NamedTuple

from infra.kafka import Message
from models.actions import STRONG_HEADS, VIEWS, Action, undo_kind
from models.events import Relation
from streams.log.replay import Line, read_fixture
from tests.paths import FIXTURES

FIXTURE: Final = FIXTURES / "kuairand.jsonl.gz"

# Shares of the records on event topics.
#: Sent once more, unchanged: half of them at once, half at any later time.
RETRIES: Final = 0.03
#: Undos: half of them reach the log before their action.
UNDOS: Final = 0.02
#: Refused by validation, of every kind in `_poison`.
POISON: Final = 0.002
# Shares of the other events.
#: Sent far behind where their time would put them.
LATE: Final = 0.05
#: Without author: it is in the catalogue by then, or comes later.
NO_AUTHOR: Final = 0.05
#: Turned into a follow, block or mute of the author, a fifth of them undone.
RELATIONS: Final = 0.02
#: Views turned into actions that are no views (the fixture has 7 % of these).
STRONG: Final = 0.3
#: Share of the media whose catalogue record comes at any time while events flow.
LATE_MEDIA: Final = 0.3

DAY_MS: Final = 24 * 3600 * 1000
#: Action logs of viewers with undos stay this far below the caps (200 and 100).
MOST_STRONG: Final = 180
MOST_VIEWS: Final = 80

TOPIC_OF: Final = {action: action.row.topic for action in Action}
MEDIA: Final = "catalog.media"
FOLLOW: Final = "events.follow"

Json = dict[str, Any]
Place = tuple[str, str]


class Expected(NamedTuple):
    """What one viewer's state must hold: distinct events that are not undone.

    Attributes:
        counts: (author, action) → how many.
        relations: (author, relation) that hold.
        strong: events in the action log of what is no view, undos included.
        views: the same in the action log of views.
    """

    counts: Counter[tuple[str, int]]
    relations: set[tuple[str, str]]
    strong: int
    views: int


class Workload(NamedTuple):
    """Records in the order in which they are sent.

    Attributes:
        catalogue: what is known before the first event.
        records: events, and the catalogue records that come while they flow.
        expected: viewer → what her state must hold.
        poison: (topic, key) of the records that must become dead letters; no other has the key.
        made: how many records of each difficult kind there are.
        letters: (topic, partition, offset) of dead letters that are about no record.
    """

    catalogue: list[Message]
    records: list[Message]
    expected: dict[str, Expected]
    poison: set[Place]
    made: Counter[str]
    letters: set[tuple[str, int, int]]

    def like(self, viewer: str, ts: int) -> Message:
        """A like of a media of the catalogue, which is expected from now on."""
        media = next(json.loads(m.value or b"") for m in self.catalogue if m.topic == MEDIA)
        event = {
            "event_id": f"{viewer}-{ts}", "viewer_id": viewer, "media_id": media["media_id"],
            "author_id": media["author_id"], "ts": ts,
        }  # fmt: skip
        known = self.expected.get(viewer, Expected(Counter(), set(), 0, 0))
        counts = known.counts + Counter({(media["author_id"], int(Action.LIKE)): 1})
        self.expected[viewer] = known._replace(counts=counts, strong=known.strong + 1)
        return _message(Action.LIKE.row.topic, event)


class _Action(NamedTuple):
    """One action of a viewer, as it will be sent."""

    action: Action
    event: Json

    @property
    def group(self) -> tuple[str, str, int]:
        """An undo takes back an action of the same group."""
        kind = undo_kind(self.action)
        return self.event["viewer_id"], self.event["media_id"], kind


def make_workload(seed: int, events: int) -> Workload:
    """`events` records on event topics, copies, undos and poison included."""
    return _Maker(Random(seed), events).make()


@cache
def _fixture() -> list[tuple[Line, Json]]:
    """The bundled fixture; nobody changes it."""
    return [(line, json.loads(line.value)) for line in read_fixture(FIXTURE)]


class _Maker:
    def __init__(self, rng: Random, events: int) -> None:
        self._rng = rng
        self._events = events
        self._counts: defaultdict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
        self._sizes: defaultdict[str, Counter[bool]] = defaultdict(Counter)
        # viewer → (author, relation) → (ts, undone) of the newest decision
        self._relations: defaultdict[str, dict[tuple[str, str], tuple[int, bool]]]
        self._relations = defaultdict(dict)
        #: (position, number, message): sorted, they are in sending order.
        self._sent: list[tuple[float, int, Message]] = []
        self._made: Counter[str] = Counter()

    def make(self) -> Workload:
        retries = int(self._events * RETRIES)
        undos = int(self._events * UNDOS)
        poison = max(int(self._events * POISON), len(POISON_KINDS))
        self._length = self._events - retries - undos - poison

        lines = _fixture()
        self._authors = {r["media_id"]: r["author_id"] for line, r in lines if line.topic == MEDIA}
        base = list(self._base([r for line, r in lines if line.topic.startswith("events.")]))
        self._undo(base, undos)
        self._retry(retries)
        places = self._poison(poison)
        catalogue = []
        for line, record in lines:
            if line.topic.startswith("catalog."):
                message = Message(line.topic, line.key.decode(), _encode(record))
                if line.topic == MEDIA and self._chance(LATE_MEDIA):
                    self._send(self._anywhere(), message, "media while events flow")
                else:
                    catalogue.append(message)
        self._sent.sort()
        records = [message for _, _, message in self._sent]
        return Workload(catalogue, records, self._expected(), places, self._made, set())

    def _base(self, fixture: list[Json]) -> Iterator[_Action]:
        """Send each event of the cloned viewers once; yields those that an undo may follow."""
        fixture = [event for event in fixture if "media_id" in event]
        clones = -(-self._length // len(fixture))
        shifts: dict[str, int] = {}
        for number in range(self._length):
            # The clones run side by side.
            source, clone = divmod(number, clones)
            event = {k: v for k, v in fixture[source].items() if k not in ("long", "dwell_ms")}
            event["event_id"] += f"~{clone}"
            viewer = event["viewer_id"] = f"{event['viewer_id']}~{clone}"
            event["ts"] -= shifts.setdefault(viewer, self._rng.randrange(30 * DAY_MS))
            position = float(number)
            if self._chance(LATE):
                self._made["late"] += 1
                position += self._rng.expovariate(10 / self._length)
            if self._chance(RELATIONS):
                self._relate(position, event)
                continue
            action = self._rng.choice(STRONG_HEADS if self._chance(STRONG) else VIEWS)
            if action.row.long:
                event["long"] = True
            self._counts[viewer][event["author_id"], action] += 1
            self._sizes[viewer][action in VIEWS] += 1
            done = _Action(action, event)
            self._act(position, done, number)
            yield done

    def _act(self, position: float, done: _Action, number: int) -> None:
        event = done.event
        event["position"] = position  # for the undo; not sent
        sent = {k: v for k, v in event.items() if k != "position"}
        named = self._authors.get(event["media_id"]) == event["author_id"]
        kind = ""
        if named and self._chance(NO_AUTHOR):
            kind = "without author"
            del sent["author_id"]
        self._send(position, _message(TOPIC_OF[done.action], sent), kind)

    def _relate(self, position: float, event: Json) -> None:
        viewer, author = event["viewer_id"], event["author_id"]
        kind = self._rng.choice(list(Relation)).value
        undo = self._chance(0.2)
        known = self._relations[viewer].get((author, kind))
        while known is not None and known[0] == event["ts"]:
            event["ts"] += 1  # equal times would leave the winner to a tie-break
        if known is None or event["ts"] > known[0]:
            self._relations[viewer][author, kind] = (event["ts"], undo)
        del event["media_id"]
        self._send(
            position,
            _message(FOLLOW, {**event, "kind": kind, **({"undo": True} if undo else {})}),
            "follow, block or mute",
        )

    def _undo(self, base: list[_Action], undos: int) -> None:
        """Take back actions that are the only one of their group: no doubt which is meant."""
        groups = Counter(done.group for done in base)
        candidates = [done for done in base if groups[done.group] == 1]
        self._rng.shuffle(candidates)
        left = undos
        while left:
            done = candidates.pop()
            event, views = done.event, done.action in VIEWS
            sizes = self._sizes[event["viewer_id"]]
            if sizes[True] >= MOST_VIEWS or sizes[False] >= MOST_STRONG:
                continue
            left -= 1
            sizes[views] += 1
            self._counts[event["viewer_id"]][event["author_id"], done.action] -= 1
            undo = {**event, "undo": True, "ts": event["ts"] + self._rng.randrange(1, 60_000)}
            position = undo.pop("position")
            if self._chance(0.5):
                undo["event_id"] += "-undo"  # else the id of the action, which is allowed, too
            before = self._chance(0.5)
            distance = self._rng.uniform(1, self._length / 20)
            self._send(
                position - distance if before else position + distance,
                _message(TOPIC_OF[done.action], undo),
                "undo before its action" if before else "undo after its action",
            )

    def _retry(self, retries: int) -> None:
        for position, _, message in self._rng.sample(self._sent, retries):
            if self._chance(0.5):
                self._send(position + self._rng.uniform(0, 20), message, "retry at once")
            else:
                later = self._rng.uniform(position, max(position, self._length))
                self._send(later, message, "retry much later")

    def _poison(self, poison: int) -> set[Place]:
        places = set()
        for number in range(poison):
            event = {
                "event_id": f"poison-{number}", "viewer_id": f"poison-{number}",
                "media_id": "m1", "author_id": "a1", "ts": 1_650_000_000_000,
            }  # fmt: skip
            make = POISON_KINDS[number % len(POISON_KINDS)]
            topic = self._rng.choice(sorted({*TOPIC_OF.values(), MEDIA}))
            # Events are no media: on that topic everything is poison.
            self._send(self._anywhere(), Message(topic, event["viewer_id"], make(event)), "poison")
            places.add((topic, event["viewer_id"]))
        return places

    def _expected(self) -> dict[str, Expected]:
        return {
            viewer: Expected(
                +self._counts[viewer],
                {name for name, (_, undone) in self._relations[viewer].items() if not undone},
                self._sizes[viewer][False],
                self._sizes[viewer][True],
            )
            for viewer in {*self._counts, *self._relations}
        }

    def _send(self, position: float, message: Message, kind: str) -> None:
        self._sent.append((position, len(self._sent), message))
        if kind:
            self._made[kind] += 1

    def _chance(self, share: float) -> bool:
        return self._rng.random() < share

    def _anywhere(self) -> float:
        return self._rng.uniform(0, self._length)


def _encode(record: Json) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def _message(topic: str, event: Json) -> Message:
    return Message(topic, event["viewer_id"], _encode(event))


def _without(event: Json, field: str) -> bytes:
    return _encode({k: v for k, v in event.items() if k != field})


POISON_KINDS: Final = (
    lambda event: _encode(event).replace(b"poison", b"\xff\xfe"),
    lambda event: _encode(event)[:-7],
    lambda event: _encode([event]),
    lambda event: _without(event, "event_id"),
    lambda event: _encode({**event, "media_id": 7, "viewer_id": 7}),
    lambda event: _encode({**event, "ts": event["ts"] // 1000, "media_id": ""}),
    lambda event: _encode({**event, "ts": 10**15, "author_id": ""}),
    lambda event: _encode({**event, "padding": "x" * 70_000}),
)
