"""Topics → world: vectors survive the way through Kafka, bad ones are refused one by one."""

from __future__ import annotations

import json
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from infra.topics import EMBEDDINGS_TOPIC, VERSIONS_TOPIC
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC
from models.world import World
from streams.serving.world_feed import WorldFeed, embedding_messages, removal_messages
from streams.versions import Version, version_message, versions


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None
    partition: int = 0
    timestamp: int = 0
    offset: int = 0


def told(space, ids, vectors_nd):
    """Vectors, as records that were read."""
    messages = embedding_messages(space, ids, np.asarray(vectors_nd, np.float32))
    return [Record(message.key.encode(), message.value) for message in messages]


def removed(space, *ids):
    """Removals, as records that were read."""
    return [Record(message.key.encode(), message.value) for message in removal_messages(space, ids)]


def media(media_id, author_id="a", **fields):
    value = {"media_id": media_id, "author_id": author_id, "created_ts": 1, **fields}
    return Record(media_id.encode(), json.dumps(value).encode())


@pytest.fixture
def feed() -> WorldFeed:
    return WorldFeed(World())


def vectors_of(feed, *ids):
    return feed.world.vectors_of(feed.world.catalog.author_rows(ids))


FINITE = st.floats(-100, 100, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3)


@given(arrays(np.float32, (3, 4), elements=FINITE).filter(lambda a: a.any(axis=1).all()))
def test_vectors_arrive_as_they_were_sent(vectors_nd):
    feed = WorldFeed(World())
    ids = ["a", "b", "ж"]
    records = told("s", ids, vectors_nd)
    feed.apply(EMBEDDINGS_TOPIC, records)
    arrived_nd, known_n = vectors_of(feed, *ids)
    assert known_n.all()
    unit_nd = vectors_nd / np.linalg.norm(vectors_nd, axis=1, keepdims=True)
    assert arrived_nd == pytest.approx(unit_nd, abs=1e-5)
    assert feed.world.space_name == "s"


def test_the_newest_vector_of_an_account_counts(feed):
    feed.apply(EMBEDDINGS_TOPIC, told("s", ["a", "b", "a"], [[1, 0], [0, 1], [0, 1]]))
    assert vectors_of(feed, "a")[0].tolist() == [[0, 1]]


