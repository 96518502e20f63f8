"""What settings come to in a world: of pools, and of a whole run that serves them."""

import pytest

from infra.config import Settings
from models.actions import HEAD_NAMES
from models.explore.diversity import DiversityConfig
from models.igql.parser import parse
from models.igql.reweighting import outer_blend
from models.rankers.value import Weights
from models.simulation.config import SimulationConfig
from models.simulation.world import SimulatedWorld
from streams.simulated.trade_offs import (
    PoolFigures,
    WorldFigures,
    branch_knobs,
    query_of_setting,
    start_of,
    weight_knobs,
    weights_of,
)


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld.of(
        SimulationConfig(seed=3, viewers=20, accounts=30, days=1, rounds=2.0, spam=None)
    )


def test_pools_tell_what_a_penalty_and_a_weight_do(world: SimulatedWorld) -> None:
    figures = PoolFigures(world, 40)
    start = start_of(Weights(), DiversityConfig(), 0.04)
    close, wide = (figures({**start, "author_penalty": penalty}) for penalty in (0.0, 0.9))
    assert wide["variety"] > close["variety"]
    nothing = {**dict.fromkeys(HEAD_NAMES, 0.0), "author_penalty": 0.0}
    saves, timid = figures({**nothing, "save": 1.0}), figures({**nothing, "see_fewer": 1.0})
    assert saves["save"] > timid["save"]
    assert figures(start) == figures(start)


def test_a_setting_is_weights_and_a_query() -> None:
    assert "like" not in weight_knobs()
    assert weights_of({"save": 3.0, "author_penalty": 0.1}) == Weights().changed({"save": 3.0})
    assert query_of_setting({"save": 3.0}) is None
    knobs = list(branch_knobs())
    text = query_of_setting({**dict.fromkeys(knobs, 0.2), knobs[0]: 0.6})
    assert text is not None
    blend = outer_blend(parse(text))
    assert blend is not None
    parts = [branch.weight.value for branch in blend.branches]
    assert parts[0] == pytest.approx(3 * parts[1])


def test_a_whole_run_serves_the_setting(world: SimulatedWorld) -> None:
    figures = WorldFigures(world, Settings(), 0.0, trained=False)
    knobs = list(branch_knobs())
    found = figures({"save": 3.0, "exploration_share": 0.2, knobs[0]: 0.9})
    assert set(found) == {"worth", *HEAD_NAMES, "variety", "new_media"}
    assert found != figures({"save": 3.0, "exploration_share": 0.0})
