"""What every store of viewers must do, run on every store there is."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from redis.asyncio import Redis

from infra.errors import UnreachableError
from infra.stores import ParkedRecord, Ready, Replaced, Store, Stores, Versioned
from models.actions import Action
from models.events import MediaEvent
from models.viewers.state import FoldConfig, counters, digest, fold_media_event
from tests.stores import empty_stores

TS = 1_700_000_000_000


@pytest.fixture
def store(stores: Stores) -> Store:
    return stores.viewers


def liked(versioned: Versioned, event_id: str) -> Versioned:
    event = MediaEvent(event_id=event_id, viewer_id="v", media_id=f"m-{event_id}", ts=TS)
    fold_media_event(versioned.state, Action.LIKE, event, "a", FoldConfig())
    return versioned


def parked(media_id: str, offset: int, first_seen_ms: int = 1) -> ParkedRecord:
    return ParkedRecord(
        "events.like", 0, offset, media_id, b'{"viewer_id": "v"}', first_seen_ms, "v"
    )


async def test_an_unknown_viewer_has_an_empty_state(store: Store) -> None:
    [versioned] = await store.load(["nobody"])
    assert versioned.revision == b""
    assert len(versioned.state.strong) == 0
    assert [item async for item in store.scan()] == []


async def test_what_is_committed_is_loaded(store: Store) -> None:
    names = ["v", "ünï {code}", "x" * 128]
    changed = [liked(v, f"e{i}") for i, v in enumerate(await store.load(names))]
    assert await store.commit(names, changed) == [None] * 3
    loaded = await store.load(names)
    for name, before, after in zip(names, changed, loaded, strict=True):
        assert digest(name, after.state, store.fold) == digest(name, before.state, store.fold)
    assert {name async for name, _ in store.scan()} == set(names)


async def test_a_commit_from_an_older_revision_gets_the_newer_state_instead(store: Store) -> None:
    [first], [second] = await store.load(["v"]), await store.load(["v"])
    assert await store.commit(["v"], [liked(first, "e1")]) == [None]
    [newer] = await store.commit(["v"], [liked(second, "e2")])
    assert newer is not None
    assert [e.media_id for e in newer.state.strong.entries()] == ["m-e1"]
    assert await store.commit(["v"], [liked(newer, "e2")]) == [None]
    [final] = await store.load(["v"])
    assert {e.media_id for e in final.state.strong.entries()} == {"m-e1", "m-e2"}


async def test_concurrent_writers_lose_nothing(store: Store) -> None:
    async def write(event_id: str) -> None:
        [current] = await store.load(["v"])
        while True:
            [newer] = await store.commit(["v"], [liked(current, event_id)])
            if newer is None:
                return
            current = newer

    await asyncio.gather(*(write(f"e{i}") for i in range(20)))
    [final] = await store.load(["v"])
    assert len(final.state.strong) == 20
    assert counters(final.state, 1)["a"][Action.LIKE].count == 20


async def test_records_wait_for_their_media_and_come_back_once(store: Store) -> None:
    answers = await store.park([parked("m1", 1), parked("m1", 2), parked("m2", 3)])
    assert [answer.parked for answer in answers] == [True] * 3
    assert await store.parked_media() == 2
    [waiting] = await store.learn_authors(["m1"], ["a1"])
    assert [record.offset for record in waiting] == [1, 2]
    await store.unpark(waiting)
    assert await store.learn_authors(["m1"], ["a1"]) == [[]]
    assert await store.parked_media() == 1
    assert await store.authors_of(["m1", "m2"]) == ["a1", None]


async def test_parking_a_record_whose_media_arrived_meanwhile_tells_its_author(
    store: Store,
) -> None:
    await store.learn_authors(["m1"], ["a1"])
    [answer] = await store.park([parked("m1", 1)])
    assert answer == ("a1", False)
    assert await store.parked_media() == 0


async def test_parking_is_bounded(store: Store) -> None:
    answers = await store.park([parked("m1", offset) for offset in range(5)])
    assert [answer.parked for answer in answers] == [True, True, True, False, False]


async def test_a_record_that_is_read_again_waits_once(store: Store) -> None:
    await store.park([parked("m1", 1, first_seen_ms=100)])
    [again] = await store.park([parked("m1", 1, first_seen_ms=200)])
    assert again.parked
    await store.park([parked("m1", offset) for offset in (2, 3)])
    # There is no room left: it needs none.
    assert [a.parked for a in await store.park([parked("m1", n) for n in (1, 3, 4)])] == [
        True, True, False,
    ]  # fmt: skip
    [waiting] = await store.learn_authors(["m1"], ["a1"])
    assert [record.offset for record in waiting] == [1, 2, 3]


async def test_what_waits_too_long_is_found(store: Store) -> None:
    await store.park([parked("old", 1, first_seen_ms=100), parked("new", 2, first_seen_ms=200)])
    [[record]] = await store.parked_since(150, 10)
    assert (record.media_id, record.offset) == ("old", 1)
    await store.unpark([record])
    assert await store.parked_since(150, 10) == []


async def test_the_catalogue_is_read_as_far_as_its_slowest_partition(store: Store) -> None:
    assert await store.note_catalog_read({}, 2) == 0
    assert await store.note_catalog_read({0: 500}, 2) == 0
    assert await store.note_catalog_read({1: 300}, 2) == 300
    assert await store.note_catalog_read({1: 700}, 2) == 500
    assert await store.note_catalog_read({}, 3) == 0


async def test_how_far_dead_letters_were_sent_is_kept_by_log(store: Store) -> None:
    assert await store.letters_sent("log", ["events.like/0", "events.like/1"]) == [0, 0]
    await store.note_letters_sent("log", {"events.like/0": 7})
    await store.note_letters_sent("log", {"events.like/1": 2**40, "events.like/0": 9})
    assert await store.letters_sent("log", ["events.like/1", "events.like/0"]) == [2**40, 9]
    await store.note_letters_sent("log", {"events.like/1": 2**40 + 1, "events.like/0": 8})
    assert await store.letters_sent("log", ["events.like/1", "events.like/0"]) == [2**40 + 1, 9]
    assert await store.letters_sent("another", ["events.like/0"]) == [0]


async def test_forgetting_records_twice_keeps_what_came_between(store: Store) -> None:
    await store.park([parked("m1", 1, first_seen_ms=100)])
    [expired] = await store.parked_since(150, 10)
    await store.unpark(expired)
    await store.park([parked("m1", 2, first_seen_ms=200)])
    await store.unpark(expired)  # Another worker found the same ones.
    assert await store.parked_media() == 1
    [[left]] = await store.parked_since(250, 10)
    assert left.offset == 2
    [waiting] = await store.learn_authors(["m1"], ["a1"])
    assert waiting == [left]


async def test_grids_are_kept(store: Store) -> None:
    assert await store.grid("v") is None
    await store.save_grids(["v", "w"], [b"{}", b'{"items": []}'])
    assert await store.grid("w") == b'{"items": []}'


async def test_a_page_stands_once_it_was_given(store: Store) -> None:
    assert await store.add_page("v", "s", 0, b"first") == b"first"
    assert await store.add_page("v", "s", 0, b"other") == b"first"
    assert await store.add_page("v", "s", 1, b"second") == b"second"
    assert await store.pages("v", "s") == [b"first", b"second"]
    assert await store.pages("v", "another") == []


async def test_forgetting_leaves_authors_grids_and_pages(store: Store) -> None:
    assert await store.is_empty()
    await store.commit(["v"], [liked((await store.load(["v"]))[0], "e1")])
    await store.learn_authors(["m1"], ["a1"])
    await store.park([parked("m2", 1)])
    await store.save_grids(["v"], [b"{}"])
    await store.add_page("v", "s", 0, b"page")
    assert not await store.is_empty()
    await store.forget()
    assert await store.is_empty()
    assert (await store.load(["v"]))[0].revision == b""
    assert await store.parked_media() == 0
    assert await store.parked_since(TS, 10) == []
    assert await store.learn_authors(["m2"], ["a2"]) == [[]]
    assert await store.authors_of(["m1"]) == ["a1"]
    assert await store.grid("v") == b"{}"
    assert await store.pages("v", "s") == [b"page"]


async def test_a_record_that_waits_damaged_is_given_back_with_its_bytes(redis_url: str) -> None:
    async with empty_stores("redis", lambda: redis_url) as (store, *_):
        await store.park([parked("m1", 1)])
        async with Redis.from_url(redis_url) as redis:
            await redis.rpush("parked:{m1}", b"\xff garbage")
        [waiting] = await store.learn_authors(["m1"], ["a1"])
        assert [record.value for record in waiting] == [parked("m1", 1).value, b"\xff garbage"]
        assert await store.parked_since(1, 10) == [waiting]
        await store.unpark(waiting)
        assert await store.learn_authors(["m1"], ["a1"]) == [[]]
        assert await store.parked_media() == 0


async def test_what_waits_does_not_end_by_itself(redis_url: str) -> None:
    async with empty_stores("redis", lambda: redis_url) as (store, *_):
        async with Redis.from_url(redis_url) as redis:
            # As a release before this one left it.
            await redis.rpush("parked:{m1}", msgspec.msgpack.encode(parked("m1", 0)))
            await redis.zadd("parked", {"m1": 1})
            await redis.expire("parked:{m1}", 100)
            await redis.expire("parked", 100)
            await store.park([parked("m1", 1)])
            assert [await redis.ttl(key) for key in ("parked:{m1}", "parked")] == [-1, -1]
        [records] = await store.parked_since(TS, 10)
        assert [record.offset for record in records] == [0, 1]


async def test_an_author_who_is_asked_for_lives_on(redis_url: str) -> None:
    async with empty_stores("redis", lambda: redis_url, catalog_ttl_s=1000) as (store, *_):
        await store.learn_authors(["asked", "not"], ["a1", "a2"])
        async with Redis.from_url(redis_url) as redis:
            for left, after in ((900, 900), (400, 1000)):
                for name in ("asked", "not"):
                    await redis.expire(f"author:{{{name}}}", left)
                assert await store.authors_of(["asked", "nobody", "asked"]) == ["a1", None, "a1"]
                assert after - 2 <= await redis.ttl("author:{asked}") <= after
                assert await redis.ttl("author:{not}") <= left
            assert not await redis.exists("author:{nobody}")


async def test_every_key_of_redis_has_a_time_to_live_but_what_waits(redis_url: str) -> None:
    async with empty_stores("redis", lambda: redis_url) as (store, sessions, *_):
        await store.commit(["v"], [liked((await store.load(["v"]))[0], "e1")])
        await store.learn_authors(["m1"], ["a1"])
        await store.park([parked("m2", 1)])
        await store.note_catalog_read({0: TS}, 1)
        await store.save_grids(["v"], [b"{}"])
        await store.add_page("v", "s", 0, b"{}")
        await sessions.touch(["v"], TS + 3000, TS, TS)
        async with Redis.from_url(redis_url) as redis:
            keys = await redis.keys("*")
            assert len(keys) == 9
            for_ever = {key for key in keys if await redis.ttl(key) < 0}
            assert for_ever == {b"parked", b"parked:{m2}"}


async def test_what_a_server_refuses_is_an_error_of_ours(redis_url: str) -> None:
    async with empty_stores("redis", lambda: redis_url) as (store, *_):
        async with Redis.from_url(redis_url) as redis:
            await redis.set("pages:{v}:series", "no list")
        with pytest.raises(UnreachableError, match=r"does not do what it should .*WRONGTYPE"):
            await store.pages("v", "series")


async def test_a_draft_counts_once_it_is_adopted(store: Store) -> None:
    for name in ("replaced", "gone"):
        [empty] = await store.load([name])
        await store.commit([name], [liked(empty, "old")])
    await store.park([parked("old", 1)])
    draft = store.draft()
    await draft.forget()
    for name in ("replaced", "new {x}"):
        [empty] = await draft.load([name])
        await draft.commit([name], [liked(empty, "drafted")])
    await draft.park([parked("drafted", 2)])
    await draft.learn_authors(["m1"], ["a1"])
    assert await store.authors_of(["m1"]) == ["a1"]
    # Nothing of it shows …
    assert {name async for name, _ in store.scan()} == {"replaced", "gone"}
    assert {name async for name, _ in draft.scan()} == {"replaced", "new {x}"}
    assert await store.parked_media() == 1
    # … before all of it does.
    await store.adopt(draft)
    states = {name: state async for name, state in store.scan()}
    assert {
        name: [e.media_id for e in state.strong.entries()] for name, state in states.items()
    } == {
        "replaced": ["m-drafted"],
        "new {x}": ["m-drafted"],
    }
    assert [[r.media_id for r in waiting] for waiting in await store.parked_since(10**15, 10)] == [
        ["drafted"]
    ]
    assert await draft.is_empty()
    assert await draft.parked_media() == 0
    # An empty one empties.
    await store.adopt(draft)
    assert await store.is_empty()
    assert await store.parked_media() == 0


async def test_a_ready_grid_comes_with_the_revision_of_its_viewers_state(store: Store) -> None:
    assert await store.ready("v") == Ready(None, b"")
    await store.save_grids(["v", "w}{"], [b"first", b"second"])
    assert await store.ready("v") == Ready(b"first", b"")
    [versioned] = await store.load(["v"])
    await store.commit(["v"], [liked(versioned, "e1")])
    [stored] = await store.load(["v"])
    assert await store.ready("v") == Ready(b"first", stored.revision)
    assert len(stored.revision) == 4
    many = await asyncio.gather(*(store.ready(name) for name in ["v", "w}{", "x"] * 50))
    assert [one.grid for one in many] == [b"first", b"second", None] * 50
    told: list[Ready | None] = []
    asked = [store.ready_soon(name, told.append) for name in ["v", "w}{", "x"] * 5]
    assert all(asked)
    assert not told
    async with asyncio.timeout(5):
        while len(told) < len(asked):
            await asyncio.sleep(0.001)
    assert told == many[: len(asked)]


async def test_ready_grids_are_found_and_replaced_only_as_they_were_read(store: Store) -> None:
    names = [f"v{n}" for n in range(150)]
    await store.save_grids(names, [f"grid of {name}".encode() for name in names])
    found = [one async for some in store.grids() for one in some]
    assert dict(found) == {name: f"grid of {name}".encode() for name in names}
    await store.save_grids(["v1"], [b"another one"])
    replaced = [Replaced(name, dict(found)[name], b"less") for name in ("v0", "v1", "v2")]
    gone = Replaced("nobody", b"grid", b"less")
    assert await store.replace_grids([*replaced, gone]) == [True, False, True, False]
    assert await store.grids_of(["v0", "v1", "v2", "nobody"]) == [
        b"less", b"another one", b"less", None,
    ]  # fmt: skip
