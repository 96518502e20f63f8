"""A compacted topic whose partitions were raised ends in one state, in any order of reading."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.topics import EMBEDDINGS_TOPIC, VERSIONS_TOPIC
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC
from models.world import World
from streams.serving.world_feed import WorldFeed, embedding_messages, removal_messages
from streams.versions import IG2VEC, Version, version_message

KEYS = ("a", "b", "c")
Content = int | None


class Record(NamedTuple):
    key: bytes
    value: bytes | None
    partition: int
    timestamp: int
    offset: int = 0


class Write(NamedTuple):
    """What a producer says of a key: a number, nothing (a tombstone), or no JSON."""

    key: str
    content: Content
    poison: bool


def _media(key: str, content: Content) -> bytes | None:
    media = {"media_id": key, "author_id": f"author-{content}", "created_ts": 1}
    return None if content is None else json.dumps(media).encode()


def _account(key: str, content: Content) -> bytes | None:
    account = {"account_id": key, "topics": [f"topic-{content}"]}
    return None if content is None else json.dumps(account).encode()


def _vector(key: str, content: Content) -> bytes | None:
    if content is None:
        return None
    [message] = embedding_messages("s", [key], np.array([[1, content]], np.float32))
    return message.value


def _version(key: str, content: Content) -> bytes | None:
    version = Version(IG2VEC, f"{content}", 1, space=f"space-{content}")
    return None if content is None else version_message(version).value


def _shown_media(world: World) -> Any:
    catalog = world.catalog
    rows = catalog.newest(len(KEYS))
    return dict(
        zip(catalog.media_ids(rows), catalog.author_ids(catalog.author_n[rows]), strict=True)
    )


def _shown_accounts(world: World) -> Any:
    catalog = world.catalog
    rows = catalog.author_rows(KEYS)
    known = rows[rows >= 0]
    topics = [catalog.topic_name(code) for code in catalog.account_topic_a[known].tolist()]
    # What a deleted account was about before is nobody's business.
    return {
        name: None if gone else topic
        for name, gone, topic in zip(
            catalog.author_ids(known), catalog.gone_account_a[known].tolist(), topics, strict=True
        )
    }


def _shown_vectors(world: World) -> Any:
    return None if world.space is None else world.space.index.state_hash()


TOPICS = {
    MEDIA_TOPIC: (_media, _shown_media),
    ACCOUNTS_TOPIC: (_account, _shown_accounts),
    EMBEDDINGS_TOPIC: (_vector, _shown_vectors),
    VERSIONS_TOPIC: (_version, lambda world: world._spaces._named),
}
KAFKA_KEYS = {EMBEDDINGS_TOPIC: "s:{}", VERSIONS_TOPIC: IG2VEC}

writes = st.lists(
    st.builds(
        Write,
        st.sampled_from(KEYS),
        st.one_of(st.none(), st.integers(1, 9)),
        st.integers(0, 9).map(lambda number: number == 0),
    ),
    max_size=30,
)


@pytest.mark.parametrize("topic", TOPICS)
@given(writes, st.lists(st.integers(0, 30), max_size=2), st.data())
def test_raised_partitions_are_read_in_any_order(topic, history, raised_at, data):
    make, shown = TOPICS[topic]
    if topic == VERSIONS_TOPIC:
        # Something is always live: nobody takes the record out.
        history = [write for write in history if write.content is not None]
    log: dict[int, list[Record]] = {}
    for ts, write in enumerate(history):
        # Keys move when partitions are added: 2 of them, then 3, then 4.
        partitions = 2 + sum(at <= ts for at in raised_at)
        partition = (KEYS.index(write.key) + 3) % partitions
        key = KAFKA_KEYS.get(topic, "{}").format(write.key)
        value = b"{" if write.poison else make(write.key, write.content)
        if topic == VERSIONS_TOPIC:
            partition = 3 % partitions
        log.setdefault(partition, []).append(Record(key.encode(), value, partition, ts))
    followed = WorldFeed(World())
    for record in sorted(
        (r for records in log.values() for r in records), key=lambda r: r.timestamp
    ):
        followed.apply(topic, [record])
    late = WorldFeed(World())
    # Compaction may have come by, in some partitions; poison is a record of its key to it, so where
    # there is any the older one that it stands for may be gone.
    poisoned = any(write.poison for write in history)
    left = {
        partition: _compacted(records) if not poisoned and data.draw(st.booleans()) else records
        for partition, records in log.items()
    }
    while left:
        partition = data.draw(st.sampled_from(sorted(left)))
        size = data.draw(st.integers(1, 30))
        late.apply(topic, left[partition][:size])
        left[partition] = left[partition][size:]
        if not left[partition]:
            del left[partition]
    for feed in (followed, late):
        feed.polled(lag=0)
    assert shown(late.world) == shown(followed.world)
    # And that is what was said last.
    said = {w.key: w.content for w in history if not w.poison}
    if topic == MEDIA_TOPIC:
        live = {key: f"author-{content}" for key, content in said.items() if content is not None}
        assert shown(late.world) == live


def _compacted(records: list[Record]) -> list[Record]:
    newest = {record.key: at for at, record in enumerate(records)}
    return [record for at, record in enumerate(records) if newest[record.key] == at]


def test_a_removal_in_the_partition_that_a_vector_moved_to_is_the_newer_one():
    feed = WorldFeed(World())
    vectors = embedding_messages("s", ["a", "b"], np.eye(2, dtype=np.float32))
    old = [Record(m.key.encode(), m.value, 0, 1) for m in vectors]
    new = [Record(m.key.encode(), m.value, 2, 2) for m in removal_messages("s", ["a"])]
    feed.apply(EMBEDDINGS_TOPIC, new)
    feed.apply(EMBEDDINGS_TOPIC, old)
    rows = feed.world.catalog.author_rows(["a", "b"])
    assert feed.world.vectors_of(rows)[1].tolist() == [False, True]
