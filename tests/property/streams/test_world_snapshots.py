"""A snapshot and what came after it are the whole log, wherever it is cut."""

from __future__ import annotations

import io
import json
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.actions import MEDIA_EVENT_TOPICS, Action
from models.arrays.stored import StoredArraysError
from models.events import ACCOUNTS_TOPIC, DAY_MS, MEDIA_TOPIC
from models.inventory.co_engagement import CoEngagementConfig
from models.inventory.viewer_marks import viewer_keys
from models.viewers.forgotten import Forgotten, ForgottenViewers
from models.world import FORMATS, World, WorldConfig
from streams.rights.forgotten import known
from streams.serving.world_feed import WorldFeed, embedding_messages, removal_messages
from streams.versions import Version, version_message

NOW = 1_700_000_000_000
#: Little room, so that all that is bounded runs over.
CONFIG = WorldConfig(
    co_engagement=CoEngagementConfig(neighbours=2, media=3, viewers=4),
    image_dimension=4,
    waiting=3,
    remembered=8,
    details=True,
)
MEDIA = tuple(f"m{number}" for number in range(6))
ACCOUNTS = ("a0", "a1", "a2", "a3")
VIEWERS = ("v0", "v1", "v2")
SPACES = ("one", "two")


class Record(NamedTuple):
    topic: str
    key: bytes
    value: bytes | None
    partition: int = 0
    timestamp: int = NOW
    offset: int = 0


def record(topic: str, key: str, partition: int = 0, **value: Any) -> Record:
    return Record(topic, key.encode(), json.dumps(value).encode() if value else None, partition)


times = st.integers(0, 90).map(lambda days: NOW - days * DAY_MS)
#: Where partitions were raised, a key stands in another one from then on.
partitions = st.integers(0, 2)


@st.composite
def of_media(draw: st.DrawFn) -> Record:
    name, partition = draw(st.sampled_from(MEDIA)), draw(partitions)
    if draw(st.integers(0, 3)) == 0:
        return record(MEDIA_TOPIC, name, partition)
    more: dict[str, Any] = {}
    if draw(st.booleans()):
        more["image_embedding"] = draw(st.sampled_from(([1, 0, 0, 0], [0.5, 0.25, 1, 3], [1])))
    if draw(st.booleans()):
        more |= {"topics": ["sea", "sky"], "language": "fr", "image_url": f"https://x/{name}"}
    return record(
        MEDIA_TOPIC, name, partition, media_id=name, author_id=draw(st.sampled_from(ACCOUNTS)),
        created_ts=draw(times), deleted=draw(st.integers(0, 4)) == 0,
        integrity={"nsfw": 0.25, "spam": 0.5, "misinformation": 0.0}, **more,
    )  # fmt: skip


