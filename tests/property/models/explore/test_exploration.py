"""The draw of new media: what is logged as its probability is what happens."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.actions import Action
from models.arrays.viewer_pairs import pairs
from models.events import Media, MediaEvent
from models.explore.exploration import ExplorationConfig, is_new, seeds_of
from models.explore.lottery import Drawn, Lottery
from models.explore.pipeline import ExploreConfig, explore
from models.explore.treatment import Treatment
from models.viewers.context import ViewerContext
from models.viewers.state import ViewerState
from models.world import World

NOW = 1_700_000_000_000
DAY = 86_400_000
CONFIG = ExplorationConfig()


def world_of(authors: list[int], age_ms: int = 1000) -> World:
    world = World()
    world.apply_media([Media(f"m{i}", f"a{a}", NOW - age_ms - i) for i, a in enumerate(authors)])
    return world


class Found(NamedTuple):
    """What was drawn of one viewer's candidates, which are all media.

    Attributes:
        rows: media drawn.
        drawn: with what probability, and where they come.
    """

    rows: list[int]
    drawn: Drawn


def drawn_of(
    world: World, certain: int, slots: int, seed: int, passed: int | None = None
) -> Found | None:
    return drawn_of_all(world, [certain], slots, [seed], passed)[0]


def drawn_of_all(
    world: World, certain_v: list[int], slots: int, seed_v: list[int], passed: int | None = None
) -> list[Found | None]:
    """Each viewer's candidates are all media; of them the first ones pass and are certain.

    Args:
        passed: media that pass beyond the certain ones, None for all.
    """
    viewers, media = len(certain_v), world.catalog.media_count
    rows = np.arange(viewers * media)
    viewer_n, media_n = rows // media, (rows % media).astype(np.int32)
    author_n, seeds = world.catalog.author_n[media_n], np.array(seed_v, np.uint64)
    pass_n = (
        media_n
        < np.array([of + (media if passed is None else passed) for of in certain_v])[viewer_n]
    )
    lottery = Lottery(rows, viewer_n, media_n, author_n, rows[pass_n], slots, seeds, world)
    pair_n = pairs(viewer_n, author_n)
    certain = [pair_n[at * media : at * media + of] for at, of in enumerate(certain_v)]
    return [
        None if one is None else Found((tickets[one.tickets] % media).tolist(), one)
        for tickets, one in zip(lottery.tickets, lottery.settle(certain, CONFIG), strict=True)
    ]


def seed_of(viewer_hash: int, now_ms: int) -> int:
    return int(seeds_of(np.array([viewer_hash]), now_ms)[0])


@given(
    authors=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    certain=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    slots=st.integers(0, 4),
    seed=st.integers(0, 2**62),
)
def test_a_draw_for_many_viewers_is_the_draw_for_each(
    authors: list[int], certain: list[int], slots: int, seed: int
) -> None:
    world, media = world_of(authors), len(authors)
    certain = [min(of, media) for of in certain]
    seeds = [seed + at for at in range(len(certain))]
    together = drawn_of_all(world, certain, slots, seeds)
    for at, (of, both) in enumerate(zip(certain, together, strict=True)):
        alone = drawn_of(world, of, slots, seeds[at])
        assert (both is None) == (alone is None)
        if both is not None and alone is not None:
            assert both.rows == alone.rows
            assert both.drawn.propensity_n.tolist() == alone.drawn.propensity_n.tolist()
            assert both.drawn.order == alone.drawn.order


@given(
    authors=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    certain=st.integers(0, 40),
    passed=st.integers(0, 40),
    slots=st.integers(0, 4),
    seed=st.integers(0, 2**62),
)
def test_who_has_a_ticket_does_not_decide_who_is_drawn(
    authors: list[int], certain: int, passed: int, slots: int, seed: int
) -> None:
    world, certain = world_of(authors), min(certain, len(authors))
    everybody = drawn_of(world, certain, slots, seed)
    few = drawn_of(world, certain, slots, seed, passed)
    assert (everybody is None) == (few is None)
    if everybody is not None and few is not None:
        assert few.rows == everybody.rows
        assert few.drawn.propensity_n.tolist() == everybody.drawn.propensity_n.tolist()


@given(
    authors=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    certain=st.integers(0, 40),
    slots=st.integers(0, 4),
    seed=st.integers(0, 2**63),
)
def test_a_draw_is_of_other_authors_each_once_with_their_probabilities(
    authors: list[int], certain: int, slots: int, seed: int
) -> None:
    world, certain = world_of(authors), min(certain, len(authors))
    drawn = drawn_of(world, certain, slots, seed)
    pool = Counter(a for a in authors[certain:] if a not in authors[:certain])
    if slots == 0 or len(pool) <= slots:
        assert drawn is None
        return
    assert drawn is not None
    chosen = [authors[row] for row in drawn.rows]
    assert len(set(chosen)) == slots and set(chosen) <= pool.keys()
    expected = [slots / len(pool) / pool[author] for author in chosen]
    assert drawn.drawn.propensity_n.tolist() == pytest.approx(expected)
    # Every item has one place; the certain ones keep their order, the top is theirs.
    assert sorted(drawn.drawn.order) == list(range(certain + slots))
    assert [at for at in drawn.drawn.order if at < certain] == list(range(certain))
    first = int(CONFIG.first_position * (certain + slots))
    assert drawn.drawn.order[:first] == list(range(first))
    again = drawn_of(world, certain, slots, seed)
    assert again is not None and again.rows == drawn.rows


@pytest.mark.parametrize("slots", [1, 3])
def test_media_are_drawn_as_often_as_their_propensity_says(slots: int) -> None:
    authors = [0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 6, 7]
    world, runs = world_of(authors), 6000
    counts: Counter[int] = Counter()
    logged: dict[int, float] = {}
    for run in range(runs):
        drawn = drawn_of(world, 2, slots, seed_of(1234, NOW + 1000 * run))
        assert drawn is not None
        counts.update(drawn.rows)
        logged.update(zip(drawn.rows, drawn.drawn.propensity_n.tolist(), strict=True))
    assert logged.keys() == set(range(2, len(authors)))
    for row, propensity in logged.items():
        deviation = (propensity * (1 - propensity) / runs) ** 0.5
        assert counts[row] / runs == pytest.approx(propensity, abs=4.5 * deviation)


def test_places_are_spread_over_the_grid_but_its_top() -> None:
    world = world_of(list(range(40)))
    places = Counter[int]()
    for run in range(4000):
        drawn = drawn_of(world, 24, 1, seed_of(run, NOW))
        assert drawn is not None
        places[drawn.drawn.order.index(24)] += 1
    assert places.keys() == set(range(5, 25))
    assert max(places.values()) < 270 and min(places.values()) > 135


def test_old_or_much_viewed_media_are_not_new() -> None:
    world = World()
    world.apply_media([Media(n, n, NOW - age) for n, age in (("old", 4 * DAY), ("a", 0), ("b", 0))])
    world.apply_events([(Action.VIEW, MediaEvent(f"e{i}", f"v{i}", "a", NOW)) for i in range(60)])
    rows = world.catalog.media_rows(["old", "a", "b"])
    age_n = NOW - world.catalog.created_ts_n[rows]
    assert is_new(rows, age_n, world, NOW, CONFIG).tolist() == [False, False, True]


def test_grids_log_the_probability_with_which_an_item_was_shown() -> None:
    """Over many times of one viewer: certain items always, drawn ones as often as logged."""
    world = World()
    # Popular old media fill the grid, nobody knows the new ones.
    world.apply_media([Media(f"old{i}", f"a{i}", NOW - 10 * DAY) for i in range(60)])
    world.apply_media([Media(f"new{i}", f"b{i % 9}", NOW - i) for i in range(12)])
    world.apply_events(
        [
            (Action.LIKE, MediaEvent(f"e{i}-{n}", f"v{n}", f"old{i}", NOW - DAY))
            for i in range(60)
            for n in range(10 + i)
        ]
    )
    config = ExploreConfig()
    shown, logged, runs = Counter[str](), dict[str, set[float]](), 1500
    for run in range(runs):
        viewer = ViewerContext.from_state("v", ViewerState(), world, NOW)
        document = explore(viewer, world, Treatment(), config, NOW + run).document(world)
        assert len(document.items) == config.size
        assert [item.position for item in document.items] == list(range(config.size))
        drawn = [item for item in document.items if item.propensity < 1.0]
        assert len(drawn) == config.exploration.slots(config.size) == 1
        shown.update(item.media_id for item in document.items)
        for item in document.items:
            logged.setdefault(item.media_id, set()).add(item.propensity)
    assert sum(1 for of in logged.values() if of != {1.0}) >= 9
    for media_id, of in logged.items():
        (propensity,) = of
        deviation = (propensity * (1 - propensity) / runs) ** 0.5
        assert shown[media_id] / runs == pytest.approx(propensity, abs=4.5 * deviation)


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan")])
def test_a_share_that_cannot_be_used_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="give a number from 0 to"):
        ExplorationConfig(share=share)
