"""The final pass learning on: warm start, progress, calibration, expiry, divergence."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from models.actions import HEADS
from models.evaluation.metrics import auc, calibration_error
from models.examples.examples import Examples
from models.feature_schema import DENSE_INDEX
from models.rankers.networks import Standardizer
from models.training.calibration import logistic
from models.training.final import FinalConfig, freeze, thaw, train_final
from models.training.loop import TrainingDivergedError, reproducible
from models.training.online import OnlineConfig, OnlineFinal
from tests.unit.models.training.test_rankers import SMALL, exposures

CONFIG = OnlineConfig(learning_rate=5e-3, batch=128, calibration_rows=1500, final=SMALL.final)


@pytest.fixture(scope="module")
def final():
    with reproducible(1, 1):
        return train_final(exposures(3000), Examples.empty(), SMALL.final)


def turned(n: int, seed: int) -> Examples:
    """Likes follow another feature than those the first training saw."""
    rows = exposures(n, seed)
    rows.features.dense_nf[:, [0, 7]] = rows.features.dense_nf[:, [7, 0]]
    return rows


def test_a_warm_start_predicts_the_same(final) -> None:
    rows = exposures(500, 4)
    with reproducible(1, 1):
        again = OnlineFinal(final, now_ts=0).candidate()
    np.testing.assert_allclose(again.logits(rows.features), final.logits(rows.features), atol=1e-5)
    assert again.embeddings.sizes_s.tolist() == final.embeddings.sizes_s.tolist()


def test_sizes_come_from_the_weights_not_from_the_configuration(final) -> None:
    with reproducible(1, 1):
        network = thaw(final, FinalConfig(members=7, hidden=(5,), embedding_dim=3))
    shapes, again = (
        {name: array.shape for name, array in of.to_arrays().items()}
        for of in (final, freeze(network, final.standardizer))
    )
    assert again == shapes


def test_it_follows_a_change_and_scores_before_it_learns(final) -> None:
    stream, unseen = turned(8000, 2), turned(4000, 3)
    with reproducible(1, 1):
        online = OnlineFinal(final, CONFIG, now_ts=0)
        told = [online.learn(stream.take(np.arange(at, at + 500))) for at in range(0, 8000, 500)]
        learned = online.candidate()
    assert online.learned == 8000
    before, after = (
        auc(unseen.label("like"), of.score(unseen.features)[:, 0]) for of in (final, learned)
    )
    assert after > before + 0.1
    first = auc(stream.label("like")[:500], told[0][:, 0])
    last = auc(stream.label("like")[-500:], told[-1][:, 0])
    assert first == pytest.approx(before, abs=0.08)
    assert last > first + 0.05
    likes = learned.score(unseen.features)[:, 0]
    assert calibration_error(unseen.label("like"), likes) < 0.08


def test_rows_of_the_table_are_emptied_when_nobody_asks_for_them(final) -> None:
    assert final.embeddings.table_rd.any()
    config = msgspec.structs.replace(CONFIG, expire_ms=1000)
    rows = exposures(200, 2)
    rows.ts_n[:] = 5000
    with reproducible(1, 1):
        online = OnlineFinal(final, config, now_ts=0)
        online.learn(rows)
        assert online.expire(900) == 0
        assert online.expire(5500) > 0
        table_rd = online.candidate().embeddings.table_rd
    used = np.unique(final.embeddings.rows(rows.features.sparse_ns))
    assert table_rd[used].any()
    assert not np.delete(table_rd, used, axis=0).any()


@pytest.mark.parametrize("broken", ["weights", "labels"])
def test_broken_rows_are_refused(final, broken) -> None:
    rows = exposures(200, 2)
    (rows.weights_n if broken == "weights" else rows.labels_nh)[17] = np.nan
    with reproducible(1, 1), pytest.raises(TrainingDivergedError, match="loss is nan"):
        OnlineFinal(final, CONFIG, now_ts=0).learn(rows)


def test_a_rate_that_diverges_is_told(final) -> None:
    wild = msgspec.structs.replace(CONFIG, learning_rate=1e30)
    with reproducible(1, 1), pytest.raises(TrainingDivergedError, match=r"learning rate 1e\+30"):
        OnlineFinal(final, wild, now_ts=0).learn(exposures(2000, 2))


def test_nothing_new_changes_nothing(final) -> None:
    with reproducible(1, 1):
        online = OnlineFinal(final, CONFIG, now_ts=0)
        assert online.learn(Examples.empty()).shape == (0, len(HEADS))
    assert online.learned == 0


def test_position_bias_is_not_served() -> None:
    """Likes come from the place alone: what is served must not believe it was the media."""
    rng = np.random.default_rng(0)
    rows = exposures(6000, 8)
    first_n = rng.random(6000) < 0.5
    rows.positions_n[:] = np.where(first_n, 1, 20)
    rows.labels_nh[:, 0] = rng.random(6000) < np.where(first_n, 0.4, 0.05)
    # A feature that only tells the place.
    rows.features.dense_nf[:, 9] = np.where(first_n, 1.0, -1.0) + rng.normal(0, 2.0, 6000)
    blind = msgspec.structs.replace(rows, positions_n=np.zeros(6000, np.int16))
    with reproducible(1, 1):
        aware, unaware = (train_final(of, Examples.empty(), SMALL.final) for of in (rows, blind))
    low, high = rows.features.take(np.arange(500)), rows.features.take(np.arange(500))
    low.dense_nf[:, 9], high.dense_nf[:, 9] = -2.0, 2.0
    gap_aware, gap_unaware = (
        float((of.logits(high)[:, 0] - of.logits(low)[:, 0]).mean()) for of in (aware, unaware)
    )
    assert abs(gap_aware) < 0.7 * abs(gap_unaware)
    assert isinstance(aware.standardizer, Standardizer)


def test_a_network_begins_as_a_logistic_regression() -> None:
    rows = exposures(3000, 4)
    still = msgspec.structs.replace(SMALL.final, epochs=1, learning_rate=1e-12)
    appeal = DENSE_INDEX["appeal"]
    standardizer = Standardizer.fit(rows.features.dense_nf).without([appeal])
    weights_f = logistic(standardizer(rows.features.dense_nf), rows.label("save"), rows.weights_n)
    expected_n = standardizer(rows.features.dense_nf) @ weights_f[:-1] + weights_f[-1]
    with reproducible(1, 1):
        started = train_final(rows, Examples.empty(), still)
    np.testing.assert_allclose(started.logits(rows.features)[:, 1], expected_n, atol=0.02)
    # What a media is chosen for among all says nothing of what happens when it is shown.
    before_nh = started.logits(rows.features)
    rows.features.dense_nf[:, appeal] += 3.0
    np.testing.assert_array_equal(started.logits(rows.features), before_nh)