@st.composite
def of_accounts(draw: st.DrawFn) -> Record:
    name, partition = draw(st.sampled_from(ACCOUNTS)), draw(partitions)
    if draw(st.integers(0, 3)) == 0:
        return record(ACCOUNTS_TOPIC, name, partition)
    topics = draw(st.sampled_from(([], ["sea"])))
    return record(
        ACCOUNTS_TOPIC, name, partition, account_id=name, topics=topics,
        private=draw(st.booleans()), disabled=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def of_vectors(draw: st.DrawFn) -> Record:
    name, space = draw(st.sampled_from(ACCOUNTS)), draw(st.sampled_from(SPACES))
    if draw(st.integers(0, 3)) == 0:
        [message] = removal_messages(space, [name])
    else:
        vector_d = np.array([[draw(st.integers(-3, 3)), draw(st.integers(1, 3)), 2]], np.float32)
        [message] = embedding_messages(space, [name], vector_d)
    return Record(message.topic, message.key.encode(), message.value, draw(partitions))


@st.composite
def of_versions(draw: st.DrawFn) -> Record:
    version = Version("ig2vec", "v", NOW, space=draw(st.sampled_from(SPACES)), accounts=3)
    message = version_message(version)
    return Record(message.topic, message.key.encode(), message.value, 0)


@st.composite
def of_events(draw: st.DrawFn) -> Record:
    action = draw(st.sampled_from([a for a in Action if a.row.topic in MEDIA_EVENT_TOPICS]))
    viewer = draw(st.sampled_from(VIEWERS))
    more: dict[str, Any] = {"undo": True} if draw(st.integers(0, 4)) == 0 else {}
    if draw(st.booleans()):
        more["author_id"] = draw(st.sampled_from(ACCOUNTS))
    if action is Action.LONG_VIEW:
        more["long"] = True
    media_id = draw(st.sampled_from((*MEDIA, "x0", "x1", "x2", "x3", "x4")))
    return record(
        action.row.topic, viewer, event_id=f"e{draw(st.integers(0, 9))}", viewer_id=viewer,
        media_id=media_id, ts=draw(times), **more,
    )  # fmt: skip


batches = st.one_of(
    st.lists(of_media(), min_size=1, max_size=4),
    st.lists(of_accounts(), min_size=1, max_size=2),
    st.lists(of_vectors(), min_size=1, max_size=3),
    st.lists(of_versions(), min_size=1, max_size=1),
    st.lists(of_events(), min_size=1, max_size=6),
)
logs = st.lists(batches, max_size=12)


def apply(feed: WorldFeed, log: list[list[Record]], forgotten: ForgottenViewers) -> None:
    """What a ranker does with records: a batch is of one topic and partition."""
    for batch in log:
        for place in dict.fromkeys((one.topic, one.partition) for one in batch):
            records = [one for one in batch if (one.topic, one.partition) == place]
            if place[0] in MEDIA_EVENT_TOPICS:
                records = list(known(forgotten, records))
            feed.apply(place[0], records)


class Snapshot(NamedTuple):
    """As a file has it: bytes of each array, and JSON."""

    arrays: dict[str, bytes]
    meta: bytes

    def array(self, name: str) -> np.ndarray:
        return np.load(io.BytesIO(self.arrays[name]), allow_pickle=False)


def stored(feed: WorldFeed, forgotten: ForgottenViewers) -> Snapshot:
    arrays, meta = feed.to_arrays()
    files = {}
    for name, array in feed.stored(arrays, forgotten.marks()).items():
        np.save(file := io.BytesIO(), array, allow_pickle=False)
        files[name] = file.getvalue()
    return Snapshot(files, msgspec.json.encode(meta))


def restored(snapshot: Snapshot, forgotten: ForgottenViewers, made_ms: int = 0) -> WorldFeed:
    arrays = {name: snapshot.array(name) for name in snapshot.arrays}
    meta = msgspec.json.decode(snapshot.meta)
    return WorldFeed.from_arrays(arrays, meta, CONFIG, forgotten.marks(), made_ms)


@settings(max_examples=30)
@given(log=logs, data=st.data())
def test_a_snapshot_and_what_came_after_it_are_the_whole_log(log, data) -> None:
    nobody = ForgottenViewers()
    whole, feed = WorldFeed(World(CONFIG)), WorldFeed(World(CONFIG))
    apply(whole, log, nobody)
    # More than once: a restored world is stored as well as any other.
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), min_size=1, max_size=3)))
    for start, end in zip([0, *cuts], [*cuts, len(log)], strict=True):
        apply(feed, log[start:end], nobody)
        before = feed.content_hash()
        feed = restored(stored(feed, nobody), nobody)
        assert feed.content_hash() == before
    assert feed.content_hash() == whole.content_hash()
    assert answers(feed.world) == answers(whole.world)


