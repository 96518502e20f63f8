"""Learning on, judging, publishing: what goes live, what is refused, what diverges."""

from __future__ import annotations

import logging

import msgspec
import numpy as np
import pytest

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.metrics import VERSIONS
from infra.topics import VERSIONS_TOPIC
from models.evaluation import ranker_gate
from models.evaluation.ranker_gate import RankerDecision
from models.examples.choices import HELD, ChoiceConfig, Choices
from models.examples.examples import Examples
from models.rankers.bundle import RankerBundle
from models.rankers.interest import Interest
from models.training.final import train_final
from models.training.interest import BELIEVED_NOW, BELIEVED_ONCE
from models.training.loop import TrainingDataError, TrainingDivergedError, reproducible
from models.training.rankers import bundled
from models.world import World
from streams import training as training_module
from streams.learning import ranker_learning
from streams.learning.ranker_learning import RankerLearning
from streams.training import Training
from streams.versions import DECISION_NOTE, LIVE_NOTE, RANKERS, Live, Version, listed, versions
from tests.unit.models.evaluation.test_grid_gate import choices_of
from tests.unit.models.training.test_rankers import SMALL, exposures, sets


class Sent:
    """Keeps what was sent; a record for whoever reads it."""

    def __init__(self):
        self.messages = []

    async def send(self, messages):
        self.messages += messages

    def told(self):
        return versions([m for m in self.messages if m.topic == VERSIONS_TOPIC])


def small_bundle(examples, ts=0):
    with reproducible(1, 1):
        final = train_final(examples, Examples.empty(), SMALL.final)
    return bundled(final, sets(), SMALL, {}, ts)


@pytest.fixture(scope="module")
def live_bundle():
    return small_bundle(exposures(600), ts=0)


def counted(outcome):
    return VERSIONS.labels(RANKERS, outcome)._value.get()


@pytest.fixture
def place(tmp_path, live_bundle, monkeypatch):
    """A learner with live rankers, in which everything learned is judged at once."""
    monkeypatch.setattr(ranker_learning, "HOLDOUT", 1500)
    # On so few rows calibration is luck, and another column of the features is other luck.
    monkeypatch.setattr(ranker_gate, "CALIBRATED", 0.1)
    artifacts, sent = ArtifactStore(str(tmp_path)), Sent()
    arrays, meta = live_bundle.to_arrays()
    live = Version(RANKERS, artifacts.put(RANKERS, arrays, meta), 1)
    artifacts.write_note(
        RANKERS, live.version, LIVE_NOTE, Live(announced_ms=1, previous="", reason="")
    )
    training = Training(Settings(), World(), artifacts, sent, live=live)
    return training, artifacts, sent, live


async def learn(training, examples):
    training._intake.add(later(examples))
    await training._learn_on(sets())


def later(examples):
    return msgspec.structs.replace(examples, ts_n=examples.ts_n + 10_000)


def test_the_newest_examples_wait_and_are_not_learned(live_bundle, monkeypatch):
    monkeypatch.setattr(ranker_learning, "HOLDOUT", 100)
    learning = RankerLearning(Settings(), live_bundle)
    rows = later(exposures(1000))
    learning.learn([rows.take(np.arange(500, 1000)), rows.take(np.arange(500))])
    assert learning.learned == 900
    assert learning.holdout.ts_n.tolist() == rows.ts_n[-100:].tolist()
    learning.learn([])
    assert learning.learned == 900


def test_what_the_live_rankers_know_is_not_learned_again(live_bundle):
    learning = RankerLearning(Settings(), small_bundle(exposures(500), ts=400))
    learning.learn([exposures(1000)])
    assert learning.learned == 1000 - len(learning.holdout) - 401


async def test_a_better_candidate_goes_live_with_its_decision(place):
    training, artifacts, sent, live = place
    await learn(training, exposures(9000, 2))
    [told] = sent.told()
    assert told.kind == RANKERS
    assert told.previous == live.version
    assert told.version != live.version
    assert told.metrics["holdout_auc_like"] > 0.7
    assert told.metrics["learned_examples"] == 7649
    decision = artifacts.read_note(RANKERS, told.version, DECISION_NOTE, RankerDecision)
    assert decision is not None and decision.promote
    assert decision.reason == told.reason
    assert decision.candidate.heads["like"].auc > decision.live.heads["like"].auc
    [_, row] = listed(artifacts, {RANKERS: told}, [RANKERS])
    assert row["live"] and row["decision"]["promote"]
    assert row["figures"]["auc_like"] == decision.candidate.heads["like"].auc


