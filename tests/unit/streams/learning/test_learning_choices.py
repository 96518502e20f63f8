"""What choices teach: with exposures or without, retrained as they grow, judged on the newest."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from infra.artifacts import ArtifactStore
from infra.config import Settings
from models.evaluation.ranker_gate import RankerDecision
from models.examples.choices import HELD, ChoiceConfig, Choices
from models.examples.examples import Examples
from models.rankers.bundle import RankerBundle
from models.rankers.interest import Interest
from models.training.loop import TrainingDataError
from models.world import World
from streams import training as training_module
from streams.learning import ranker_learning
from streams.learning.ranker_learning import RankerLearning
from streams.training import Training
from streams.versions import DECISION_NOTE, RANKERS, Version
from tests.unit.models.evaluation.test_grid_gate import choices_of
from tests.unit.models.training.test_rankers import exposures, sets
from tests.unit.streams.learning.test_ranker_learning import Sent


def choices_from(first: int, count: int, seed: int = 0) -> Choices:
    """Choices made after `first` others, as the builder numbers them."""
    made = choices_of(count, size=20, seed=seed + first)
    return msgspec.structs.replace(made, groups_n=made.groups_n + first)


def reversed_choices(choices: Choices) -> Choices:
    """Labels as if the viewers wanted the opposite."""
    dense_nf = choices.dense_nf.copy()
    dense_nf[:, 0] = dense_nf[:, 0].max() - dense_nf[:, 0]
    return msgspec.structs.replace(choices, dense_nf=dense_nf)


@pytest.fixture(scope="module")
def chosen_bundle() -> RankerBundle:
    """Rankers trained on choices alone."""
    learning = RankerLearning(Settings())
    learning.learn([], [choices_from(0, 240)])
    return learning.train(Examples.empty(), sets())


def same(one: Interest, other: Interest) -> bool:
    mine, theirs = one.to_arrays(), other.to_arrays()
    return all(np.array_equal(mine[name], theirs[name]) for name in mine if name != "heads")


def test_choices_alone_train_rankers_and_too_few_do_not(chosen_bundle) -> None:
    assert chosen_bundle.interest.scale_h.any()
    assert not RankerLearning(Settings(), chosen_bundle).learns_on
    learning = RankerLearning(Settings())
    learning.learn([], [choices_from(0, 5)])
    with pytest.raises(TrainingDataError):
        learning.train(Examples.empty(), sets())


def test_the_newest_choices_are_kept(monkeypatch) -> None:
    monkeypatch.setattr(ranker_learning, "ChoiceConfig", lambda: ChoiceConfig(keep=30))
    learning = RankerLearning(Settings())
    learning.learn([], [choices_from(0, 25), choices_from(25, 20)])
    assert np.unique(learning.choices.groups_n).tolist() == list(range(15, 45))
    learning.learn([])
    assert len(learning.choices) == 30


def test_the_interest_is_trained_again_when_a_tenth_is_new(chosen_bundle) -> None:
    learning = RankerLearning(Settings())
    learning.learn([], [choices_from(0, 240)])
    bundle = learning.train(Examples.empty(), sets())
    assert bundle.version == chosen_bundle.version
    learning.promoted(bundle, learned_on=False)
    assert not learning.judgeable
    assert learning.candidate(sets()) is None
    learning.learn([], [choices_from(240, 20)])
    assert not learning.judgeable
    learning.learn([], [choices_from(260, 20)])
    assert learning.judgeable
    candidate = learning.candidate(sets())
    assert candidate is not None
    assert not same(candidate.interest, bundle.interest)
    assert candidate.metrics["choices"] == 280
    decision = learning.judge(candidate)
    assert decision.grids is not None
    assert decision.grids.sets == round(280 * HELD)
    assert decision.promote
    # Refused or not: the next waits until a tenth is new again.
    assert learning.candidate(sets()) is None


def test_exposures_learned_on_keep_the_interest_of_what_is_live(monkeypatch) -> None:
    monkeypatch.setattr(ranker_learning, "HOLDOUT", 500)
    learning = RankerLearning(Settings())
    learning.learn([], [choices_from(0, 240)])
    live = learning.train(exposures(1500), sets())
    learning.promoted(live, learned_on=False)
    assert learning.learns_on
    later = exposures(3000, 2)
    learning.learn([msgspec.structs.replace(later, ts_n=later.ts_n + 10**9)])
    candidate = learning.candidate(sets())
    assert candidate is not None
    assert same(candidate.interest, live.interest)
    assert candidate.metrics["choices"] == 240
    assert candidate.metrics["learned_examples"] > 0


def test_a_final_pass_that_learned_from_nothing_does_not_learn_on(chosen_bundle) -> None:
    learning = RankerLearning(Settings(), chosen_bundle)
    assert not learning.learns_on
    later = exposures(3000, 2)
    learning.learn([msgspec.structs.replace(later, ts_n=later.ts_n + 10**9)])
    assert learning.learned == 0


def test_grids_that_got_worse_are_refused_by_how_much(chosen_bundle) -> None:
    learning = RankerLearning(Settings(), chosen_bundle)
    choices = choices_from(0, 280)
    learned, newest = choices.split(HELD)
    # What is learned has labels that the newest choices contradict.
    wrong = RankerLearning(Settings())
    wrong.learn([], [reversed_choices(learned)])
    bundle = wrong.train(Examples.empty(), sets())
    learning.learn([], [Choices.concatenate([learned, newest])])
    decision = learning.judge(bundle)
    assert not decision.promote
    for name in ("of the live version", "of the prior", "of popularity"):
        assert f"{name} loses 0." in decision.reason
    # Where nothing is live the floors refuse it all the same.
    first = RankerLearning(Settings())
    first.learn([], [choices])
    assert "of the prior loses 0." in first.judge(bundle).reason
    assert first.judge(chosen_bundle).promote


def test_what_was_rolled_back_from_is_no_example(chosen_bundle) -> None:
    learning = RankerLearning(Settings())
    learning.learn([], [choices_from(0, 240)])
    poor = learning.train(exposures(800), sets())
    learning.promoted(poor, learned_on=False)
    learning.promoted(chosen_bundle, learned_on=False)
    assert learning._judge.kept == [poor, chosen_bundle]
    learning.replace(poor)
    assert learning._judge.kept == [poor]
    assert RankerLearning(Settings(), chosen_bundle, [poor])._judge.kept == [poor, chosen_bundle]


# In the learner.


async def test_choices_alone_are_trained_judged_and_learned_on(tmp_path, monkeypatch) -> None:
    artifacts, sent = ArtifactStore(str(tmp_path)), Sent()
    training = Training(Settings(rankers_every_s=1e-9), World(), artifacts, sent)
    monkeypatch.setattr(training_module, "QUIET_S", 0.0)
    monkeypatch.setattr(training, "_candidate_sets", sets)
    training._world.space = object()
    training._collect_choices(choices_from(0, 199))
    assert not training._is_due()
    training._collect_choices(choices_from(199, 41))
    assert training._is_due()
    await poll(training)
    [told] = sent.told()
    decision = artifacts.read_note(RANKERS, told.version, DECISION_NOTE, RankerDecision)
    assert decision is not None and decision.grids is not None
    assert decision.grids.beside.keys() == {"prior", "popularity"}
    assert decision.grids.ndcg is not None and decision.grids.ndcg > decision.grids.random
    assert told.metrics["holdout_grid_ndcg"] == pytest.approx(decision.grids.ndcg)
    assert not training._is_due()
    # A tenth more: the interest is trained again, and judged beside what is live.
    training._collect_choices(choices_from(240, 10))
    await poll(training)
    assert len(artifacts.list(RANKERS)) == 1
    training._collect_choices(choices_from(250, 30))
    await poll(training)
    newest = artifacts.list(RANKERS)[-1]
    decision = artifacts.read_note(RANKERS, newest, DECISION_NOTE, RankerDecision)
    assert decision.grids.beside.keys() >= {"live", "prior", "popularity"}
    assert decision.promote == (sent.told()[-1].version == newest)
    # Exposures come at last: the final pass is trained from the beginning as the first was.
    training._collect(exposures(3000))
    assert training._is_due()


async def poll(training) -> None:
    await training.polled(0)
    if training._work is not None:
        await training._work


async def test_choices_that_wait_for_vectors_are_bounded(tmp_path) -> None:
    training = Training(Settings(), World(), ArtifactStore(str(tmp_path)), Sent())
    training._keep_choices = 10
    for at in range(0, 100, 5):
        training._collect_choices(choices_from(at, 5))
        assert sum(map(len, training._fresh_choices)) <= 40
    assert training._fresh_choices[-1].groups_n.max() == 99


async def test_a_restart_judges_beside_what_was_live_before(tmp_path, chosen_bundle) -> None:
    artifacts, sent = ArtifactStore(str(tmp_path)), Sent()
    first = artifacts.put(RANKERS, *chosen_bundle.to_arrays())
    learning = RankerLearning(Settings())
    learning.learn([], [choices_from(0, 100)])
    other = learning.train(Examples.empty(), sets())
    second = artifacts.put(RANKERS, *other.to_arrays())
    training = Training(
        Settings(), World(), artifacts, sent, live=Version(RANKERS, second, 2, previous=first)
    )
    kept = training._learning._judge.kept
    assert [of.version for of in kept] == [chosen_bundle.version, other.version]
