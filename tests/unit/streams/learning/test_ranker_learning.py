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
from models.examples.examples import Examples
from models.training.final import train_final
from models.training.loop import TrainingDivergedError, reproducible
from models.training.rankers import bundled
from models.world import World
from streams.learning import ranker_learning
from streams.learning.ranker_learning import RankerLearning
from streams.training import Training
from streams.versions import DECISION_NOTE, LIVE_NOTE, RANKERS, Live, Version, listed, versions
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
    training._collect(later(examples))
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
    training._collect(msgspec.structs.replace(rows, labels_nh=wrong))
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
    training._collect(msgspec.structs.replace(exposures(9000, 2), ts_n=np.arange(9000) + 50_000))
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
