"""Offline metrics against values worked out by hand or by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.evaluation.metrics import (
    auc,
    calibration_chance,
    calibration_error,
    calibration_ratio,
    logloss,
    ndcg,
    normalised_entropy,
    rank_in_group,
    survivors,
)

LABELS = np.array([0, 0, 1, 1], np.float32)
SCORES = np.array([0.1, 0.4, 0.35, 0.8], np.float32)


def test_auc() -> None:
    assert auc(LABELS, SCORES) == 0.75
    assert auc(LABELS, np.zeros(4)) == 0.5
    assert auc(LABELS, SCORES, np.array([1.0, 3.0, 1.0, 1.0])) == pytest.approx(5 / 8)
    assert math.isnan(auc(np.ones(3), np.arange(3.0)))
    assert math.isnan(auc(np.zeros(0), np.zeros(0)))


@settings(max_examples=50)
@given(st.data())
def test_auc_counts_pairs(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 12))
    labels_n = data.draw(arrays(np.bool_, n))
    scores_n = data.draw(arrays(np.float64, n, elements=st.integers(0, 4).map(float)))
    weights_n = data.draw(arrays(np.float64, n, elements=st.integers(1, 5).map(float)))
    won = total = 0.0
    for i in np.flatnonzero(labels_n):
        for j in np.flatnonzero(~labels_n):
            pair = weights_n[i] * weights_n[j]
            total += pair
            won += pair * ((scores_n[i] > scores_n[j]) + (scores_n[i] == scores_n[j]) / 2)
    found = auc(labels_n, scores_n, weights_n)
    assert math.isnan(found) if total == 0 else found == pytest.approx(won / total)


def test_logloss_and_normalised_entropy() -> None:
    p_n = np.array([0.25, 0.5])
    assert logloss(np.array([0.0, 1.0]), p_n) == pytest.approx(
        -(math.log(0.75) + math.log(0.5)) / 2
    )
    assert math.isfinite(logloss(np.array([1.0]), np.array([0.0])))
    assert normalised_entropy(LABELS, np.full(4, 0.5)) == pytest.approx(1.0)
    assert normalised_entropy(LABELS, np.where(LABELS > 0, 0.9, 0.1)) < 1.0
    assert math.isnan(normalised_entropy(np.ones(3), np.full(3, 0.5)))


def test_weights_stand_for_repeated_rows() -> None:
    weights_n = np.array([2.0, 1.0, 3.0, 1.0])
    again_n = np.repeat(np.arange(4), weights_n.astype(int))
    for metric in (auc, logloss, normalised_entropy, calibration_ratio):
        assert metric(LABELS, SCORES, weights_n) == pytest.approx(
            metric(LABELS[again_n], SCORES[again_n])
        )


def test_calibration() -> None:
    labels_n = np.repeat([0.0, 1.0, 0.0, 1.0], [9, 1, 1, 9])
    right_n = np.repeat([0.1, 0.9], 10)
    assert calibration_error(labels_n, right_n, bins=2) == pytest.approx(0.0)
    assert calibration_error(labels_n, np.full(20, 0.5), bins=1) == pytest.approx(0.0)
    assert calibration_error(labels_n, np.repeat([0.3, 0.9], 10), bins=2) == pytest.approx(0.1)
    assert calibration_ratio(labels_n, np.full(20, 0.25)) == pytest.approx(0.5)
    assert math.isnan(calibration_ratio(np.zeros(3), np.full(3, 0.1)))


@pytest.mark.parametrize("rate", [1.0, 0.1])
def test_right_probabilities_are_within_chance_and_wrong_ones_beyond(rate: float) -> None:
    rng = np.random.default_rng(4)
    within, beyond = 0, 0
    for _ in range(200):
        p_n = rng.beta(1, 9, 3000)
        label_n = (rng.random(3000) < p_n).astype(np.float64)
        kept_n = (label_n > 0) | (rng.random(3000) < rate)
        weight_n = np.where(label_n > 0, 1.0, 1 / rate)[kept_n]
        for shift, p_of in ((0.0, p_n), (0.1, p_n + 0.1)):
            outcome = label_n[kept_n], p_of[kept_n], weight_n
            exceeds = calibration_error(*outcome) > calibration_chance(*outcome)
            within += not shift and not exceeds
            beyond += bool(shift) and exceeds
    assert 190 <= within < 200
    assert beyond == 200
    assert math.isnan(calibration_chance(np.zeros(0), np.zeros(0)))


def test_ndcg() -> None:
    gains_n = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
    groups_n = np.array([7, 7, 7, 9, 9])
    scores_n = np.array([0.1, 0.3, 0.2, 0.9, 0.1])
    # Group 7 finds its one gain at rank 3, group 9 at rank 1.
    assert ndcg(gains_n, scores_n, groups_n, 3) == pytest.approx((1 / math.log2(4) + 1) / 2)
    assert ndcg(gains_n, scores_n, groups_n, 2) == pytest.approx(0.5)
    assert ndcg(gains_n, gains_n, groups_n, 1) == 1.0
    assert math.isnan(ndcg(np.zeros(5), scores_n, groups_n, 3))
    assert math.isnan(ndcg(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), 3))


@settings(max_examples=50)
@given(st.data())
def test_rank_in_group_is_a_stable_sort_of_each_group(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 15))
    groups_n = data.draw(arrays(np.int64, n, elements=st.integers(0, 3)))
    scores_n = data.draw(arrays(np.float64, n, elements=st.integers(0, 3).map(float)))
    ranks_n = rank_in_group(scores_n, groups_n)
    for group in np.unique(groups_n):
        rows = np.flatnonzero(groups_n == group)
        best_first = sorted(rows.tolist(), key=lambda row: -scores_n[row])
        assert [int(ranks_n[row]) for row in best_first] == list(range(len(rows)))


def test_survivors() -> None:
    target_n = np.array([4.0, 3.0, 2.0, 1.0] * 2)
    groups_n = np.repeat([0, 1], 4)
    scores_n = np.array([9.0, 1, 8, 7, 9, 8, 7, 1])
    assert survivors(target_n, scores_n, groups_n, top=2, keep=2) == 0.75
    assert survivors(target_n, scores_n, groups_n, top=2, keep=4) == 1.0
    assert math.isnan(survivors(target_n[:0], scores_n[:0], groups_n[:0], top=2, keep=4))
