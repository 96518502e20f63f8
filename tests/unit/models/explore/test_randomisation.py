"""A share of the grids in random order: who gets them, with which chances, and what is logged."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from models.actions import HEAD_NAMES, Action
from models.evaluation.random_orders import RandomOrders, RandomPage
from models.events import HOUR_MS, Media, MediaEvent
from models.explore.diversity import DiversityConfig
from models.explore.grid import to_json
from models.explore.impressions import impression_of, parse_impression, stored_grid
from models.explore.pipeline import ExploreConfig, explore, find, funnel
from models.explore.randomisation import (
    PoolItem,
    RandomisationConfig,
    RandomOrder,
    is_randomised,
)
from models.explore.stamp import Stamp, page_of
from models.explore.treatment import Treatment
from models.explore.withdrawal import without
from models.off_policy.support import ThinSupportError
from models.rankers.value import Weights, value
from models.viewers.context import ViewerContext
from models.viewers.state import FoldConfig, ViewerState, fold_media_event
from models.world import World

NOW = 1_700_000_000_000
PLAIN = ExploreConfig(size=8, first=30, second=20)
RANDOM = msgspec.structs.replace(PLAIN, randomisation=RandomisationConfig(share=1.0))


@pytest.fixture(scope="module")
def world() -> World:
    world = World()
    world.apply_media(
        [Media(f"m{n}", f"a{n % 12}", NOW - n * HOUR_MS, topics=(str(n % 3),)) for n in range(120)]
    )
    return world


def viewer(world: World, state: ViewerState | None = None, name: str = "v") -> ViewerContext:
    return ViewerContext.from_state(name, state or ViewerState(), world, NOW)


def test_by_default_nobody_gets_a_random_order_and_nothing_is_added(world: World) -> None:
    assert ExploreConfig().randomisation.share == 0.0
    grid = explore(viewer(world), world, Treatment(), PLAIN, NOW)
    assert grid.pool is None
    assert b"randomised" not in to_json(stored_grid(grid, world))


def test_whether_it_is_random_is_decided_by_viewer_and_hour() -> None:
    hashes = np.arange(20_000, dtype=np.int32) * 7919
    config = RandomisationConfig(share=0.1)
    now = is_randomised(hashes, NOW - NOW % HOUR_MS, config)
    assert (now == is_randomised(hashes, NOW - NOW % HOUR_MS + HOUR_MS - 1, config)).all()
    later = is_randomised(hashes, NOW + HOUR_MS, config)
    # Each a tenth, and both a hundredth: one hour says nothing of another.
    assert [now.mean(), later.mean()] == pytest.approx([0.1, 0.1], abs=0.01)
    assert (now & later).mean() == pytest.approx(0.01, abs=0.003)
    assert not is_randomised(hashes, NOW, RandomisationConfig()).any()
    with pytest.raises(ValueError, match="randomised traffic is 2"):
        RandomisationConfig(share=2.0)


def test_each_item_of_the_pool_is_at_each_position_equally_often(world: World) -> None:
    times = 1500
    found = find([viewer(world, name=f"v{n}") for n in range(times)], world, Treatment(), NOW)
    traces = funnel(found, world, RANDOM)
    pool = traces[0].grid.pool
    assert pool is not None
    assert len(pool.media_p) == 20
    count = {int(row): np.zeros(8) for row in pool.media_p}
    for trace in traces:
        for position, row in enumerate(trace.grid.media_n.tolist()):
            count[row][position] += 1
    of = np.array(list(count.values()))
    expected = times / 20
    # Chi-square with 19 × 8 degrees of freedom, about: 152 ± 17.
    assert ((of - expected) ** 2 / expected).sum() < 230
    assert set(traces[0].grid.propensity_n) == {8 / 20}


def test_what_is_logged_is_all_that_an_order_is_made_of(world: World) -> None:
    state, fold = ViewerState(), FoldConfig()
    like = MediaEvent("e", "v", "m3", NOW - HOUR_MS, "a3")
    fold_media_event(state, Action.LIKE, like, "a3", fold)
    plain = explore(viewer(world, state), world, Treatment(), PLAIN, NOW)
    grid = explore(viewer(world, state), world, Treatment(), RANDOM, NOW)
    stored = to_json(stored_grid(grid, world))
    read = parse_impression(impression_of(stored, NOW), NOW)
    assert isinstance(read.randomised, RandomOrder)
    pool = read.randomised.pool
    assert read.randomised.chance == 1 / len(pool)
    assert {item.media_id for item in read.items} < {item.media_id for item in pool}
    # By the live weights the pool gives the grid that would have been shown; what was drawn
    # between is left out.
    expected_ph = np.array([[item.expected[name] for name in HEAD_NAMES] for item in pool])
    value_p = value(expected_ph, Weights())
    best = pool[int(value_p.argmax())].media_id
    assert best == world.catalog.media_ids(plain.media_n)[0]
    # Readers get the page without it, and the stamp is still the last.
    assert b"randomised" not in page_of(stored)
    assert Stamp.of(stored) is not None


def test_who_saw_fewer_of_an_author_has_her_in_no_pool(world: World) -> None:
    state, fold = ViewerState(), FoldConfig()
    event = MediaEvent("e", "v", "m3", NOW - 1, "a3")
    fold_media_event(state, Action.SEE_FEWER, event, "a3", fold)
    grid = explore(viewer(world, state), world, Treatment(), RANDOM, NOW)
    assert grid.pool is not None
    assert "a3" not in world.catalog.author_ids(grid.pool.author_p)


def test_feeds_stay_in_order_of_value(world: World) -> None:
    grid = explore(viewer(world), world, Treatment(feed=True), RANDOM, NOW)
    assert grid.pool is None
    assert (np.diff(grid.value_n) <= 0).all()


def test_a_page_that_lost_an_item_is_no_random_order_any_more(world: World) -> None:
    stored = to_json(stored_grid(explore(viewer(world), world, Treatment(), RANDOM, NOW), world))
    assert b"randomised" in stored
    read = parse_impression(impression_of(stored, NOW), NOW)
    left = without(stored, {read.items[2].media_id})
    assert left is not None
    assert b"randomised" not in left
    assert without(stored, {"another"}) is None


def logged(pages: int, seed: int) -> tuple[list[RandomPage], float, float]:
    """Pages of pools in which likes follow what is expected; true rates by likes and by saves."""
    rng = np.random.default_rng(seed)
    found, by_like, by_save = [], [], []
    for number in range(pages):
        like_p, save_p = rng.uniform(0.0, 0.6, 12), rng.uniform(0.0, 0.2, 12)
        pool = [
            PoolItem(f"m{p}", f"a{p}", -1, False, 0, {"like": like_p[p], "save": save_p[p]})
            for p in range(12)
        ]
        order = rng.permutation(12)[:4]
        liked = [at for at, p in enumerate(order) if rng.random() < like_p[p]]
        found.append(
            RandomPage(
                viewer=number,
                order=RandomOrder(pool),
                media_ids=[f"m{p}" for p in order],
                done={Action.LIKE: liked},
            )
        )
        by_like.append(np.sort(like_p)[-4:].mean())
        by_save.append(like_p[np.argsort(-save_p)[:4]].mean())
    return found, float(np.mean(by_like)), float(np.mean(by_save))


def test_random_orders_tell_what_other_weights_are_worth() -> None:
    pages, by_like, by_save = logged(1500, 5)
    orders = RandomOrders(pages)
    off = DiversityConfig(enabled=False)
    zero = dict.fromkeys(HEAD_NAMES, 0.0)
    likes = orders.judge(Weights(**{**zero, "like": 1.0}), off)
    saves = orders.judge(Weights(**{**zero, "save": 1.0}), off)
    assert likes.actions["like"].holds(by_like)
    assert saves.actions["like"].holds(by_save)
    assert likes.actions["like"].low > saves.actions["like"].high
    assert likes.variety == likes.new_media == 1.0


def test_too_few_random_orders_are_refused_with_how_many_it_takes() -> None:
    pages, _, _ = logged(30, 5)
    with pytest.raises(ThinSupportError, match="times as many randomised grids"):
        RandomOrders(pages).judge(Weights(), DiversityConfig())
    with pytest.raises(ThinSupportError, match="RANDOMISED_SHARE"):
        RandomOrders([])
