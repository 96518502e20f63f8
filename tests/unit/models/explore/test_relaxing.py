"""A grid is never empty while anything may be shown: exclusions give way, and it says which."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.actions import Action
from models.arrays.types import NO_ROWS
from models.events import Account, FollowEvent, Integrity, Media, MediaEvent, Relation
from models.explore.grid import GridDocument
from models.explore.pipeline import ExploreConfig, explore, find, funnel
from models.explore.treatment import Treatment
from models.igql.executor import Executor
from models.igql.library import operators
from models.igql.registry import GivesWay, Registry, RegistryError, SetType
from models.queries import CandidateQuery, explore_plan
from models.viewers.context import ViewerContext
from models.viewers.state import FoldConfig, ViewerState, fold_follow_event, fold_media_event
from models.world import World

NOW = 1_700_000_000_000
HOUR = 3_600_000
FOLD = FoldConfig(max_strong=1000)
CONFIG = ExploreConfig()


def world_of(authors: int, posts: int) -> World:
    world = World()
    world.apply_media(
        [
            Media(f"m{a}-{p}", f"a{a}", NOW - (a * posts + p) * HOUR)
            for a in range(authors)
            for p in range(posts)
        ]
    )
    return world


def act(state: ViewerState, action: Action, media_id: str) -> None:
    event = MediaEvent(f"{action}-{media_id}", "v", media_id, NOW - HOUR)
    fold_media_event(state, action, event, media_id.partition("-")[0].replace("m", "a"), FOLD)


def one_like_each(authors: int) -> ViewerState:
    state = ViewerState()
    for author in range(authors):
        act(state, Action.LIKE, f"m{author}-0")
    return state


def grid_of(state: ViewerState, world: World, served: list[str] | None = None) -> GridDocument:
    viewer = ViewerContext.from_state("v", state, world, NOW, FOLD)
    rows = NO_ROWS if served is None else world.catalog.media_rows(served)
    return explore(viewer, world, Treatment(), CONFIG, NOW, rows).document(world)


def ids(grid: GridDocument) -> list[str]:
    return [item.media_id for item in grid.items]


def test_one_like_for_each_author_leaves_a_full_grid_of_unseen_posts() -> None:
    world, state = world_of(10, 50), one_like_each(10)
    grid = grid_of(state, world)
    assert len(set(ids(grid))) == 25
    assert not {f"m{a}-0" for a in range(10)} & set(ids(grid))
    assert grid.relaxed == ["exclude_own_accounts"]


def test_what_must_not_be_shown_never_gives_way() -> None:
    world, state = world_of(10, 50), one_like_each(10)
    act(state, Action.SEE_FEWER, "m1-1")
    world.apply_media([Media("m2-1", "a2", NOW, Integrity(nsfw=0.9)), Media("m3-1", "a3", NOW)])
    world.delete_media(["m3-1"])
    world.apply_accounts([Account("a4", private=True), Account("a5", disabled=True)])
    blocked = FollowEvent("f", "v", "a6", Relation.BLOCK, NOW - HOUR)
    fold_follow_event(state, blocked, FOLD)
    world.apply_media([Media("own", "v", NOW)])
    shown: list[str] = []
    while page := ids(grid_of(state, world, shown)):
        shown += page
    left = {f"m{a}-{p}" for a in (0, 1, 2, 3, 7, 8, 9) for p in range(1, 50)}
    # To the end of all that there is, without a repeat, and nothing else; not the own post.
    assert len(shown) == len(set(shown))
    assert set(shown) == left - {"m1-1", "m2-1", "m3-1"}


def test_steps_come_one_after_the_other_and_seen_media_only_before_an_empty_grid() -> None:
    world, state = world_of(3, 4), ViewerState()
    followed = FollowEvent("f", "v", "a1", Relation.FOLLOW, NOW - HOUR)
    fold_follow_event(state, followed, FOLD)
    act(state, Action.LIKE, "m0-0")
    grid = grid_of(state, world)
    assert grid.relaxed == ["exclude_own_accounts", "exclude_followed"]
    assert len(ids(grid)) == 11  # all but what was seen
    for author in range(3):
        for post in range(4):
            act(state, Action.LIKE, f"m{author}-{post}")
    grid = grid_of(state, world)
    assert grid.relaxed == ["exclude_own_accounts", "exclude_followed", "exclude_seen"]
    assert len(ids(grid)) == 12


def test_the_end_of_a_scroll_is_no_reason_to_give_way() -> None:
    world, state = world_of(30, 2), one_like_each(1)
    first = ids(grid_of(state, world))
    second = grid_of(state, world, first)
    third = grid_of(state, world, first + ids(second))
    assert len(third.items) == 8
    assert first and not second.relaxed and not third.relaxed
    assert not {"m0-0", "m0-1"} & {*first, *ids(second), *ids(third)}


@pytest.mark.parametrize("batch", [1, 7])
def test_nothing_changes_where_nothing_is_short(batch: int) -> None:
    world = world_of(60, 10)
    states = [one_like_each(n) for n in range(batch)]
    viewers = [(f"v{n}", state) for n, state in enumerate(states)]
    contexts = ViewerContext.from_states(viewers, world, NOW, FOLD)
    strict = CandidateQuery(replace(explore_plan(), steps=()), Executor())
    before = find(contexts, world, Treatment(query=strict), NOW, enough=CONFIG.size)
    after = find(contexts, world, Treatment(), NOW, enough=CONFIG.size)
    for plain, now in zip(funnel(before, world, CONFIG), funnel(after, world, CONFIG), strict=True):
        assert plain.grid.document(world) == now.grid.document(world)
        assert not now.grid.relaxed


def test_of_a_batch_only_who_is_short_gets_more() -> None:
    world = world_of(10, 50)
    states = [("new", ViewerState()), ("v", one_like_each(10)), ("other", ViewerState())]
    contexts = ViewerContext.from_states(states, world, NOW, FOLD)
    strict = CandidateQuery(replace(explore_plan(), steps=()), Executor())
    plain = find(contexts, world, Treatment(query=strict), NOW)
    found = find(contexts, world, Treatment(), NOW, enough=CONFIG.size)
    for at in (0, 2):
        assert found.executed.candidates(at).media_n.tolist() == (
            plain.executed.candidates(at).media_n.tolist()
        )
    grids = [trace.grid for trace in funnel(found, world, CONFIG)]
    assert [len(grid) for grid in grids] == [25, 25, 25]
    assert [grid.relaxed for grid in grids] == [(), ("exclude_own_accounts",), ()]
    assert len(found.executed.rows) == sum(found.executed.counts())
    assert (np.diff(found.executed.rows.viewer_n) >= 0).all()


def test_only_an_exclusion_can_give_way() -> None:
    registry: Registry = operators.copy()
    with pytest.raises(RegistryError, match="gives way"):
        registry.register(
            takes=SetType.MEDIA, gives=SetType.MEDIA, cost=lambda *_: None, name="other",
            gives_way=GivesWay(1),
        )(_kernel)  # fmt: skip


def _kernel(execution: object, media: object, arguments: object) -> object:
    """Nothing."""
    return media