BAD = {
    "not JSON": b"\xff",
    "no vector": b'{"account_id": "bad", "space": "s"}',
    "not base64": b'{"account_id": "bad", "space": "s", "vector": "%%%"}',
    "half a number": b'{"account_id": "bad", "space": "s", "vector": "AAA="}',
    "empty": b'{"account_id": "bad", "space": "s", "vector": ""}',
    "another length": told("s", ["bad"], [[1, 0, 0]])[0].value,
    "not finite": told("s", ["bad"], [[np.nan, 0]])[0].value,
    "zero": told("s", ["bad"], [[0, 0]])[0].value,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_vector_is_refused_and_the_others_are_applied(feed, name):
    feed.apply(EMBEDDINGS_TOPIC, told("s", ["first"], [[1, 0]]))
    before, after = told("s", ["before", "after"], [[1, 0], [0, 1]])
    feed.apply(EMBEDDINGS_TOPIC, [before, Record(b"bad", BAD[name]), after])
    assert vectors_of(feed, "first", "before", "bad", "after")[1].tolist() == [
        True, True, False, True,
    ]  # fmt: skip


def test_a_tombstone_forgets_a_vector_in_the_order_of_the_topic(feed):
    [vector] = told("s", ["a"], [[1, 0]])
    [gone] = removed("s", "a")
    feed.apply(EMBEDDINGS_TOPIC, [*told("s", ["b"], [[0, 1]]), vector])
    feed.apply(EMBEDDINGS_TOPIC, [gone])
    assert vectors_of(feed, "a", "b")[1].tolist() == [False, True]
    feed.apply(EMBEDDINGS_TOPIC, [gone, vector])
    assert vectors_of(feed, "a")[1].all()
    feed.apply(EMBEDDINGS_TOPIC, [vector, gone])
    assert not vectors_of(feed, "a")[1].any()
    feed.apply(EMBEDDINGS_TOPIC, removed("other", "b"))
    feed.apply(EMBEDDINGS_TOPIC, [*removed("s", "never-known"), Record(b"b", None)])
    feed.apply(EMBEDDINGS_TOPIC, [Record(None, None)])
    assert vectors_of(feed, "b")[1].all()


def named(space, accounts=0):
    message = version_message(Version("ig2vec", "v", 1, space=space, accounts=accounts))
    return [Record(b"ig2vec", message.value)]


def test_a_named_space_takes_over_when_it_is_complete(feed):
    ids = [f"a{number}" for number in range(10)]
    feed.apply(EMBEDDINGS_TOPIC, told("old", ids, np.eye(10)))
    feed.apply(VERSIONS_TOPIC, named("old", 10))
    # Other spaces wait, however large they are and whatever their dimension is.
    feed.apply(EMBEDDINGS_TOPIC, told("new", [*ids, "b"], np.ones((11, 3))))
    assert feed.world.space_name == "old"
    feed.apply(VERSIONS_TOPIC, named("new", 12))
    feed.polled(lag=1)
    assert feed.world.space_name == "old"
    feed.apply(EMBEDDINGS_TOPIC, told("new", ["c"], [[1, 2, 3]]))
    assert feed.world.space_name == "new"
    assert vectors_of(feed, "a0", "b", "c")[1].all()
    # It stays live when accounts leave it, until none is left: then the largest serves.
    feed.apply(EMBEDDINGS_TOPIC, removed("new", *ids))
    assert feed.world.space_name == "new"
    feed.apply(EMBEDDINGS_TOPIC, removed("new", "b", "c"))
    feed.polled(lag=0)
    assert feed.world.space_name == "old"
    feed.apply(EMBEDDINGS_TOPIC, removed("old", *ids))
    assert feed.world.space is None


def test_a_named_space_takes_over_when_nothing_more_is_on_its_way(feed):
    feed.apply(EMBEDDINGS_TOPIC, told("old", ["a", "b"], np.eye(2)))
    feed.apply(VERSIONS_TOPIC, named("old", 2))
    feed.apply(EMBEDDINGS_TOPIC, told("new", ["a"], [[1, 0]]))
    feed.apply(VERSIONS_TOPIC, named("new", 2))
    assert feed.world.space_name == "old"
    feed.polled(lag=0)
    assert feed.world.space_name == "new"


SPACES = ("s", "t")
ACCOUNTS = ("a", "b", "c")
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("vector"),
            st.sampled_from(SPACES),
            st.sampled_from(ACCOUNTS),
            st.tuples(*[st.sampled_from([-3.0, 0.1, 0.7, 5.0])] * 8),
        ),
        st.tuples(st.just("removed"), st.sampled_from(SPACES), st.sampled_from(ACCOUNTS)),
        st.tuples(st.just("named"), st.sampled_from(SPACES), st.integers(0, 4)),
        st.tuples(st.just("account"), st.sampled_from(ACCOUNTS), st.booleans()),
    ),
    max_size=25,
)


@given(STEPS, st.randoms(use_true_random=False))
def test_the_index_is_a_function_of_the_newest_record_of_each_key(steps, random):
    log = [(topic, record) for step in steps for topic, record in _records(step)]
    followed = WorldFeed(World())
    for topic, record in log:
        followed.apply(topic, [record])
        if random.random() < 0.3:
            followed.polled(lag=random.randrange(2))
    # What compaction leaves, read a topic at a time in any order of topics and keys.
    newest = list({(topic, record.key): (topic, record) for topic, record in log}.values())
    random.shuffle(newest)
    late = WorldFeed(World())
    for topic in random.sample([EMBEDDINGS_TOPIC, VERSIONS_TOPIC, ACCOUNTS_TOPIC], 3):
        late.apply(topic, [record for of, record in newest if of == topic])
    for feed in (followed, late):
        feed.polled(lag=0)
    assert _index(followed) == _index(late)


def _records(step):
    what, *of = step
    if what == "vector":
        space, name, vector = of
        return [(EMBEDDINGS_TOPIC, told(space, [name], [vector])[0])]
    if what == "removed":
        space, name = of
        return [(EMBEDDINGS_TOPIC, removed(space, name)[0])]
    if what == "named":
        space, accounts = of
        return [(VERSIONS_TOPIC, named(space, accounts)[0])]
    name, disabled = of
    value = json.dumps({"account_id": name, "disabled": disabled}).encode()
    return [(ACCOUNTS_TOPIC, Record(name.encode(), value))]