async def test_a_worse_candidate_is_refused_counted_and_told(place, caplog):
    training, artifacts, sent, live = place
    before = counted("refused")
    rows = later(exposures(9000, 2))
    # What is learned has wrong labels, what it is judged on has the right ones.
    wrong = rows.labels_nh.copy()
    wrong[:7649] = 1.0 - wrong[:7649]
    training._intake.add(msgspec.structs.replace(rows, labels_nh=wrong))
    with caplog.at_level(logging.WARNING):
        await training._learn_on(sets())
    assert sent.told() == []
    assert counted("refused") == before + 1
    assert "refused, the live ones stay: " in caplog.text
    refused = next(of for of in artifacts.list(RANKERS) if of != live.version)
    decision = artifacts.read_note(RANKERS, refused, DECISION_NOTE, RankerDecision)
    assert decision is not None and not decision.promote


async def test_one_that_diverges_is_counted_and_learning_begins_again(place, caplog):
    training, artifacts, sent, live = place
    before = counted("diverged")
    rows = exposures(4000, 2)
    rows.weights_n[10] = np.nan
    with caplog.at_level(logging.WARNING):
        await learn(training, rows)
    assert sent.told() == []
    assert counted("diverged") == before + 1
    assert "rankers not learned on, the live ones stay: final pass, online: loss is nan" in (
        caplog.text
    )
    assert artifacts.list(RANKERS) == [live.version]
    assert training._learning.learned == 0
    training._intake.add(msgspec.structs.replace(exposures(9000, 2), ts_n=np.arange(9000) + 50_000))
    await training._learn_on(sets())
    assert len(sent.told()) == 1


async def test_without_enough_labels_nothing_is_judged(place):
    training, artifacts, sent, live = place
    await learn(training, exposures(40, 2))
    assert sent.told() == []
    assert artifacts.list(RANKERS) == [live.version]


async def test_a_first_training_that_diverges_leaves_nothing_live(tmp_path, monkeypatch, caplog):
    sent = Sent()
    training = Training(Settings(), World(), ArtifactStore(str(tmp_path)), sent)

    def diverge(learning, examples, sets):
        raise TrainingDivergedError("final pass: loss is nan")

    monkeypatch.setattr(RankerLearning, "train", diverge)
    await training._train(exposures(100), sets())
    assert "not trained, the live ones stay: final pass: loss is nan" in caplog.text
    assert sent.told() == []


async def test_after_a_rollback_learning_goes_on_from_what_is_live(place, tmp_path):
    training, artifacts, sent, live = place
    await learn(training, exposures(9000, 2))
    [promoted] = sent.told()
    assert training._learning.learned == 7649
    training.told(promoted)
    assert training._learning.learned == 7649
    back = msgspec.structs.replace(live, announced_ms=9)
    training.told(back)
    assert training._learning.learned == 0
    assert training._learning.live.version == back_bundle(artifacts, live).version


def back_bundle(artifacts, live):
    from models.rankers.bundle import RankerBundle

    artifact = artifacts.get(RANKERS, live.version)
    return RankerBundle.from_arrays(artifact.arrays, artifact.meta)


def test_stored_rankers_that_cannot_be_used_are_trained_again(tmp_path, caplog):
    missing = Version(RANKERS, "gone", 1)
    training = Training(Settings(), World(), ArtifactStore(str(tmp_path)), Sent(), live=missing)
    assert training._learning.live is None
    assert "they will be trained again" in caplog.text


# What choices teach: with exposures or without, retrained as they grow, judged on the newest.


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
    # Choices are all of a kind here. Who learns on may believe all of what they tell.
    assert (bundle.metrics["interest_confirmed"], candidate.metrics["interest_confirmed"]) == (
        BELIEVED_ONCE,
        BELIEVED_NOW,
    )
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
    wrong.learn([], [reversed_choices(choices_from(0, 1000))])
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


async def test_choices_alone_are_trained_judged_and_learned_on(tmp_path, monkeypatch) -> None:
    artifacts, sent = ArtifactStore(str(tmp_path)), Sent()
    training = Training(Settings(rankers_every_s=1e-9), World(), artifacts, sent)
    monkeypatch.setattr(training_module, "QUIET_S", 0.0)
    monkeypatch.setattr(training, "_candidate_sets", sets)
    training._world._spaces.live = object()
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
    training._intake.add(exposures(3000))
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


async def test_rankers_that_the_store_does_not_take_wait_and_are_offered_again(
    tmp_path, chosen_bundle, monkeypatch, caplog
) -> None:
    folder, sent = tmp_path / "artifacts", Sent()
    folder.write_text("no folder")
    training = Training(Settings(), World(), ArtifactStore(str(folder)), sent)
    passed = RankerDecision(promote=True, reason="passed", margin=0.0, candidate=None, live=None)
    monkeypatch.setattr(training._learning, "judge", lambda bundle: passed)
    await training._offer(chosen_bundle, learned_on=False)
    assert (sent.messages, training.live()) == ([], [])
    assert "not stored" in caplog.text
    await training.polled(0)
    assert training._work is None
    folder.unlink()
    training._store_again_s = 0.0
    await training.polled(0)
    await training._work
    assert [of.version for of in training.live()] == training._artifacts.list(RANKERS)
    assert len(sent.messages) == 1
    await training.polled(0)
    assert training._work is None
