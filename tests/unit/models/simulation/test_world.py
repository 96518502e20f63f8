"""A simulated world: the same from the same seed, and its truth."""

import msgspec
import numpy as np
import pytest

from models.actions import HEADS, Action
from models.simulation.config import TICK_MS, SimulationConfig, Wave
from models.simulation.truth import RATES
from models.simulation.world import SimulatedWorld

CONFIG = SimulationConfig(viewers=60, accounts=40, days=2, spam=Wave(day=1.0))


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld.of(CONFIG)


def pairs(world: SimulatedWorld, count: int = 2_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return (
        rng.integers(world.config.viewers, size=count),
        rng.choice(np.flatnonzero(~world.library.spam_m), size=count),
        rng.integers(world.config.start_ms, world.config.end_ms, size=count),
    )


def test_equal_seeds_give_equal_worlds_and_others_do_not(world: SimulatedWorld) -> None:
    again = SimulatedWorld.of(CONFIG)
    asked = pairs(world)
    told = world.truth.probabilities(*asked)
    assert np.array_equal(told, again.truth.probabilities(*asked))
    assert np.array_equal(world.schedule.begin_s, again.schedule.begin_s)
    other = SimulatedWorld.of(msgspec.structs.replace(CONFIG, seed=8))
    assert len(other.library) != len(world.library) or not np.array_equal(
        other.library.topic_m, world.library.topic_m
    )


def test_the_truth_is_the_same_asked_in_pairs_or_all_at_once(world: SimulatedWorld) -> None:
    viewer_v, media_m = np.arange(10), np.arange(0, len(world.library), 50)
    ts = np.full((1, 1), world.config.at(1.2))
    cross_vm = world.truth.utility(viewer_v[:, None], media_m[None, :], ts)
    for v in range(3):
        one = world.truth.utility(
            np.full(len(media_m), v), media_m, np.full(len(media_m), ts[0, 0])
        )
        assert np.allclose(cross_vm[v], one)


def test_looks_at_random_have_the_rates_of_the_recorded_log(world: SimulatedWorld) -> None:
    rate_h = world.truth.probabilities(*pairs(world, 20_000)).mean(axis=0)
    for head, rate in zip(HEADS, rate_h.tolist(), strict=True):
        assert rate == pytest.approx(RATES[head], rel=0.25)


def test_spam_makes_people_look_and_angry(world: SimulatedWorld) -> None:
    viewer_n, _, ts_n = pairs(world)
    spam = np.flatnonzero(world.library.spam_m)
    assert len(spam) == 60
    of_spam_h = world.truth.probabilities(viewer_n, spam[viewer_n % len(spam)], ts_n).mean(axis=0)
    see_fewer = HEADS.index(Action.SEE_FEWER)
    assert of_spam_h[see_fewer] > 5 * RATES[Action.SEE_FEWER]


def test_sessions_of_a_viewer_never_overlap_and_are_found_by_time(world: SimulatedWorld) -> None:
    schedule = world.schedule
    same = schedule.viewer_s[1:] == schedule.viewer_s[:-1]
    assert (schedule.begin_s[1:] >= schedule.end_s[:-1])[same].all()
    rows = np.arange(len(schedule.viewer_s))
    assert np.array_equal(schedule.at(schedule.viewer_s, schedule.begin_s), rows)
    assert np.array_equal(schedule.at(schedule.viewer_s, schedule.end_s - TICK_MS), rows)
    before = schedule.at(schedule.viewer_s[:1], schedule.begin_s[:1] - 1)
    assert before.tolist() == [-1]


def test_interests_of_some_change_at_once(world: SimulatedWorld) -> None:
    viewers = world.viewers
    sudden = np.flatnonzero(viewers.sudden_v)
    day = np.full(len(sudden), world.config.at(CONFIG.drift_day))
    assert (viewers.drifted(sudden, day - 1) == 0).all()
    assert (viewers.drifted(sudden, day + 1) == 1).all()


def test_what_is_wrong_with_a_configuration_is_said() -> None:
    with pytest.raises(ValueError, match="viewers is 0"):
        SimulationConfig(viewers=0)
    with pytest.raises(ValueError, match=r"late is 2\.0"):
        SimulationConfig(late=2.0)
