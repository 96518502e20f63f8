"""Each operator of the query on a world small enough to check by eye."""

from __future__ import annotations

import numpy as np
import pytest

from models.candidates import (
    Accounts,
    Candidates,
    account_nn,
    authors_of,
    blend,
    dedupe,
    diversify_by,
    engaged,
    exclude_deleted,
    exclude_followed,
    exclude_media,
    exclude_own_accounts,
    exclude_seen,
    exclude_suppressed,
    filter_integrity,
    followed,
    fresh,
    liked,
    order_by_score,
    popular,
    posted_media,
    saved,
    take,
)
from models.columns import Rows
from models.default_query import seed_accounts
from models.events import Account, Action, FollowEvent, Integrity, Media, MediaEvent, Relation
from models.viewer_context import ViewerContext
from models.viewer_state import FoldConfig, ViewerState, fold_follow_event, fold_media_event
from models.world import World

NOW = 1_700_000_000_000
FOLD = FoldConfig()


@pytest.fixture
def world() -> World:
    world = World()
    world.apply_media([Media(f"{a}{i}", a, NOW - i) for a in "abcde" for i in range(3)])
    angles = {"a": 0.0, "b": 0.1, "c": 0.3, "d": 2.0}
    world.apply_embeddings(
        "s", list(angles), np.array([[np.cos(x), np.sin(x)] for x in angles.values()], np.float32)
    )
    return world


@pytest.fixture
def viewer(world: World) -> ViewerContext:
    """Likes a0 then b0, saves b1, views c0 long, d0 shortly, wants fewer of e0; follows d."""
    state = ViewerState()
    done = [
        (Action.LIKE, "a0"),
        (Action.LIKE, "b0"),
        (Action.SAVE, "b1"),
        (Action.LONG_VIEW, "c0"),
        (Action.VIEW, "d0"),
        (Action.SEE_FEWER, "e0"),
    ]
    for i, (action, media) in enumerate(done):
        event = MediaEvent(f"e{i}", "v", media, NOW - 100 + i)
        fold_media_event(state, action, event, media[0], FOLD)
    fold_follow_event(state, FollowEvent("f", "v", "d", Relation.FOLLOW, NOW), FOLD)
    fold_follow_event(state, FollowEvent("g", "v", "c", Relation.MUTE, NOW), FOLD)
    return ViewerContext.from_state("v", state, world, NOW, FOLD)


def media_of(world: World, candidates: Candidates) -> list[str]:
    return world.catalog.media_ids(candidates.media_n)


def accounts_of(world: World, rows: Rows) -> str:
    return "".join(world.catalog.author_ids(rows))


def everything(world: World) -> Candidates:
    return Candidates.of(np.arange(world.catalog.media_count, dtype=np.int32))


def test_actions_come_newest_first_with_their_author_as_seed(
    world: World, viewer: ViewerContext
) -> None:
    assert media_of(world, liked(viewer)) == ["b0", "a0"]
    assert media_of(world, liked(viewer, 1)) == ["b0"]
    assert media_of(world, saved(viewer)) == ["b1"]
    assert media_of(world, engaged(viewer)) == ["c0", "b1", "b0", "a0"]
    assert accounts_of(world, engaged(viewer).seed_n) == "cbba"


def test_accounts(world: World, viewer: ViewerContext) -> None:
    assert accounts_of(world, authors_of(engaged(viewer)).account_n) == "cba"
    assert accounts_of(world, followed(viewer).account_n) == "d"
    # Likes and saves first, then follows; c is muted.
    assert accounts_of(world, seed_accounts(viewer, 10).account_n) == "bad"
    assert accounts_of(world, seed_accounts(viewer, 1).account_n) == "b"


def test_neighbours_leave_out_the_seed_and_stay_with_the_nearest_seed(world: World) -> None:
    rows = world.catalog.author_rows(["a", "d", "e"])
    near = account_nn(Accounts(rows, rows, np.ones(3, np.float32)), world, 1)
    # b is nearest to a; c is nearest to d, far as it is; e has no vector.
    assert accounts_of(world, near.account_n) == "bc"
    assert accounts_of(world, near.seed_n) == "ad"
    assert near.score_n == pytest.approx([np.cos(0.1), np.cos(1.7)], abs=1e-6)
    wide = account_nn(Accounts(rows, rows, np.ones(3, np.float32)), world, 50)
    found = zip(accounts_of(world, wide.account_n), accounts_of(world, wide.seed_n), strict=True)
    assert set(found) == {("a", "d"), ("b", "a"), ("c", "a"), ("d", "a")}


