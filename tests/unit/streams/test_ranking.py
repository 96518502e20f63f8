"""Touches coalesce, the most urgent comes first, chunks finish when their last viewer is done."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Coroutine, Sequence
from types import SimpleNamespace

import msgspec
import pytest

from infra.config import Settings
from infra.memory_store import MemoryStore
from infra.recent import RecentSeconds
from infra.stores import Versioned
from models.events import MINUTE_MS
from models.explore.grid import GridDocument
from models.explore.impressions import EncodedGrid, StoredGrid
from models.viewers.state import ViewerState
from streams import grid_figures
from streams import ranking as ranking_module
from streams.clock import now_ms
from streams.ranking import (
    BATCH,
    BUSY_SHARE,
    FRESH_MS,
    MANY_WAIT,
    SHARES,
    GridError,
    Ranking,
    Urgency,
)
from streams.records import Touched


class Maker:
    def __init__(self) -> None:
        self.made: list[str] = []
        self.inventory = True

    def make(
        self, viewer_ids: Sequence[str], states: Sequence[ViewerState], now: int
    ) -> list[EncodedGrid]:
        self.made += viewer_ids
        return [EncodedGrid(grid_of(name), name.encode()) for name in viewer_ids]

    def is_full(self, document: GridDocument) -> bool:
        return self.inventory


def grid_of(viewer_id: str) -> StoredGrid:
    return StoredGrid(
        viewer_id=viewer_id, items=[], generated_at_ms=1, reflects_ts=0, candidates=0,
        dropped={}, versions={},
    )  # fmt: skip


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def ranking(maker: Maker) -> Ranking:
    return Ranking(MemoryStore(Settings()), maker)


def fresh(*viewers: str) -> list[Touched]:
    return [Touched(viewer, now_ms()) for viewer in viewers]


def viewed(*viewers: str) -> list[Touched]:
    return [Touched(viewer, now_ms(), viewed=True) for viewer in viewers]


def old(*viewers: str) -> list[Touched]:
    return [Touched(viewer, 1_600_000_000_000) for viewer in viewers]


async def drain(ranking: Ranking) -> None:
    running = asyncio.ensure_future(ranking.run())
    while ranking.waiting and not running.done():
        await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_many_touches_of_a_viewer_make_one_grid(ranking: Ranking, maker: Maker) -> None:
    finished: list[int] = []
    for number in range(5):
        ranking.touch(fresh("v"), lambda number=number: finished.append(number))
    # Superseded chunks have nothing left to wait for.
    assert finished == [0, 1, 2, 3]
    await drain(ranking)
    assert maker.made == ["v"]
    assert finished == [0, 1, 2, 3, 4]


async def test_from_event_to_grid_is_told_of_who_just_did_something(
    maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    lately = RecentSeconds()
    monkeypatch.setattr(grid_figures, "EVENT_TO_GRID_LATELY", lately)
    did_ms = {"now": now_ms() - 2_000, "ahead": now_ms() + 60_000, "nothing": 0, "long ago": 1}

    def make(
        viewer_ids: Sequence[str], states: Sequence[ViewerState], now: int
    ) -> list[EncodedGrid]:
        documents = [
            msgspec.structs.replace(grid_of(viewer_id), reflects_ts=did_ms[viewer_id])
            for viewer_id in viewer_ids
        ]
        return [EncodedGrid(document, b"{}") for document in documents]

    monkeypatch.setattr(maker, "make", make)
    ranking = Ranking(MemoryStore(Settings()), maker)
    ranking.touch([*fresh("now", "ahead", "nothing"), *old("long ago")], lambda: None)
    await drain(ranking)
    # Whoever asks for a page did nothing, nor does who is ranked again.
    await ranking.make_now(["now"])
    ranking.refresh()
    await drain(ranking)
    spread = lately.spread()
    assert spread is not None
    assert spread.count == 2
    assert spread.p50_ms == 0
    assert 2_000 <= spread.p99_ms < 10_000


async def test_the_newest_touched_viewer_comes_first(ranking: Ranking, maker: Maker) -> None:
    for number in range(20):
        ranking.touch(fresh(f"v{number}"), lambda: None)
    ranking.touch(fresh("v3"), lambda: None)
    await drain(ranking)
    assert maker.made[:3] == ["v3", "v19", "v18"]
    assert len(maker.made) == 20


async def test_where_many_wait_they_are_ranked_together(
    ranking: Ranking, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    make = maker.make

    def counted(
        viewer_ids: Sequence[str], states: Sequence[ViewerState], now: int
    ) -> list[EncodedGrid]:
        batches.append(len(viewer_ids))
        return make(viewer_ids, states, now)

    monkeypatch.setattr(maker, "make", counted)
    ranking.touch(fresh(*(f"v{number}" for number in range(MANY_WAIT + BATCH - 1))), lambda: None)
    await drain(ranking)
    assert batches == [BATCH] + [1] * (MANY_WAIT - 1)
    newest_first = [f"v{number}" for number in reversed(range(1, MANY_WAIT + BATCH - 1))]
    longest = "v0"
    assert maker.made == [*newest_first[: BATCH - 1], longest, *newest_first[BATCH - 1 :]]


async def test_the_more_wait_the_less_is_rested(
    ranking: Ranking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the clock is a second after the last, so that every batch takes one."""
    seconds = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)))
    monkeypatch.setattr(ranking_module, "time", clock)
    rests: list[float] = []

    async def rest(urgent: Coroutine[None, None, bool], for_s: float) -> None:
        urgent.close()
        rests.append(for_s)
        await asyncio.sleep(0)

    monkeypatch.setattr(asyncio, "wait_for", rest)
    ranking.touch(fresh(*(f"v{number}" for number in range(MANY_WAIT))), lambda: None)
    await drain(ranking)
    many, few = 1 / BUSY_SHARE - 1, 1 / SHARES[Urgency.ACTED] - 1
    assert rests[:-1] == pytest.approx([many] + [few] * (len(rests) - 2))
    assert many < few


