"""How simulated viewers look at grids, and what an oracle would show them."""

import numpy as np
import pytest

from models.actions import HEADS, VIEWS, Action
from models.simulation.audience import Audience
from models.simulation.config import SimulationConfig
from models.simulation.delivery import deliver, events_of
from models.simulation.world import SimulatedWorld

SIZE = 10


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld.of(SimulationConfig(viewers=40, accounts=40, days=2, spam=None))


def test_nothing_beats_the_oracle_and_it_says_what_its_grids_are_worth(
    world: SimulatedWorld,
) -> None:
    now_ms, viewer_g = world.config.at(1.0), np.arange(40)
    best_gk, worth_g = Audience(world, SIZE).best(viewer_g, now_ms, SIZE)
    shown = Audience(world, SIZE).look(viewer_g, best_gk, now_ms)
    assert np.allclose(shown.value_gk.sum(axis=1), worth_g)
    there = np.flatnonzero(world.library.available(now_ms))
    rng = np.random.default_rng(1)
    for _ in range(5):
        any_gk = rng.choice(there, size=(40, SIZE))
        other = Audience(world, SIZE).look(viewer_g, any_gk, now_ms)
        assert (other.value_gk.sum(axis=1) < worth_g).all()


def test_what_was_looked_at_pleases_less(world: SimulatedWorld) -> None:
    now_ms, viewer_g = world.config.at(1.0), np.arange(40)
    audience = Audience(world, SIZE)
    best_gk, _ = audience.best(viewer_g, now_ms, SIZE)
    like = HEADS.index(Action.LIKE)
    first = audience.look(viewer_g, best_gk, now_ms)
    again = audience.look(viewer_g, best_gk, now_ms)
    seen = first.looked_gk
    assert (again.probabilities_gkh[seen][:, like] < first.probabilities_gkh[seen][:, like]).all()
    assert audience.best(viewer_g, now_ms, SIZE)[1].sum() < first.value_gk.sum()


def test_the_same_grids_get_the_same_answers(world: SimulatedWorld) -> None:
    now_ms, viewer_g = world.config.at(0.5), np.arange(40)
    there = np.flatnonzero(world.library.available(now_ms))[: 40 * SIZE].reshape(40, SIZE)
    a, b = (Audience(world, SIZE).look(viewer_g, there, now_ms) for _ in range(2))
    assert np.array_equal(a.done_gkh, b.done_gkh)
    assert (a.looked_gk[:, :-1] >= a.looked_gk[:, 1:]).all()


def test_short_grids_are_looked_at_as_far_as_they_go(world: SimulatedWorld) -> None:
    looked = Audience(world, SIZE).look(np.array([1]), np.full((1, SIZE), -1), world.config.at(1.0))
    assert not looked.looked_gk.any()
    assert looked.value_gk.sum() == 0


def test_every_look_is_a_view_and_arrives_once_or_twice(world: SimulatedWorld) -> None:
    now_ms, viewer_g = world.config.at(1.0), np.arange(40)
    audience = Audience(world, SIZE)
    best_gk, _ = audience.best(viewer_g, now_ms, SIZE)
    looked = audience.look(viewer_g, best_gk, now_ms)
    events = events_of(looked, viewer_g, best_gk, now_ms, 100)
    assert np.isin(events.action_n, VIEWS).sum() == looked.looked_gk.sum()
    others = np.delete(looked.done_gkh, HEADS.index(Action.LONG_VIEW), axis=2).sum()
    assert len(events) == looked.looked_gk.sum() + others
    config = SimulationConfig(late=0.5, doubled=0.3)
    sent, arrives_n = deliver(events, config)
    assert set(sent.number_n.tolist()) == set(events.number_n.tolist())
    assert np.unique(sent.number_n, return_counts=True)[1].max() == 2
    assert (arrives_n >= sent.ts_n).all()
    assert (np.diff(arrives_n) >= 0).all()
