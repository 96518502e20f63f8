"""One viewer's stored value is no state: hers alone is the loss, and a letter has the bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from infra.config import Settings
from infra.kafka import Message
from infra.redis_store import RedisStore
from infra.stores import Ready, Stores
from infra.topics import DEAD_LETTERS_TOPIC, TOUCHED_TOPIC
from models.viewers.state import ViewerState, encode
from streams.ingest import Ingest, Part
from streams.log.replay import Line
from streams.sessions import Sessions
from tests.contract.test_stores import liked
from tests.stores import damage, empty_stores

TS = 1_700_000_000_000
HEADER = b"\0\0\0\1" + encode(ViewerState())
#: Its views are said to be longer than the value.
LONG = HEADER[: 4 + 19] + b"\0\1\0\0" + HEADER[4 + 23 :]
DAMAGED = {
    "no revision": b"x",
    "no header": b"\0\0\0\1",
    "garbage": b"\xff" * 300,
    "text": b"this is no state of a viewer at all, but it is long enough for a header",
    "cut": HEADER[:-1],
    "longer than it is": LONG,
    "another release": b"\0\0\0\1\x09" + HEADER[5:],
    "more places than bytes": HEADER[:4 + 9] + b"\xff\xff" + HEADER[4 + 11:],
    "bytes behind": HEADER + b"\xc1",
}  # fmt: skip


class Sent:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, messages: Iterable[Message]) -> None:
        self.messages += messages

    def letters(self) -> list[dict[str, Any]]:
        return [
            msgspec.json.decode(m.value or b"")
            for m in self.messages
            if m.topic == DEAD_LETTERS_TOPIC
        ]


def lines(topic: str, offset: int, *viewers: str) -> Part:
    """An event of each viewer."""
    found = []
    for at, viewer in enumerate(viewers, start=offset):
        event = {"event_id": f"{topic}-{at}", "viewer_id": viewer, "ts": TS + at}
        event |= {"author_id": "a"}
        event |= {"kind": "block"} if topic == "events.follow" else {"media_id": f"m{at}"}
        found.append(Line(topic, viewer.encode(), msgspec.json.encode(event), at))
    return Part(topic, 0, found)


@pytest.mark.parametrize("topic", ["events.like", "events.follow"])
@pytest.mark.parametrize("value", DAMAGED.values(), ids=DAMAGED)
async def test_everybody_else_goes_on(stores: Stores, topic: str, value: bytes) -> None:
    store, sent = stores.viewers, Sent()
    ingest = Ingest(store, sent, store.fold, "log")
    viewers = ["a", "bad", "c"]
    await damage(store, "bad", value)
    for offset in (0, 10):
        await ingest.send(await ingest.fold([lines(topic, offset, *viewers)], TS + 100))
    states = dict(zip(viewers, await store.load(viewers), strict=True))
    assert {v: one.damaged for v, one in states.items()} == dict.fromkeys(viewers)
    # What a batch says after the damage is folded, for her as for the others.
    assert {tuple(one.state.applied.values()) for one in states.values()} == {(11,), (12,), (13,)}
    if topic == "events.like":
        assert [e.media_id for e in states["bad"].state.strong.entries()] == ["m1", "m11"]
    [letter] = sent.letters()
    assert (letter["error"], letter["key"]) == ("damaged_state", "bad")
    assert letter["topic"] == "viewer:{bad}"
    assert base64.b64decode(letter["value_base64"]).endswith(value)
    assert {m.key for m in sent.messages if m.topic == TOUCHED_TOPIC} == set(viewers)


async def test_who_reads_sees_nobody_and_nobody_writes_over_it(stores: Stores) -> None:
    store = stores.viewers
    await damage(store, "bad", DAMAGED["garbage"])
    [found] = await store.load(["bad"])
    assert (found.revision, len(found.state.strong)) == (b"", 0)
    assert found.damaged is not None and found.damaged.value == DAMAGED["garbage"]
    [newer] = await store.commit(["bad"], [liked(found, "e1")])
    assert newer is not None and newer.damaged == found.damaged
    assert [viewer async for viewer, _ in store.scan()] == []
    # What was replaced meanwhile is not set aside.
    await store.set_aside(["bad"], [b"another value"])
    assert (await store.load(["bad"]))[0].damaged == found.damaged
    await store.set_aside(["bad"], [found.damaged.value])
    assert (await store.load(["bad"]))[0].damaged is None


async def test_a_draft_begins_anew_where_it_is_damaged(stores: Stores) -> None:
    store, draft = stores.viewers, stores.viewers.draft()
    for of in (store, draft):
        [empty] = await of.load(["bad"])
        await of.commit(["bad"], [liked(empty, "e1")])
    await damage(draft, "bad", DAMAGED["garbage"])
    [found] = await draft.load(["bad"])
    assert found.damaged is not None
    await draft.set_aside(["bad"], [found.damaged.value])
    assert await draft.is_empty()
    # What stands beside it is none of its business.
    [kept] = await store.load(["bad"])
    assert (kept.damaged, len(kept.state.strong)) == (None, 1)
    if isinstance(store, RedisStore):
        assert await store._exchange([("GET", "damaged:{bad}")]) == [found.damaged.value]


async def test_a_sweep_of_sessions_goes_on(stores: Stores) -> None:
    sent = Sent()
    sessions = Sessions(stores.viewers, stores.sessions, sent, Settings().session_gap_ms)
    ingest = Ingest(stores.viewers, sent, stores.viewers.fold, "log")
    await ingest.fold([lines("events.like", 0, "a", "bad")], TS + 100)
    await damage(stores.viewers, "bad", DAMAGED["garbage"])
    await stores.sessions.touch(["a", "bad"], TS, TS + 10**8, TS)
    assert await sessions.sweep(TS + 10**8) == 1
    assert await sessions.sweep(TS + 2 * 10**8) == 0


@pytest.mark.parametrize(
    "written",
    [("HSET", "name", "value"), ("RPUSH", "a", "b"), ("ZADD", "1", "a")],
    ids=["hash", "list", "sorted set"],
)
@pytest.mark.parametrize("topic", ["events.like", "events.follow"])
async def test_a_key_of_another_type_is_damaged_as_well(
    redis_url: str, topic: str, written: tuple[str, ...]
) -> None:
    async with empty_stores("redis", lambda: redis_url) as (store, *_):
        assert isinstance(store, RedisStore)
        sent, viewers = Sent(), ["a", "bad", "c"]
        ingest = Ingest(store, sent, store.fold, "log")
        command, *rest = written
        await store._exchange([(command, "viewer:{bad}", *rest)])
        # Whoever reads goes on without her.
        assert await store.ready("bad") == Ready(None, b"")
        assert [one.damaged is None for one in await store.load(viewers)] == [True, False, True]
        [dump] = await store._exchange([("DUMP", "viewer:{bad}")])
        for offset in (0, 10):
            await ingest.send(await ingest.fold([lines(topic, offset, *viewers)], TS + 100))
        found = await store.load(viewers)
        assert [one.damaged for one in found] == [None] * 3
        assert {tuple(one.state.applied.values()) for one in found} == {(11,), (12,), (13,)}
        [letter] = sent.letters()
        assert (letter["error"], letter["key"]) == ("damaged_state", "bad")
        # Nothing is lost: RESTORE makes of it what was there.
        assert await store._exchange([("GET", "damaged:{bad}")]) == [dump]
        assert base64.b64decode(letter["value_base64"]) == dump


async def test_other_keys_of_another_type_are_as_none(redis_url: str) -> None:
    async with empty_stores("redis", lambda: redis_url) as (store, *_):
        assert isinstance(store, RedisStore)
        await store.save_grids(["a"], [b"{}"])
        await store.learn_authors(["m"], ["author"])
        await store._exchange([("HSET", key, "a", "b") for key in ("grid:{bad}", "author:{bad}")])
        assert await store.grids_of(["a", "bad"]) == [b"{}", None]
        assert await store.grid("bad") is None
        assert [page async for page in store.grids()] == [[("a", b"{}")]]
        assert (await store.ready("bad")).grid is None
        assert await store.authors_of(["m", "bad"]) == ["author", None]
        await store.save_grids(["bad"], [b"{new}"])
        await store.learn_authors(["bad"], ["author"])
        assert await store.grid("bad") == b"{new}"
        assert await store.authors_of(["bad"]) == ["author"]


async def test_a_record_that_waits_damaged_becomes_a_letter(redis_url: str) -> None:
    async with empty_stores("redis", lambda: redis_url) as (store, *_):
        assert isinstance(store, RedisStore)
        sent = Sent()
        ingest = Ingest(store, sent, store.fold, "log")
        waits = msgspec.json.encode({"event_id": "e", "viewer_id": "v", "media_id": "m", "ts": TS})
        await ingest.fold([Part("events.like", 0, [Line("events.like", b"v", waits, 0)])], TS)
        await store._exchange([("RPUSH", "parked:{m}", b"\xff garbage")])
        media = msgspec.json.encode({"media_id": "m", "author_id": "a", "created_ts": TS})
        await ingest.media("catalog.media", 0, [Line("catalog.media", b"m", media, 0)], TS)
        [letter] = sent.letters()
        assert (letter["topic"], letter["error"]) == ("parked:{m}", "damaged_state")
        assert base64.b64decode(letter["value_base64"]) == b"\xff garbage"
        assert [m.topic for m in sent.messages if m.topic == "events.like"] == ["events.like"]
        assert await store.parked_media() == 0
