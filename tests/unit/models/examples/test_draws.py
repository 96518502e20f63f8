"""Draws for appeal: what was chosen first, others beside it, nothing that the viewer knows."""

from __future__ import annotations

import numpy as np
import pytest

from models.actions import Action
from models.events import MINUTE_MS, Media, MediaEvent
from models.examples.draws import OTHERS, draws
from models.item_to_item.appeal import Appeal
from models.item_to_item.fit import ItemToItemConfig, fit_item_weights
from models.item_to_item.histories import PositivePairs
from models.viewers.context import ViewerContext
from models.viewers.state import FoldConfig, ViewerState, fold_media_event
from models.world import World

NOW = 1_700_000_000_000
MEDIA = 200


@pytest.fixture
def world() -> World:
    """Two hundred media in two halves, each liked by viewers of its own; a few are popular."""
    world = World()
    world.apply_media([Media(f"m{n}", f"a{n}", NOW - n) for n in range(MEDIA)])
    world.apply_events(
        [
            (Action.LIKE, MediaEvent(f"e{n}", f"w{n}", f"m{n % 7}", NOW - n * MINUTE_MS))
            for n in range(70)
        ]
    )
    halves = world.catalog.media_rows([f"m{n}" for n in range(MEDIA)]).reshape(2, -1)
    pairs = PositivePairs(np.repeat(np.arange(20), MEDIA // 2), np.tile(halves, (10, 1)).ravel())
    world.item_weights = fit_item_weights(
        pairs, ItemToItemConfig(), Appeal(1.0, 0.0, (1.0, 0, 0), (0, 0, 0))
    )
    return world


def viewer(world: World, name: str, liked: list[str]) -> ViewerContext:
    state = ViewerState()
    for n, media_id in enumerate(liked):
        event = MediaEvent(f"{name}{n}", name, media_id, NOW - 1000 - n)
        fold_media_event(state, Action.LIKE, event, f"a{media_id[1:]}", FoldConfig())
    return ViewerContext.from_state(name, state, world, NOW)


def test_what_was_chosen_stands_first_beside_media_drawn_from_all(world: World) -> None:
    viewers = [viewer(world, "one", ["m10", "m11"]), viewer(world, "two", ["m150"])]
    done = [{"m3": {Action.LIKE}, "m20": {Action.SAVE}}, {"m160": {Action.LONG_VIEW}}]
    found = draws(viewers, done, world, NOW)
    assert found is not None
    assert found.sum_dk.shape == (3, 1 + OTHERS) and found.worth_dkp.shape == (3, 1 + OTHERS, 3)
    # All chose what is of their own half; half of the others is.
    assert (found.sum_dk[:, 0] > 0).all()
    assert 0.2 < (found.sum_dk[:, 1:] > 0).mean() < 0.8
    assert found.sum_dk[0, 0] == pytest.approx(2 * found.sum_dk[2, 0])
    m3 = world.catalog.media_rows(["m3"])
    np.testing.assert_allclose(found.worth_dkp[0, 0], world.worth(m3, NOW)[0], rtol=1e-6)
    again = draws(viewers, done, world, NOW)
    assert again is not None
    np.testing.assert_array_equal(found.sum_dk, again.sum_dk)


@pytest.mark.parametrize(
    "done",
    [
        {},
        {"m3": {Action.SEE_FEWER}},
        {"m10": {Action.LIKE}},  # Liked before.
        {"unknown": {Action.LIKE}},
    ],
)
def test_what_tells_nothing_is_not_drawn(world: World, done: dict[str, set[Action]]) -> None:
    assert draws([viewer(world, "one", ["m10"])], [done], world, NOW) is None


def test_without_weights_or_without_enough_others_nothing_is_drawn(world: World) -> None:
    one, done = viewer(world, "one", ["m10"]), {"m3": {Action.LIKE}}
    few = PositivePairs(np.array([0, 0, 1, 1]), np.array([3, 10, 3, 10], np.int32))
    for weights in (None, fit_item_weights(few, ItemToItemConfig())):
        world.item_weights = weights
        assert draws([one], [done], world, NOW) is None


def test_lift_of_the_slots_is_looked_at_once_a_minute(world: World) -> None:
    weights = world.item_weights
    assert weights is not None
    start = NOW - NOW % MINUTE_MS + MINUTE_MS
    lift_s = world.lift(weights, start)
    assert lift_s is not None
    np.testing.assert_allclose(lift_s, 0.1 + world.worth(weights.media_s, start)[:, 0], rtol=1e-5)
    assert world.lift(weights, start + MINUTE_MS - 1) is lift_s
    later_s = world.lift(weights, start + MINUTE_MS)
    assert later_s is not None and (later_s <= lift_s).all() and later_s is not lift_s
    other = fit_item_weights(
        PositivePairs(np.zeros(1, np.int64), np.zeros(1, np.int32)), ItemToItemConfig()
    )
    assert world.lift(other, start + MINUTE_MS) is None
