"""Whatever a store does for speed, ingest ends in the state of the pure fold."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.config import Settings
from infra.memory_store import MemoryStore
from infra.stores import Slice, Store
from models.actions import EVENT_TOPICS, FOLLOW_TOPIC, VIEW_TOPICS, Action
from models.arrays.newest_told import NewestById
from models.viewers.action_log import pack
from models.viewers.state import SLACK, log_key, place
from streams.ingest import Ingest, Part
from streams.log.replay import Line, Loopback, state_hash
from tests.stores import empty_stores

TS = 1_700_000_000_000
NOW = TS + 10**9
PARTITIONS = 3
# Small caps, so that action logs fill up, are cut, and events fall out.
CAPS = Settings(max_strong=4, max_views=3)


def history(rng: random.Random, size: int) -> list[tuple[str, int, bytes]]:
    """Events of a few viewers, roughly in time order, with copies; (topic, partition, value).

    Undos only where no action log can overflow: one whose action fell out before it came takes
    nothing back, so then the order of delivery would decide (decision 0003).
    """
    undone = 0.1 if size <= CAPS.max_views + SLACK else 0.0
    found: list[tuple[str, int, bytes]] = []
    ts = TS
    for number in range(size):
        if found and rng.random() < 0.1:
            topic, _, value = rng.choice(found)  # a producer's retry, wherever it ends up
            found.append((topic, rng.randrange(PARTITIONS), value))
            continue
        ts += rng.choice((0, 1, 1000, 10**6))
        topic = rng.choice(EVENT_TOPICS)
        late = rng.randrange(10**7) if rng.random() < 0.1 else 0
        viewer = f"v{rng.randrange(3)}"
        author = f"a{rng.randrange(3)}"
        event = {"event_id": f"e{number}", "viewer_id": viewer, "ts": ts - late}
        event["undo"] = rng.random() < undone
        if topic == FOLLOW_TOPIC:
            event |= {"author_id": author, "kind": rng.choice(("follow", "block", "mute"))}
            event["undo"] = False
        else:
            event |= {"media_id": f"m{rng.randrange(4)}", "author_id": author}
            event["long"] = topic in VIEW_TOPICS and rng.random() < 0.5
        found.append((topic, rng.randrange(PARTITIONS), msgspec.json.encode(event)))
    return found


def log_of(found: list[tuple[str, int, bytes]]) -> dict[tuple[str, int], list[Line]]:
    """The partitions after the events were sent; some offsets hold no record."""
    log: dict[tuple[str, int], list[Line]] = {}
    for topic, partition, value in found:
        lines = log.setdefault((topic, partition), [])
        lines.append(Line(topic, b"", value, offset=3 * len(lines) + len(value) % 3))
    return log


async def deliver(
    ingest: Ingest, log: dict[tuple[str, int], list[Line]], rng: random.Random
) -> None:
    """Fold a log in batches of random parts, now and then again from further back."""
    positions = dict.fromkeys(log, 0)
    while any(positions[at] < len(lines) for at, lines in log.items()):
        parts = []
        for at in rng.sample(sorted(log), rng.randint(1, len(log))):
            end = positions[at] + rng.randint(0, 12)
            if records := log[at][positions[at] : end]:
                parts.append(Part(*at, records))
            positions[at] = min(end, len(log[at]))
        await ingest.fold(parts, NOW)
        if rng.random() < 0.2:
            at = rng.choice(sorted(log))
            positions[at] = rng.randint(0, positions[at])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9), size=st.integers(0, 150))
def test_redis_ends_where_the_pure_fold_does(redis_url: str, seed: int, size: int) -> None:
    async def run() -> None:
        rng = random.Random(seed)
        log = log_of(history(rng, size))
        memory = MemoryStore(CAPS)
        for (topic, partition), lines in log.items():
            ingest = Ingest(memory, Loopback(), CAPS.fold_config(), "log")
            await ingest.events(topic, partition, lines, NOW)
        caps = {"max_strong": CAPS.max_strong, "max_views": CAPS.max_views}
        async with empty_stores("redis", lambda: redis_url, **caps) as (store, *_):
            ingest = Ingest(store, Loopback(), CAPS.fold_config(), "log")
            await deliver(ingest, log, rng)
            assert await state_hash(store) == await state_hash(memory)
            # Every record stands below the offset that its viewer's state has reached.
            for viewer, versioned in zip(
                ("v0", "v1", "v2"), await store.load(["v0", "v1", "v2"]), strict=True
            ):
                [other] = await memory.load([viewer])
                assert versioned.state.applied == other.state.applied

    asyncio.run(run())


async def test_new_records_on_top_need_no_fold(redis_url: str) -> None:
    """The Function takes what it should: else everything above would prove little."""
    config = Settings()
    async with empty_stores("redis", lambda: redis_url) as (store, *_):
        await _only_a_full_log_is_folded(store, config)


async def _only_a_full_log_is_folded(store: Store, config: Settings) -> None:
    declined = 0
    append = store.append

    async def counted(log, slices):  # type: ignore[no-untyped-def]
        nonlocal declined
        answers = await append(log, slices)
        declined += sum(answer is not None for answer in answers)
        return answers

    store.append = counted  # type: ignore[method-assign]
    ingest = Ingest(store, Loopback(), config.fold_config(), "log")

    def line(number: int) -> Line:
        event = {"event_id": f"e{number}", "viewer_id": "v", "media_id": "m", "author_id": "a"}
        return Line("events.view", b"v", msgspec.json.encode({**event, "ts": TS + number}), number)

    for number in range(config.max_views + SLACK):
        await ingest.events("events.view", 0, [line(number)], NOW)
    assert declined == 0
    await ingest.events("events.view", 0, [line(config.max_views + SLACK)], NOW)
    assert declined == 1  # The action log was full: cut, and there is room again.
    [(_, state, *_)] = await store.load(["v"])
    assert state.views.size == config.max_views
    await ingest.events("events.view", 0, [line(config.max_views + SLACK)], NOW)
    assert declined == 2  # Delivered again.


LOG = log_key("log")


def slice_of(offset: int, *records: bytes, partition: int = 0) -> Slice:
    """Views of one viewer at these offsets of a partition."""
    ends = offset.to_bytes(6, "big") + (offset + len(records)).to_bytes(6, "big")
    return Slice("v", place(3, partition) + ends, b"", b"".join(records))


def view(ts: int, event_id: str, undo: bool = False) -> bytes:
    return pack(TS + ts, Action.VIEW, event_id, "m", "a", undo)


@pytest.mark.parametrize(
    ("log", "slice_", "stored"),
    [
        (LOG, slice_of(6, view(11, "new")), True),
        (LOG, slice_of(9, view(12, "newer"), view(11, "new")), True),
        (LOG, slice_of(0, view(11, "new"), partition=1), True),
        (LOG, slice_of(6, view(10, "new", undo=True)), True),
        (LOG, slice_of(6, view(9, "late")), False),
        (LOG, slice_of(6, view(10, "at the same time")), False),
        (LOG, slice_of(6, view(12, "newer"), view(9, "late")), False),
        (LOG, slice_of(6, view(11, "known")), False),
        (LOG, slice_of(5, view(11, "new")), False),
        (log_key("another"), slice_of(6, view(11, "new")), False),
    ],
    ids=[
        "newer", "two newer", "another partition", "an undo at the same time", "late",
        "same time", "one of two late", "known event", "applied offset", "another log",
    ],
)  # fmt: skip
async def test_a_slice_is_stored_without_a_fold_only_if_all_of_it_is_new(
    redis_url: str, log: bytes, slice_: Slice, stored: bool
) -> None:
    async with empty_stores("redis", lambda: redis_url) as (store, *_):
        await _slice_after_one(store, log, slice_, stored)


async def _slice_after_one(store: Store, log: bytes, slice_: Slice, stored: bool) -> None:
    assert await store.append(LOG, [slice_of(5, view(10, "known"))]) == [None]
    [(before, *_)] = await store.load(["v"])
    [answer] = await store.append(log, [slice_])
    assert (answer is None) == stored
    [(after, state, *_)] = await store.load(["v"])
    assert (after != before) == stored
    if answer is not None:
        assert answer.revision == before
    else:
        records = [data for data in (slice_.views, view(10, "known")) if data]
        assert state.views.data == b"".join(records)
        assert state.applied[slice_.places[:3]] == int.from_bytes(slice_.places[9:15], "big")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_an_author_is_that_of_the_newest_record_whatever_is_read_first(order):
    """Partitions were added between the two records of one media."""

    def media(author: str, partition: int, timestamp: int) -> Line:
        value = {"media_id": "m", "author_id": author, "created_ts": 1}
        return Line("catalog.media", b"m", msgspec.json.encode(value), 0, partition, timestamp)

    records = [media("old", 1, 10), media("new", 0, 20)]
    store = MemoryStore(CAPS)
    ingest = Ingest(store, Loopback(), CAPS.fold_config(), "log", newest=NewestById())
    for at in order:
        await ingest.media("catalog.media", records[at].partition, [records[at]], NOW)
    assert await store.authors_of(["m"]) == ["new"]