async def test_where_always_more_come_than_can_be_ranked_nobody_waits_for_ever(
    ranking: Ranking, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranking.touch([*fresh("acted"), *viewed("viewed"), *old("old")], lambda: None)
    made, others = maker.make, itertools.count()

    def crowd() -> list[str]:
        return [f"v{next(others)}" for _ in range(2 * BATCH)]

    def overrun(
        viewer_ids: Sequence[str], states: Sequence[ViewerState], now: int
    ) -> list[EncodedGrid]:
        ranking.touch(fresh(*crowd()), lambda: None)
        return made(viewer_ids, states, now)

    monkeypatch.setattr(maker, "make", overrun)
    ranking.touch(fresh(*crowd()), lambda: None)
    running = asyncio.ensure_future(ranking.run())
    while next(others) < 100 * BATCH and not running.done():
        await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert {"acted", "viewed", "old"} <= set(maker.made)


async def test_who_acted_comes_before_who_viewed(ranking: Ranking, maker: Maker) -> None:
    ranking.touch(fresh("liked"), lambda: None)
    ranking.touch(viewed("v1", "v2"), lambda: None)
    await drain(ranking)
    assert maker.made == ["liked", "v2", "v1"]


async def test_who_asked_for_a_page_comes_first(ranking: Ranking, maker: Maker) -> None:
    ranking.asked("watching")
    ranking.touch(viewed("watching"), lambda: None)
    ranking.touch(fresh("v1", "v2"), lambda: None)
    await drain(ranking)
    assert maker.made == ["watching", "v2", "v1"]


async def test_asking_long_ago_does_not_count(
    ranking: Ranking, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranking.asked("left")
    monkeypatch.setattr("streams.ranking.WATCHING_S", -1.0)
    ranking.touch(fresh("left"), lambda: None)
    ranking.touch(fresh("v1"), lambda: None)
    await drain(ranking)
    assert maker.made == ["v1", "left"]


async def test_asking_does_not_bring_old_events_forward(ranking: Ranking, maker: Maker) -> None:
    ranking.asked("then")
    ranking.touch(old("then"), lambda: None)
    ranking.touch(viewed("now"), lambda: None)
    await drain(ranking)
    assert maker.made == ["now", "then"]


async def test_a_like_is_not_lost_to_a_view_behind_it(ranking: Ranking, maker: Maker) -> None:
    ranking.touch(fresh("v"), lambda: None)
    ranking.touch(viewed("v", "other"), lambda: None)
    await drain(ranking)
    assert maker.made == ["v", "other"]


async def test_within_a_chunk_the_most_urgent_touch_of_a_viewer_counts(
    ranking: Ranking, maker: Maker
) -> None:
    ranking.touch([*fresh("v"), *viewed("other", "v")], lambda: None)
    await drain(ranking)
    assert maker.made == ["v", "other"]


async def test_old_events_wait_behind_fresh_ones(ranking: Ranking, maker: Maker) -> None:
    ranking.touch(fresh("now"), lambda: None)
    ranking.touch(old("then"), lambda: None)
    await drain(ranking)
    assert maker.made == ["now", "then"]


def late(ms: int, *viewers: str) -> list[Touched]:
    return [Touched(viewer, now_ms() - ms) for viewer in viewers]


async def test_producers_whose_clocks_are_slow_are_as_fresh_as_others(
    ranking: Ranking, maker: Maker
) -> None:
    ranking.touch(late(FRESH_MS + MINUTE_MS, "slow"), lambda: None)
    ranking.touch(late(3 * FRESH_MS, "later"), lambda: None)
    ranking.refresh()
    await drain(ranking)
    assert maker.made == ["slow", "later"]


async def test_who_watches_may_have_a_slow_clock_among_others(
    ranking: Ranking, maker: Maker
) -> None:
    ranking.asked("watching")
    ranking.touch(fresh("other"), lambda: None)
    ranking.touch(late(FRESH_MS + MINUTE_MS, "slow"), lambda: None)
    ranking.touch(late(FRESH_MS + MINUTE_MS, "watching"), lambda: None)
    await drain(ranking)
    assert maker.made == ["watching", "other", "slow"]


async def test_a_fresh_touch_is_not_lost_to_an_older_event(ranking: Ranking, maker: Maker) -> None:
    ranking.touch(fresh("v"), lambda: None)
    ranking.touch(old("v", "then"), lambda: None)
    await drain(ranking)
    assert maker.made == ["v", "then"]


async def test_a_chunk_finishes_when_its_last_viewer_is_done(ranking: Ranking) -> None:
    finished: list[str] = []
    ranking.touch(fresh("a", "b", "c"), lambda: finished.append("first"))
    ranking.touch(fresh("a", "b"), lambda: finished.append("second"))
    assert finished == []
    await drain(ranking)
    assert sorted(finished) == ["first", "second"]


async def test_an_empty_chunk_is_finished_at_once(ranking: Ranking) -> None:
    finished: list[bool] = []
    ranking.touch([], lambda: finished.append(True))
    assert finished == [True]


async def test_a_change_of_models_ranks_active_viewers_again(
    ranking: Ranking, maker: Maker
) -> None:
    ranking.touch(fresh("a", "b"), lambda: None)
    await drain(ranking)
    ranking.refresh()
    await drain(ranking)
    assert sorted(maker.made) == ["a", "a", "b", "b"]


async def test_a_short_grid_is_made_again_when_media_arrive(ranking: Ranking, maker: Maker) -> None:
    maker.inventory = False
    ranking.touch(fresh("early"), lambda: None)
    await drain(ranking)
    maker.inventory = True
    ranking.touch(fresh("late"), lambda: None)
    await drain(ranking)
    ranking.inventory_changed()
    await drain(ranking)
    assert maker.made == ["early", "late", "early"]
    ranking.inventory_changed()
    assert ranking.waiting == 0


async def test_a_viewer_made_at_once_waits_no_more(ranking: Ranking, maker: Maker) -> None:
    finished: list[bool] = []
    ranking.touch(viewed("v"), lambda: finished.append(True))
    assert ranking.waits("v")
    await ranking.make_now(["v", "stranger"])
    assert not ranking.waits("v")
    assert finished == [True]
    assert maker.made == ["v", "stranger"]


async def test_a_grid_that_could_not_be_stored_is_still_waited_for(
    ranking: Ranking, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished: list[bool] = []
    ranking.touch(fresh("v"), lambda: finished.append(True))
    monkeypatch.setattr(MemoryStore, "save_grids", _refuse)
    with pytest.raises(ConnectionError):
        await ranking.make_now(["v"])
    monkeypatch.undo()
    assert ranking.waits("v")
    assert finished == []
    await drain(ranking)
    assert finished == [True]


async def _refuse(*_: object) -> None:
    raise ConnectionError("away")


async def test_a_viewer_of_whom_no_grid_can_be_made_stops_nobody_else(
    ranking: Ranking, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = maker.make

    def failing(names: Sequence[str], *rest: object) -> list[EncodedGrid]:
        if "bad" in names:
            raise ZeroDivisionError("a state that nobody thought of")
        return make(names, *rest)

    monkeypatch.setattr(maker, "make", failing)
    finished: list[bool] = []
    ranking.touch(old("v1", "bad", "v2"), lambda: finished.append(True))
    await drain(ranking)
    assert finished == [True]
    assert sorted(maker.made) == ["v1", "v2"]
    with pytest.raises(GridError, match="'bad'"):
        await ranking.make_now(["bad"])
    assert len(await ranking.make_now(["v1"])) == 1


async def test_too_many_waiting_drop_the_least_urgent_who_waited_longest(
    ranking: Ranking, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.ranking.MAX_WAITING", 3)
    finished: list[str] = []
    ranking.touch(viewed("v1"), lambda: finished.append("first"))
    ranking.touch(fresh("liked"), lambda: None)
    ranking.touch(viewed("v2", "v3", "v4"), lambda: finished.append("second"))
    assert ranking.waiting == 3
    assert finished == ["first"]
    await drain(ranking)
    assert maker.made == ["liked", "v4", "v3"]
    assert finished == ["first", "second"]


async def test_after_a_store_that_was_away_nobody_waits_longer(maker: Maker) -> None:
    """Background grids get a share of the time that work takes, not of that spent waiting."""

    class Away(MemoryStore):
        async def load(self, viewer_ids: Sequence[str]) -> list[Versioned]:
            if "old" in viewer_ids:
                await asyncio.sleep(0.5)
            return await super().load(viewer_ids)

    ranking = Ranking(Away(Settings()), maker)
    ranking.touch(old("old"), lambda: None)
    running = asyncio.ensure_future(ranking.run())
    async with asyncio.timeout(5):
        while "old" not in maker.made:
            await asyncio.sleep(0.01)
    async with asyncio.timeout(0.5):
        ranking.touch(fresh("acts"), lambda: None)
        while "acts" not in maker.made:
            await asyncio.sleep(0.01)
    running.cancel()
