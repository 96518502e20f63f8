"""Weights and arms: what is accepted, what is refused and how that is said, who gets what."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from models.explore.experiment import Arm, Experiment, InvalidExperimentError, parse
from models.explore.treatment import Treatment
from models.queries import CandidateQuery, planned
from models.rankers.value import InvalidWeightsError, Weights
from models.world import World
from tests.rankers import bundle


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"likes": 1.0}, "there is no weight 'likes'; weights are like, save, see_fewer"),
        ({"like": -1.0}, "weight like is -1.0; give a finite number of at least 0"),
        ({"save": float("nan")}, "weight save is nan"),
        ({"see_fewer": float("inf")}, "weight see_fewer is inf"),
        ({"form": "cubic"}, "form (linear or log_linear)"),
        ({"like": "2"}, "Expected `float`, got `str`"),
        ({"like": True}, "Expected `float`, got `bool`"),
        ({"like": None}, "Expected `float`, got `null`"),
    ],
)
def test_a_wrong_change_is_refused_with_the_valid_names(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidWeightsError) as error:
        Weights().changed(changes)
    assert said in str(error.value)


def test_a_change_keeps_what_it_does_not_name() -> None:
    changed = Weights(like=3.0).changed({"save": 7, "form": "log_linear"})
    assert changed == Weights(like=3.0, save=7.0, form="log_linear")
    assert changed.version != Weights(like=3.0).version == Weights(like=3.0).version


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "truncated"),
        (b"\xff", "an experiment has arms and a salt"),
        (b'{"arms": {"a": {"weights": {"likes": 1}}}}', "unknown field `likes`"),
        (b'{"arms": {"a": {"weights": {"like": NaN}}}}', "weights are like, save, see_fewer"),
        (b'{"arms": {"a": {"weights": {"like": -2}}}}', "weight like is -2.0"),
        (b'{"arms": {"a": {"weights": {"like": 1e999}}}}', "an experiment has arms"),
        (b'{"arms": {"a": {"weights": {"form": "x"}}}}', "form (linear or log_linear)"),
        (b'{"arms": {"a": {"colour": 1}}}', "unknown field `colour`"),
        (b'{"arms": {}}', "there are 0 arms"),
        (b'{"arms": {"a": {"share": 0}}}', "arm a has a share of 0"),
        (b'{"arms": {"a": {"share": -1}}}', "arm a has a share of -1"),
        (b'{"arms": {"a b": {}}}', "an arm cannot be called 'a b'"),
        (b'{"salt": ""}', "salt '' has 0 bytes"),
        (b"[]", "Expected `object`"),
    ],
)
def test_what_is_no_experiment_is_refused_with_the_reason(text: bytes, said: str) -> None:
    with pytest.raises(InvalidExperimentError) as error:
        parse(text)
    assert said in str(error.value)


def test_an_experiment_survives_its_json() -> None:
    experiment = Experiment(
        arms={"a": Arm(weights=Weights(like=2.0)), "b": Arm(share=0.5, query="q", feed=True)}
    )
    assert parse(msgspec.json.encode(experiment)) == experiment
    assert list(parse(msgspec.json.encode(experiment)).arms) == ["a", "b"]


def test_what_an_arm_leaves_out_is_as_in_the_first() -> None:
    first = Arm(weights=Weights(like=9.0), query="q", rankers="r")
    experiment = Experiment(arms={"first": first, "own": Arm(weights=Weights()), "same": Arm()})
    assert experiment.arm("same").weights == Weights(like=9.0)
    assert (experiment.arm("own").weights, experiment.arm("own").query) == (Weights(), "q")
    assert Experiment(arms={"only": Arm()}).arm("only").weights == Weights()
    with pytest.raises(InvalidExperimentError, match=r"no arm 'other'; the arms are first, own"):
        experiment.arm("other")


def test_weights_of_one_arm_change_alone_and_the_first_ones_for_who_follows_them() -> None:
    experiment = Experiment(arms={"a": Arm(), "b": Arm(), "c": Arm(weights=Weights(save=1.0))})
    changed = experiment.with_weights("b", {"like": 4.0})
    assert [changed.arm(name).weights for name in "abc"] == [
        Weights(), Weights(like=4.0), Weights(save=1.0)
    ]  # fmt: skip
    changed = experiment.with_weights("a", {"like": 4.0})
    assert [changed.arm(name).weights for name in "abc"] == [
        Weights(like=4.0), Weights(like=4.0), Weights(save=1.0)
    ]  # fmt: skip


def test_viewers_are_dealt_by_share_and_stay_where_they_are() -> None:
    experiment = Experiment(arms={"a": Arm(share=6), "b": Arm(share=3), "c": Arm(share=1)})
    dealt = {f"v{i}": experiment.arm_of(f"v{i}") for i in range(10_000)}
    counts = Counter(dealt.values())
    # Four standard deviations.
    assert counts["a"] == pytest.approx(6000, abs=200)
    assert counts["b"] == pytest.approx(3000, abs=185)
    assert counts["c"] == pytest.approx(1000, abs=120)
    again = parse(msgspec.json.encode(experiment))
    assert dealt == {viewer: again.arm_of(viewer) for viewer in dealt}
    # Of any release, too: a viewer must not change arms by an upgrade.
    assert [experiment.arm_of(f"v{i}") for i in range(8)] == list("aaabaaba")


def test_another_salt_deals_independently() -> None:
    arms = {"a": Arm(), "b": Arm()}
    one, two = Experiment(arms=arms, salt="one"), Experiment(arms=arms, salt="two")
    both = Counter((one.arm_of(f"v{i}"), two.arm_of(f"v{i}")) for i in range(4000))
    assert len(both) == 4
    assert all(count == pytest.approx(1000, abs=110) for count in both.values())


def test_a_grid_is_outdated_by_weights_arm_mode_rankers_and_query() -> None:
    world = World()
    found = {
        tuple(sorted(treatment.versions(world).items()))
        for treatment in (
            Treatment(),
            Treatment(weights=Weights(like=2.0)),
            Treatment(arm="b"),
            Treatment(feed=True),
            Treatment(rankers=bundle(seed=1)),
            Treatment(query=CandidateQuery(planned("user.popular()"))),
        )
    }
    assert len(found) == 6
    assert Treatment().versions(world) == Treatment(weights=Weights()).versions(world)
