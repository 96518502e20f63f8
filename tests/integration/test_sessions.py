"""Closing of sessions on every store: by a gap, by time, with late events, across a restart."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from infra.embedded import embedded_redis
from streams import sessions as module
from streams.ingest import Ingest
from streams.log.replay import Line
from streams.records import Touched
from streams.sessions import LEASE_MS, SETTLE_MS, SIDE_BY_SIDE, SWEEP_LIMIT, Sessions
from tests.stores import KINDS, empty_stores

MINUTE = 60_000
GAP = 30 * MINUTE
START = 1_700_000_000_000
LATER = START + 24 * 60 * MINUTE


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with embedded_redis() as url:
        yield url


class Outbox:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent = []

    async def send(self, messages):
        self.sent += messages


class Stream:
    """Events folded into a real store, and the sessions that come out; the test owns the clock."""

    def __init__(self, stores):
        self.store, self.schedule = stores.viewers, stores.sessions
        self.now = LATER
        self._ids = 0
        self.restart()

    def restart(self):
        self.outbox = Outbox()
        self.ingest = Ingest(self.store, Outbox(), self.store.fold, "log")
        self.sessions = Sessions(self.store, self.schedule, self.outbox, GAP)

    async def like(self, viewer, *minutes, **fields):
        """Likes of one viewer at these minutes of event time, as one chunk."""
        lines = []
        for minute in minutes:
            self._ids += 1
            event = {
                "event_id": f"e{self._ids}", "viewer_id": viewer, "media_id": f"m{minute}",
                "author_id": f"a{minute}", "ts": START + minute * MINUTE, **fields,
            }  # fmt: skip
            lines.append(Line("events.like", b"", json.dumps(event).encode(), self._ids))
        await self.ingest.events("events.like", 0, lines, self.now)
        touch = Touched(viewer, START + max(minutes) * MINUTE)
        await self.sessions.touched([touch], self.now)

    async def sweep(self, after=SETTLE_MS):
        """Let time pass; returns the sessions sent since: (viewer, minutes)."""
        self.now += after
        before = len(self.outbox.sent)
        count = await self.sessions.sweep(self.now)
        sent = [json.loads(message.value) for message in self.outbox.sent[before:]]
        assert count == len(sent)
        for session in sent:
            times = [ts for _, _, ts in session["steps"]]
            assert times == sorted(times)
            assert session["started_ts"] <= times[0] and times[-1] <= session["ended_ts"]
        return [(s["viewer_id"], [(ts - START) // MINUTE for _, _, ts in s["steps"]]) for s in sent]


@pytest.fixture(params=KINDS)
async def stream(request: pytest.FixtureRequest) -> AsyncIterator[Stream]:
    async with empty_stores(request.param, lambda: request.getfixturevalue("redis_url")) as stores:
        yield Stream(stores)


async def test_a_gap_closes_a_session(stream):
    await stream.like("v", 0)
    await stream.like("v", 5)
    await stream.like("v", 35)
    assert await stream.sweep() == [("v", [0, 5])]
    assert stream.outbox.sent[0].topic == "explore.sessions"
    assert stream.outbox.sent[0].key == "v"
    first = json.loads(stream.outbox.sent[0].value)["steps"][0]
    assert first == ["a0", "like", START]


async def test_what_was_done_before_is_sent_once(stream):
    same = {"media_id": "m", "author_id": "a"}
    await stream.like("v", 0, 1, 2, **same)
    await stream.like("v", 60, 61, **same)
    await stream.like("v", 120, **same)
    await stream.like("v", 121)
    await stream.like("w", 300)
    # The second session would hold nothing, the third only what is new.
    assert await stream.sweep() == [("v", [0]), ("v", [121])]
    ends = [json.loads(message.value)["ended_ts"] for message in stream.outbox.sent]
    assert ends == [START + 2 * MINUTE, START + 121 * MINUTE]
    assert await stream.sweep() == []


async def test_just_less_than_the_gap_keeps_it_open(stream):
    await stream.like("v", 0, 29)
    await stream.like("v", 58)
    assert await stream.sweep() == []


async def test_all_sessions_of_one_chunk_are_sent(stream):
    await stream.like("v", 0, 1, 60, 61, 120, 180)
    assert await stream.sweep() == [("v", [0, 1]), ("v", [60, 61]), ("v", [120])]


async def test_events_of_others_move_the_time_of_the_stream(stream):
    await stream.like("v", 0)
    await stream.like("w", 31)
    assert await stream.sweep() == [("v", [0])]


async def test_an_idle_stream_closes_its_last_session(stream):
    await stream.like("v", 0)
    assert await stream.sweep(GAP - 1) == []
    assert await stream.sweep(SETTLE_MS) == [("v", [0])]
    assert await stream.sweep(GAP) == []


async def test_a_viewer_whose_events_still_arrive_is_left_alone(stream):
    await stream.like("v", 0)
    await stream.like("w", 100)
    stream.now += SETTLE_MS - 1
    await stream.like("v", 1)
    assert await stream.sweep(1) == []
    assert await stream.sweep() == [("v", [0, 1])]


async def test_a_session_is_sent_once_whatever_comes_late(stream):
    await stream.like("v", 10, 60, 120)
    assert await stream.sweep() == [("v", [10]), ("v", [60])]
    await stream.like("v", 5)
    assert await stream.sweep() == []
    await stream.like("v", 160)
    assert await stream.sweep() == [("v", [120])]


async def test_a_follow_alone_is_no_session(stream):
    await stream.sessions.touched([Touched("v", START)], stream.now)
    await stream.like("w", 40)
    assert await stream.sweep() == []


async def test_an_undone_like_is_no_step(stream):
    await stream.like("v", 0)
    await stream.like("v", 1)
    await stream.like("v", 2, media_id="m0", author_id="a0", undo=True)
    await stream.like("w", 60)
    assert await stream.sweep() == [("v", [1])]


async def test_another_worker_goes_on_where_one_stopped(stream):
    await stream.like("v", 0)
    await stream.like("w", 10)
    stream.restart()
    assert await stream.sweep(20 * MINUTE) == [("v", [0])]
    stream.restart()
    assert await stream.sweep(10 * MINUTE) == [("w", [10])]
    stream.restart()
    await stream.like("v", 100)
    assert await stream.sweep() == []


async def test_an_old_event_after_a_restart_does_not_turn_time_back(stream):
    await stream.like("v", 100)
    stream.restart()
    await stream.like("w", 0)
    assert await stream.sweep() == [("w", [0])]
    assert await stream.sweep(GAP) == [("v", [100])]


async def test_of_two_workers_one_sends(stream):
    await stream.like("v", 0)
    await stream.like("w", 100)
    other = Sessions(stream.store, stream.schedule, stream.outbox, GAP)
    stream.now += SETTLE_MS
    assert await other.sweep(stream.now) == 1
    assert await stream.sweep(0) == []


async def test_a_worker_that_died_with_a_lease_is_replaced(stream, monkeypatch):
    await stream.like("v", 0)
    await stream.like("w", 100)

    async def fails(messages):
        raise ConnectionError("the broker is away")

    with monkeypatch.context() as broken:
        broken.setattr(stream.outbox, "send", fails)
        with pytest.raises(ConnectionError):
            await stream.sweep()
    assert await stream.sweep(LEASE_MS - 1) == []
    assert await stream.sweep(1) == [("v", [0])]


async def test_a_sweep_goes_on_until_nobody_is_due_or_its_time_is_up(stream, monkeypatch):
    at_once = SIDE_BY_SIDE * SWEEP_LIMIT
    viewers = [f"v{number}" for number in range(at_once + 1)]
    for viewer in viewers:
        await stream.like(viewer, 0)
    await stream.like("last", 60)
    monkeypatch.setattr(module, "SWEEP_S", 0.0)
    sent = await stream.sweep()
    assert len(sent) in (at_once - 1, at_once)
    monkeypatch.setattr(module, "SWEEP_S", 60.0)
    sent += await stream.sweep(0)
    assert sorted(viewer for viewer, _ in sent) == sorted(viewers)
