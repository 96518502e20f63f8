"""Rankers, the learner and a plain fold of the log count the same of everybody."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.actions import Action, undo_kind
from models.events import DAY_MS, MEDIA_TOPIC, MINUTE_MS
from models.examples.from_events import ExampleBuilder
from models.examples.waiting_events import Observed
from models.inventory.acts import Act
from models.inventory.uncatalogued import MOST_OF_ONE, Uncatalogued
from models.world import World, WorldConfig
from streams.serving.world_feed import WorldFeed, media_events

NOW = 1_700_000_000_000
MEDIA = ("m0", "m1", "m2")
ALL_MEDIA = (*MEDIA, "never")
AUTHORS = ("a0", "a1")


class Record(NamedTuple):
    topic: str
    value: bytes | None
    key: bytes | None = None
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


def event(action: Action, at: int, viewer: str, media: str, ts: int, **more: Any) -> Record:
    value = {"event_id": f"e{at}", "viewer_id": viewer, "media_id": media, "ts": ts, **more}
    if action is Action.LONG_VIEW:
        value["long"] = True
    return Record(action.row.topic, json.dumps(value).encode())


def media(name: str, author: str) -> Record:
    value = {"media_id": name, "author_id": author, "created_ts": 1}
    return Record(MEDIA_TOPIC, json.dumps(value).encode(), name.encode())


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Records as they are delivered: copies, late ones, some on media that never come."""
    events = []
    for at in range(draw(st.integers(0, 20))):
        action, viewer = draw(st.sampled_from(Action)), draw(st.sampled_from(("v", "w")))
        name = draw(st.sampled_from(ALL_MEDIA))
        ts = NOW - draw(st.integers(0, 200)) * 30 * MINUTE_MS
        undo = {"undo": True} if draw(st.integers(0, 4)) == 0 else {}
        sent = event(action, at, viewer, name, ts, **undo)
        events.append(sent)
        if draw(st.booleans()):
            # It waited for its media, and came again with the author.
            events.append(event(action, at, viewer, name, ts, author_id="a0", **undo))
        if draw(st.booleans()):
            events.append(sent)
    told = [media(name, draw(st.sampled_from(AUTHORS))) for name in MEDIA]
    # A media may be given to another author.
    again = [media(name, draw(st.sampled_from(AUTHORS))) for name in MEDIA if draw(st.booleans())]
    mixed = draw(st.permutations([*events, *told]))
    at = draw(st.integers(0, len(mixed)))
    if all(record in mixed[:at] for record in told):
        return [*mixed[:at], *again, *mixed[at:]]
    return [*mixed, *again]


def batches(draw: st.DataObject, records: list[Record]) -> list[list[Record]]:
    """Records of one topic beside each other, as a reader is given them."""
    found: list[list[Record]] = []
    for record in records:
        if found and found[-1][0].topic == record.topic and draw.draw(st.booleans()):
            found[-1].append(record)
        else:
            found.append([record])
    return found


def numbers(world: World) -> np.ndarray:
    catalog, popularity = world.catalog, world.popularity
    rows = catalog.media_rows(ALL_MEDIA)
    authors = popularity.decayed_authors(catalog.author_rows(AUTHORS), NOW)
    parts = [popularity.decayed_media(rows, NOW), authors, popularity.decayed_total(NOW)]
    return np.concatenate([part.ravel() for part in [*parts, world.worth(rows, NOW)]])


