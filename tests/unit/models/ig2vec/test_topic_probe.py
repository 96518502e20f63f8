"""The probe tells good vectors from bad ones."""

from __future__ import annotations

import numpy as np
import pytest

from models.ig2vec.topic_probe import ProbeConfig, ProbeError, fit_logistic, macro_f1, probe


def labelled(noise: float, count: int = 400) -> tuple[np.ndarray, list[str | None]]:
    rng = np.random.default_rng(3)
    topic_n = np.minimum(rng.integers(0, 5, count), 3)
    vectors_nd = np.eye(4, 8)[topic_n] + noise * rng.standard_normal((count, 8))
    return vectors_nd.astype(np.float32), [f"t{topic}" for topic in topic_n]


def test_clear_vectors_are_told_apart_and_random_ones_are_not() -> None:
    score = probe(*labelled(0.05))
    assert score.macro_f1 == score.accuracy == score.low == 1.0
    assert (score.accounts, score.topics) == (400, 4)
    assert score.random_f1 < 0.4
    assert 0.3 < score.majority_accuracy < 0.5


def test_the_score_falls_with_noise_and_lies_in_its_interval() -> None:
    scores = [probe(*labelled(noise)) for noise in (0.3, 1.0, 5.0)]
    assert scores[0].macro_f1 > scores[1].macro_f1 > scores[2].macro_f1
    assert all(score.low <= score.macro_f1 <= score.high for score in scores)
    assert scores[2].macro_f1 < scores[2].random_f1 + 0.15


def test_a_turn_of_the_space_changes_next_to_nothing() -> None:
    vectors_nd, topics = labelled(0.6)
    turn_dd, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((8, 8)))
    plain = probe(vectors_nd, topics)
    turned = probe((100 * vectors_nd @ turn_dd).astype(np.float32), topics)
    assert turned.macro_f1 == pytest.approx(plain.macro_f1, abs=0.01)
    assert probe(vectors_nd, topics) == plain


def test_unlabelled_and_rare_topics_are_left_out() -> None:
    vectors_nd, topics = labelled(0.05)
    topics = [None if n % 2 else topic for n, topic in enumerate(topics)]
    topics[0] = "rare"
    score = probe(vectors_nd, topics)
    assert (score.accounts, score.topics) == (199, 4)


def test_constant_vectors_score_like_the_majority() -> None:
    _, topics = labelled(1)
    score = probe(np.ones((400, 8), dtype=np.float32), topics)
    assert score.accuracy == score.majority_accuracy


def test_too_few_labels_are_an_error() -> None:
    with pytest.raises(ProbeError, match="1 topics have 10 accounts"):
        probe(np.zeros((30, 2), dtype=np.float32), ["a"] * 25 + ["b"] * 5)
    with pytest.raises(ProbeError, match="0 topics"):
        probe(np.zeros((3, 2), dtype=np.float32), [None] * 3)
    with pytest.raises(ProbeError, match="2 topics for 3 vectors"):
        probe(np.zeros((3, 2), dtype=np.float32), ["a", "b"])


def test_macro_f1_is_the_mean_over_topics() -> None:
    labels, found = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    assert macro_f1(labels, found) == pytest.approx((0.8 + 2 / 3) / 2)
    assert macro_f1(labels, np.array([2, 2, 2, 2])) == 0.0


def test_logistic_regression_reaches_its_optimum() -> None:
    rng = np.random.default_rng(2)
    inputs_nd, labels_n = rng.standard_normal((200, 3)), rng.integers(0, 3, 200)
    weights_dc = fit_logistic(inputs_nd, labels_n, 3, 0.01, ProbeConfig().steps)
    logits_nc = inputs_nd @ weights_dc
    chances_nc = np.exp(logits_nc) / np.exp(logits_nc).sum(axis=1, keepdims=True)
    gradient_dc = inputs_nd.T @ (chances_nc - np.eye(3)[labels_n]) / 200 + 0.01 * weights_dc
    assert np.abs(gradient_dc).max() < 1e-4
