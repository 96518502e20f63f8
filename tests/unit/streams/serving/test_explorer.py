"""Viewers of several arms, ranked together: each by what her own arm gives her."""

from __future__ import annotations

import numpy as np

from infra.config import Settings
from infra.memory_store import MemoryStore
from models.explore.stamp import Stamp
from models.explore.treatment import Treatment
from models.igql.library import operators
from models.queries import CandidateQuery, planned
from models.rankers.value import Weights
from models.viewers.state import ViewerState
from streams.serving.explorer import Explorer
from streams.serving.live_queries import LiveQueries
from streams.serving.live_versions import LiveVersions
from tests.igql_worlds import NOW, random_world
from tests.unit.models.igql.test_execution import ByAge

DAY = 86_400_000
WORLD = random_world(1, 300, 60, 40)
SETTINGS = Settings(grid_size=8)
QUERY = CandidateQuery(planned("user.fresh(max_num_to_retrieve=300).rank().take(8)"))
BY_AGE = {"old": ByAge(1.0), "new": ByAge(-1.0)}
ARMS = {
    "old": Treatment(arm="old", rankers=BY_AGE["old"], weights=Weights(like=3.0), query=QUERY),
    "new": Treatment(arm="new", rankers=BY_AGE["new"], query=QUERY, feed=True),
}


def explorer() -> Explorer:
    return Explorer(
        SETTINGS, WORLD, MemoryStore(SETTINGS), LiveQueries(SETTINGS, operators), treatment_of
    )


def treatment_of(viewer_id: str) -> Treatment:
    return ARMS[viewer_id.partition("-")[0]]


def days_old(media_ids: list[str]) -> list[int]:
    rows = WORLD.catalog.media_rows(media_ids)
    days: list[int] = ((NOW - WORLD.catalog.created_ts_n[rows]) // DAY).tolist()
    return days


def test_the_query_ranks_by_the_rankers_of_each_viewers_arm() -> None:
    viewers = ["old-1", "new-1", "old-2", "new-2"]
    before = {name: len(BY_AGE[name].calls) for name in ARMS}
    grids = explorer().make(viewers, [ViewerState()] * 4, NOW)
    catalog = WORLD.catalog
    there_n = ~(catalog.deleted_n | catalog.hidden_account_a[catalog.author_n])
    days = np.sort((NOW - catalog.created_ts_n[there_n]) // DAY).tolist()
    for viewer, grid in zip(viewers, grids, strict=True):
        arm, document = ARMS[viewer.partition("-")[0]], grid.document
        assert document.viewer_id == viewer
        shown = sorted(days_old([item.media_id for item in document.items]))
        assert shown == (days[-8:] if arm.arm == "old" else days[:8])
        expected = arm.versions(WORLD)
        assert {name: document.versions[name] for name in expected} == expected
    # Both viewers of an arm at once: in the query, and in the first pass.
    assert {name: len(BY_AGE[name].calls) - before[name] for name in ARMS} == {"old": 2, "new": 2}


async def test_a_query_that_is_asked_for_ranks_by_the_rankers_of_the_viewers_arm() -> None:
    text = "user.fresh(max_num_to_retrieve=300).rank().take(5)"
    asked = {name: await explorer().query(f"{name}-1", text) for name in ARMS}
    found = {
        name: days_old([one["media_id"] for one in answer["candidates"]])
        for name, answer in asked.items()
    }
    assert min(found["old"]) > max(found["new"])


def test_a_grid_says_what_was_live_in_its_viewers_arm() -> None:
    live = LiveVersions(WORLD, treatment_of, lambda viewer_id: treatment_of(viewer_id).arm)
    for viewer in ("old-1", "new-1"):
        [grid] = explorer().make([viewer], [ViewerState()], NOW)
        stamp = Stamp.of(grid.json)
        assert stamp is not None
        assert stamp.live == live.of(viewer, NOW).digest
        assert stamp.made_ms == NOW
    assert live.of("old-1", NOW).digest != live.of("new-1", NOW).digest