def _index(feed):
    space = feed.world.space
    return None if space is None else (space.name, space.index.state_hash())


@pytest.mark.parametrize("told_first", ["vector", "account"])
def test_the_vector_of_a_disabled_account_is_withheld_until_it_is_back(feed, told_first):
    record = Record(b"a", b'{"account_id": "a", "disabled": true}')
    steps = {
        "vector": lambda: feed.apply(EMBEDDINGS_TOPIC, told("s", ["a", "b"], np.eye(2))),
        "account": lambda: feed.apply(ACCOUNTS_TOPIC, [record]),
    }
    for name in sorted(steps, key=lambda name: name != told_first):
        steps[name]()
    assert vectors_of(feed, "a", "b")[1].tolist() == [False, True]
    assert "a" not in feed.world.space.index
    # A new vector changes nothing, and is the one that comes back.
    feed.apply(EMBEDDINGS_TOPIC, told("s", ["a"], [[0.6, 0.8]]))
    assert "a" not in feed.world.space.index
    feed.apply(ACCOUNTS_TOPIC, [Record(b"a", b'{"account_id": "a"}')])
    vectors_nd, known_n = vectors_of(feed, "a", "b")
    assert known_n.all()
    assert vectors_nd[0] == pytest.approx([0.6, 0.8])


def test_an_account_without_a_record_any_more_is_gone(feed):
    feed.apply(MEDIA_TOPIC, [media("m", "a"), media("n", "b")])
    feed.apply(EMBEDDINGS_TOPIC, told("s", ["a", "b"], np.eye(2)))
    feed.apply(ACCOUNTS_TOPIC, [Record(b"a", None), Record(None, None)])
    catalog = feed.world.catalog
    assert catalog.hidden_account_a[catalog.author_rows(["a", "b"])].tolist() == [True, False]
    assert vectors_of(feed, "a", "b")[1].tolist() == [False, True]
    feed.apply(ACCOUNTS_TOPIC, [Record(b"a", b'{"account_id": "a"}')])
    assert vectors_of(feed, "a")[1].all()
    assert not catalog.hidden_account_a[catalog.author_rows(["a"])].any()


@given(st.lists(st.tuples(st.sampled_from("mn"), st.sampled_from(["post", "delete", "gone"]))))
def test_any_batches_of_a_media_topic_end_like_its_newest_records(steps):
    made = {
        "post": media,
        "delete": lambda name: media(name, deleted=True),
        "gone": lambda name: Record(name.encode(), None),
    }
    records = [made[what](name) for name, what in steps]
    live = {name for name, what in dict(steps).items() if what == "post"}
    together, alone = WorldFeed(World()), WorldFeed(World())
    together.apply(MEDIA_TOPIC, records)
    for record in records:
        alone.apply(MEDIA_TOPIC, [record])
    for feed in (together, alone):
        catalog = feed.world.catalog
        assert catalog.live_media_count == len(live)
        assert set(catalog.media_ids(catalog.newest(10))) == live


def test_what_cannot_be_parsed_is_skipped(feed):
    feed.apply(MEDIA_TOPIC, [Record(b"x", b"{"), media("m")])
    account = b'{"account_id": "a", "private": true}'
    feed.apply(ACCOUNTS_TOPIC, [Record(b"x", b"[]"), Record(b"a", account), Record(b"a", b"{")])
    like = {"event_id": "e", "viewer_id": "v", "media_id": "m", "ts": 1_700_000_000_000}
    feed.apply("events.like", [Record(b"v", b"\xff"), Record(b"v", json.dumps(like).encode())])
    catalog = feed.world.catalog
    assert catalog.live_media_count == 1
    assert catalog.hidden_account_a[catalog.author_rows(["a"])].all()
    assert catalog.media_ids(feed.world.popularity.most_popular(5)) == ["m"]


def test_versions_arrive_as_they_were_announced():
    announced = [Version("rankers", "r1", 5, {"auc": 0.7}), Version("ig2vec", "i1", 6)]
    messages = [version_message(version) for version in announced]
    assert {message.topic for message in messages} == {VERSIONS_TOPIC}
    assert [message.key for message in messages] == ["rankers", "ig2vec"]
    records = [Record(m.key.encode(), m.value) for m in messages]
    found = versions([records[0], Record(b"rankers", None), records[1]])
    assert msgspec.to_builtins(found) == msgspec.to_builtins(announced)