def test_posts_carry_seed_and_score(world: World) -> None:
    rows = world.catalog.author_rows(["c", "b"])
    near = Accounts(rows, rows[::-1].copy(), np.array([0.5, 0.25], np.float32))
    found = posted_media(near, world, 2)
    assert media_of(world, found) == ["c0", "c1", "b0", "b1"]
    assert accounts_of(world, found.seed_n) == "bbcc"
    assert found.score_n.tolist() == [0.5, 0.5, 0.25, 0.25]
    assert found.rank_n.tolist() == [0, 1, 2, 3]


def test_popular_and_fresh(world: World) -> None:
    likes = ["c1", "c1", "a2", "c1", "a2", "e0"]
    world.apply_events(
        [(Action.LIKE, MediaEvent(f"{i}", "v", m, NOW)) for i, m in enumerate(likes)]
    )
    found = popular(world, NOW, 2)
    assert media_of(world, found) == ["c1", "a2"]
    assert found.score_n.tolist() == [3.0, 2.0]
    assert media_of(world, fresh(world, 6)) == ["a0", "b0", "c0", "d0", "e0", "a1"]


def test_filters(world: World, viewer: ViewerContext) -> None:
    world.catalog.delete_media(["a1"])
    world.apply_accounts([Account("b", private=True)])
    world.apply_media([Media("a2", "a", NOW, Integrity(misinformation=0.5))])
    found = exclude_deleted(everything(world), world)
    assert set(media_of(world, found)) == {
        "a0",
        "a2",
        "c0",
        "c1",
        "c2",
        "d0",
        "d1",
        "d2",
        "e0",
        "e1",
        "e2",
    }
    found = filter_integrity(found, world)
    assert "a2" not in media_of(world, found)
    found = exclude_seen(found, viewer, world)
    assert set(media_of(world, found)) == {"c1", "c2", "d1", "d2", "e1", "e2"}
    muted = exclude_suppressed(found, viewer, world)
    assert set(media_of(world, muted)) == {"d1", "d2", "e1", "e2"}
    assert set(media_of(world, exclude_followed(muted, viewer, world))) == {"e1", "e2"}
    served = world.catalog.media_rows(["e2", "d1"])
    assert set(media_of(world, exclude_media(muted, world, served))) == {"d2", "e1"}


def test_see_fewer_suppresses_the_media(world: World, viewer: ViewerContext) -> None:
    assert "e0" not in media_of(world, exclude_suppressed(everything(world), viewer, world))


def test_own_accounts_are_the_seeds_and_the_viewer(world: World) -> None:
    viewer = ViewerContext.from_state("e", ViewerState(), world, NOW)
    rows = world.catalog.author_rows(["a", "b"])
    seeds = Accounts(rows, rows, np.ones(2, np.float32))
    found = exclude_own_accounts(everything(world), viewer, world, seeds)
    assert {name[0] for name in media_of(world, found)} == {"c", "d"}


def of(media: list[int], score: list[float] | None = None) -> Candidates:
    rows = np.array(media, np.int32)
    score_n = None if score is None else np.array(score, np.float32)
    return Candidates.of(rows, score_n=score_n)


def test_order_take_dedupe() -> None:
    found = order_by_score(of([1, 2, 3, 2], [0.1, 0.9, 0.5, 0.9]))
    assert found.media_n.tolist() == [2, 2, 3, 1]
    assert dedupe(found).media_n.tolist() == [2, 3, 1]
    assert take(found, 1).media_n.tolist() == [2]
    assert take(found, 9) is found


def test_round_robin_visits_groups_in_order_of_appearance() -> None:
    group = np.array([5, 5, 5, -1, 2, 2])
    assert diversify_by(of([0, 1, 2, 3, 4, 5]), group).media_n.tolist() == [0, 3, 4, 1, 5, 2]
    assert len(diversify_by(of([]), np.empty(0, np.int32))) == 0


def test_blend_keeps_proportions_provenance_and_the_size() -> None:
    a, b = of(list(range(50))), of([3, *range(100, 150)])
    found = blend([(a, 3.0), (b, 1.0)], 20).media_n.tolist()
    assert len(found) == len(set(found)) == 20
    assert sum(media < 100 for media in found) == 15
    assert found[0] == 0
    # A short part leaves its share to the others, a part without weight is left out.
    assert len(blend([(of([1]), 3.0), (b, 1.0), (a, 0.0)], 20)) == 20
    assert len(blend([], 5)) == len(blend([(of([]), 1.0)], 5)) == 0


def test_every_operator_takes_nothing(world: World) -> None:
    viewer = ViewerContext.from_state("new", ViewerState(), World(), NOW)
    none = engaged(viewer)
    assert len(none) == 0
    assert len(posted_media(account_nn(authors_of(none), world), world)) == 0
    assert len(popular(World(), NOW, 5)) == len(fresh(World(), 5)) == 0
    assert len(exclude_deleted(filter_integrity(none, world), world)) == 0