def answers(world: World) -> list[Any]:
    """What ranking asks of a world."""
    catalog, every = world.catalog, np.arange(world.catalog.media_count, dtype=np.int32)
    accounts = np.arange(catalog.account_count, dtype=np.int32)
    told: list[Any] = [
        catalog.posted_by(accounts, 9), catalog.newest(9), world.popularity.most_popular(9),
        world.worth(every, NOW), world.co_engagement.neighbours(every, NOW),
        world.popularity.decayed_authors(accounts, NOW), world.vectors_of(accounts),
        world.images.nearest(np.eye(4, dtype=np.float32), 3),
        [trend.most_worth(9) for trend in world.trends],
    ]  # fmt: skip
    if world.space is not None:
        told.append(world.space.nearest(np.eye(3, dtype=np.float32), 3))
    assert world.details is not None
    urls = [world.details.image_url(row) for row in every.tolist()]
    return [repr(told), catalog.media_ids(every), urls, world.space_name, len(world.uncatalogued)]


@settings(max_examples=30)
@given(log=logs, later=logs, at=st.integers(0, 12), data=st.data())
def test_who_was_forgotten_is_in_no_snapshot_and_comes_back_with_none(log, later, at, data) -> None:
    """Forgotten after a snapshot was written: neither it nor the next one brings anybody back."""
    viewer, allowed = data.draw(st.sampled_from(VIEWERS)), data.draw(st.booleans())
    lived, forgotten = WorldFeed(World(CONFIG)), ForgottenViewers()
    apply(lived, log[:at], forgotten)
    old = stored(lived, forgotten)
    apply(lived, log[at:], forgotten)
    forgotten.hear(Forgotten.of(viewer, NOW, allowed=allowed))
    lived.world.forget(forgotten.marks())
    apply(lived, later, forgotten)

    started = restored(old, forgotten, made_ms=NOW - 1)
    assert tells_of(stored(started, forgotten), viewer) == []
    apply(started, [*log[at:], *later], forgotten)
    for feed in (lived, started):
        assert tells_of(stored(feed, forgotten), viewer) == []


def tells_of(snapshot: Snapshot, viewer: str) -> list[str]:
    """The arrays of a snapshot that hold something of a viewer."""
    key, found = int(viewer_keys([viewer])[0]), []
    for name in snapshot.arrays:
        array = snapshot.array(name)
        if name.endswith("viewer"):
            there = (array == key).any()
        elif name.endswith("_key"):
            there = (array.view(np.int64) >> 32 == key >> 32).any()
        else:
            there = array.dtype == np.uint8 and viewer.encode() in array.tobytes()
        if there:
            found.append(name)
    return found


def a_snapshot() -> tuple[dict[str, Any], dict[str, Any]]:
    feed = WorldFeed(World(CONFIG))
    apply(
        feed,
        [[record(MEDIA_TOPIC, "m0", media_id="m0", author_id="a0", created_ts=1)]],
        ForgottenViewers(),
    )
    arrays, meta = feed.to_arrays()
    return feed.stored(arrays), msgspec.json.decode(msgspec.json.encode(meta))


@pytest.mark.parametrize("part", sorted(FORMATS))
def test_another_format_is_refused_by_its_name(part: str) -> None:
    arrays, meta = a_snapshot()
    meta["world"]["formats"][part] += 1
    with pytest.raises(StoredArraysError, match=rf"format {{'{part}': 2}}, this build reads"):
        WorldFeed.from_arrays(arrays, meta, CONFIG)


def test_a_snapshot_of_other_settings_is_refused() -> None:
    arrays, meta = a_snapshot()
    with pytest.raises(StoredArraysError, match="was made with"):
        WorldFeed.from_arrays(arrays, meta, WorldConfig(details=True))
    meta["format"] = 0
    with pytest.raises(StoredArraysError, match="format 0, this build reads 1"):
        WorldFeed.from_arrays(arrays, meta, CONFIG)


@settings(max_examples=50)
@given(data=st.data())
def test_arrays_that_do_not_fit_are_refused_and_nothing_else_happens(data) -> None:
    arrays, meta = a_snapshot()
    name = data.draw(st.sampled_from(sorted(arrays)))
    if data.draw(st.booleans()):
        del arrays[name]
    else:
        arrays[name] = arrays[name][None]
    with pytest.raises(StoredArraysError):
        WorldFeed.from_arrays(arrays, meta, CONFIG)
