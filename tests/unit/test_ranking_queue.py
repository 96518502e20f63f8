"""Touches coalesce, the newest comes first, and chunks finish when their last viewer is done."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from infra.config import Settings
from infra.memory_store import MemoryStore
from models.viewer_state import ViewerState
from streams.clock import now_ms
from streams.ingest import Touched
from streams.ranking import Ranking


class Maker:
    def __init__(self) -> None:
        self.made: list[str] = []
        self.inventory = True

    def make(self, viewer_id: str, state: ViewerState, now: int) -> bytes:
        self.made.append(viewer_id)
        return viewer_id.encode()

    def is_full(self, grid: bytes) -> bool:
        return self.inventory


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def ranking(maker: Maker) -> Ranking:
    return Ranking(MemoryStore(Settings()), maker)


def fresh(*viewers: str) -> list[Touched]:
    return [Touched(viewer, now_ms()) for viewer in viewers]


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


async def test_the_newest_touched_viewer_comes_first(ranking: Ranking, maker: Maker) -> None:
    for number in range(20):
        ranking.touch(fresh(f"v{number}"), lambda: None)
    ranking.touch(fresh("v3"), lambda: None)
    await drain(ranking)
    assert maker.made[:3] == ["v3", "v19", "v18"]
    assert len(maker.made) == 20


async def test_old_events_wait_behind_fresh_ones(ranking: Ranking, maker: Maker) -> None:
    ranking.touch(fresh("now"), lambda: None)
    ranking.touch(old("then"), lambda: None)
    await drain(ranking)
    assert maker.made == ["now", "then"]


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
