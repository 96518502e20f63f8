"""Sampled grids: drawn by the clock, logged with their candidates, and what learns from them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.kafka import Message
from infra.metrics import CANDIDATE_SETS, FUNNEL_BEST
from models.actions import Action
from models.events import MediaEvent
from models.examples.candidate_log import LoggedCandidates
from models.explore.audit import rank_uncut
from models.explore.pipeline import ExploreConfig, find
from models.explore.treatment import Treatment
from models.viewers.context import ViewerContext
from models.viewers.state import FoldConfig, ViewerState, fold_media_event
from models.world import World
from streams import training as training_module
from streams.clock import now_ms
from streams.learning.ranker_learning import RankerLearning
from streams.serving import sampled_grids
from streams.serving.sampled_grids import SampledGrids
from streams.training import ENOUGH_LOGGED, Training
from tests.explorers import explorer_of
from tests.unit.models.explore.test_impressions import T0, catalogue
from tests.unit.models.training.test_rankers import exposures

EVERY_GRID = Settings(sampled_grids_per_minute=1e9)


class Record(NamedTuple):
    value: bytes
    offset: int = 0
    partition: int = 0


def viewer(number: int) -> tuple[str, ViewerState]:
    """Somebody with a few likes."""
    state = ViewerState()
    for at in range(3):
        media = (number * 7 + at * 3) % 400
        event = MediaEvent(f"e{at}", f"v{number}", f"m{media}", T0 + at, f"a{media % 40}")
        fold_media_event(state, Action.LIKE, event, f"a{media % 40}", FoldConfig())
    return f"v{number}", state


@asynccontextmanager
async def logging_to(sampled: SampledGrids) -> AsyncIterator[list[LoggedCandidates]]:
    records: list[LoggedCandidates] = []

    async def log(viewer_id: str, value: bytes) -> None:
        records.append(msgspec.json.decode(value, type=LoggedCandidates))
        assert records[-1].viewer_id == viewer_id

    task = asyncio.create_task(sampled.run(log))
    try:
        yield records
        assert not task.done(), task.exception()
    finally:
        task.cancel()


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def logged(world: World, viewers: list[tuple[str, ViewerState]]) -> list[LoggedCandidates]:
    """What a ranker logs that makes the grids of these viewers, and samples every one."""
    explorer = explorer_of(world, EVERY_GRID)
    async with logging_to(explorer.sampled) as records:
        for name, state in viewers:
            explorer.make([name], [state], now_ms())
            await settled()
    return records


def counted(outcome: str) -> float:
    return CANDIDATE_SETS.labels(outcome)._value.get()


def test_grids_are_drawn_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("streams.serving.sampled_grids.time.monotonic", lambda: clock[0])
    drawn: list[float] = []
    none, some = SampledGrids(0.0, _unused), SampledGrids(4.0, _unused)
    for _ in range(600):
        none.sample("v", ViewerState())
        some.sample("v", ViewerState())
        if some.waiting:
            drawn.append(clock[0])
            some._drawn.get_nowait()
        clock[0] += 0.25
    assert none.waiting == 0
    assert drawn == [100.0 + 15 * n for n in range(10)]


def test_one_grid_waits_at_most() -> None:
    sampled = SampledGrids(1e9, _unused)
    for number in range(100):
        sampled.sample(f"v{number}", ViewerState())
    assert sampled.waiting == 1


def _unused(viewer_id: str, state: ViewerState) -> Any:
    raise AssertionError


async def test_a_sampled_grid_is_audited_and_its_candidates_are_logged() -> None:
    world, before = catalogue(), FUNNEL_BEST._value.get()
    [record] = await logged(world, [viewer(1)])
    assert FUNNEL_BEST._value.get() == before + 25
    assert record.candidates > 100
    name, state = viewer(1)
    context = ViewerContext.from_state(name, state, world, record.ranked_ms)
    again = rank_uncut(
        find([context], world, Treatment(), record.ranked_ms), world, ExploreConfig()
    )
    assert record.versions == again.trace.grid.versions


async def test_without_candidates_nothing_is_logged() -> None:
    assert await logged(World(), [viewer(1)]) == []


async def test_a_record_that_kafka_may_refuse_is_told_and_not_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world, before = catalogue(), counted("oversize")
    monkeypatch.setattr(sampled_grids, "MAX_BYTES", 1000)
    with caplog.at_level(logging.WARNING):
        assert await logged(world, [viewer(1)]) == []
    assert counted("oversize") == before + 1
    assert "candidates of v1 are not logged" in caplog.text


class Nowhere:
    async def send(self, messages: Iterable[Message]) -> None:
        raise AssertionError(f"nothing is published here, yet {list(messages)} is sent")


def learner(world: World, folder: Path) -> Training:
    return Training(Settings(), world, ArtifactStore(str(folder)), Nowhere())


def records_of(of: list[LoggedCandidates]) -> list[Any]:
    return [Record(msgspec.json.encode(one)) for one in of]


async def test_passes_are_distilled_from_logged_sets_once_there_are_enough(tmp_path: Path) -> None:
    world = catalogue()
    records = await logged(world, [viewer(number) for number in range(ENOUGH_LOGGED)])
    assert len(records) == ENOUGH_LOGGED
    training, before = learner(world, tmp_path), counted("read")
    training.candidates([*records_of(records[1:]), Record(b"{")])
    assert counted("read") == before + ENOUGH_LOGGED - 1
    assert not training._candidate_sets().logged_n.any()

    training.candidates(records_of(records[:1]))
    sets = training._candidate_sets()
    assert len(np.unique(sets.groups_n[sets.logged_n])) == ENOUGH_LOGGED
    # Viewers without history beside them.
    assert len(np.unique(sets.groups_n[~sets.logged_n])) == ENOUGH_LOGGED // 10 + 1

    bundle = RankerLearning(Settings()).train(exposures(400), sets)
    assert bundle.metrics["logged_sets"] == ENOUGH_LOGGED
    assert bundle.metrics["candidate_sets"] == ENOUGH_LOGGED + 11
    # By chance a third and an eighth would survive; labels are at random here.
    assert bundle.metrics["survive_pass1"] > 0.6
    assert bundle.metrics["survive_pass2"] > 0.6


async def test_sets_of_a_query_that_no_longer_serves_are_not_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = catalogue()
    monkeypatch.setattr(training_module, "ENOUGH_LOGGED", 2)
    records = await logged(world, [viewer(number) for number in range(3)])
    training = learner(world, tmp_path)
    gone = {**records[0].versions, "query": "gone"}
    training.candidates(records_of([msgspec.structs.replace(records[0], versions=gone)]))
    training.candidates(records_of(records[1:2]))
    assert not training._candidate_sets().logged_n.any()
    training.candidates(records_of(records[2:]))
    sets = training._candidate_sets()
    assert len(np.unique(sets.groups_n[sets.logged_n])) == 2