def plain(log: list[Record]) -> np.ndarray:
    """Every viewer, media and action that stands, counted by itself."""
    author_of, newest = dict[str, str](), dict[tuple[str, str, Action], tuple[int, bool]]()
    for record in log:
        said = json.loads(record.value or b"")
        if record.topic == MEDIA_TOPIC:
            author_of[said["media_id"]] = said["author_id"]
            continue
        [(action, _)] = media_events(record.topic, [record])
        told = said["ts"], said.get("undo", False)
        taken_back = [a for a in Action if undo_kind(a) == undo_kind(action)]
        for of in taken_back if told[1] else [action]:
            what = said["viewer_id"], said["media_id"], of
            newest[what] = max(newest.get(what, (0, False)), told)
    config = WorldConfig()
    # Until the catalogue says, a media is of the author that events name.
    author_of |= {
        said["media_id"]: said["author_id"]
        for said in (json.loads(record.value or b"") for record in log)
        if "author_id" in said and said["media_id"] not in author_of
    }
    half_lives = [config.trends_ms[0], config.popularity.half_life_ms, *config.trends_ms[1:]]
    media_na = np.zeros((len(ALL_MEDIA), len(Action)))
    authors_na, total_a = np.zeros((len(AUTHORS), len(Action))), np.zeros(len(Action))
    worth_np = np.zeros((len(ALL_MEDIA), len(half_lives)))
    for (_, name, action), (ts, undo) in newest.items():
        if undo:
            continue
        left = 2.0 ** ((ts - NOW) / np.array(half_lives))
        media_na[ALL_MEDIA.index(name), action] += left[1]
        if name in author_of:
            authors_na[AUTHORS.index(author_of[name]), action] += left[1]
        total_a[action] += left[1]
        worth_np[ALL_MEDIA.index(name)] += left * action.row.popularity
    parts = (media_na, authors_na, total_a, worth_np)
    return np.concatenate([part.ravel() for part in parts])


@given(logs(), st.data())
def test_a_ranker_the_learner_and_a_plain_fold_count_the_same(
    log: list[Record], data: st.DataObject
) -> None:
    ranker = WorldFeed(World())
    for batch in batches(data, log):
        ranker.apply(batch[0].topic, batch)

    learner = WorldFeed(World())
    builder = ExampleBuilder(learner.world)
    unsorted: list[Observed] = []
    for batch in batches(data, log):
        if batch[0].topic == MEDIA_TOPIC:
            learner.apply(MEDIA_TOPIC, batch)
        else:
            unsorted.extend(media_events(batch[0].topic, batch))
        if data.draw(st.booleans()):
            builder.observe(sorted(unsorted, key=lambda done: done[1].ts), NOW)
            unsorted = []
    builder.observe(sorted(unsorted, key=lambda done: done[1].ts), NOW)
    builder.flush()

    expected = plain(log)
    for world in (ranker.world, learner.world):
        np.testing.assert_allclose(numbers(world), expected, rtol=1e-9, atol=1e-9)


def test_events_on_media_that_never_come_are_bounded() -> None:
    world = World(WorldConfig(waiting=100))
    feed = WorldFeed(world)
    for at in range(500):
        for author in ("a", "b"):
            sent = event(Action.LIKE, at, "v", f"m{at}", NOW, author_id=f"{author}{at}")
            feed.apply("events.like", [sent])
    assert world.catalog.media_count == world.catalog.account_count == 100
    assert (len(world.uncatalogued), world.uncatalogued.dropped) == (100, 700)
    feed.apply(MEDIA_TOPIC, [media("m499", "a"), media("m0", "a")])
    assert world.popularity.decayed_total(NOW)[Action.LIKE] == 101.0
    # A place is free again.
    feed.apply("events.like", [event(Action.LIKE, 0, "v", "new", NOW)])
    assert world.catalog.media_count == 102


def test_one_media_that_never_comes_pushes_out_no_others() -> None:
    waiting = Uncatalogued(2 * MOST_OF_ONE)
    one = Act("other", None, 1, Action.LIKE, NOW - DAY_MS, undo=False)
    flood = Act("flood", None, 1, Action.LIKE, NOW, undo=False)
    waiting.add([one, *[flood] * (3 * MOST_OF_ONE)])
    assert waiting.take(["other"]) == [one]
    assert len(waiting) == MOST_OF_ONE == len(waiting.take(["flood"]))
    assert len(waiting) == 0
