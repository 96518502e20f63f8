"""The table of ``freshgrid evaluate rankers``: thresholds, precision, recall, what is missing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infra.artifacts import ArtifactError
from infra.config import Settings
from models.actions import HEAD_NAMES
from models.evaluation.ranker_quality import best_threshold, precision_recall_f1, ranker_quality
from streams.recorded.evaluate_embeddings import EvaluationError
from streams.recorded.evaluate_rankers import evaluate_stored
from tests.unit.models.evaluation.test_ranker_gate import Predicts
from tests.unit.models.training.test_rankers import exposures

ONES = np.ones(6)
LABELS = np.array([1.0, 1, 0, 1, 0, 0])
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.1])


def test_precision_recall_and_f1() -> None:
    assert precision_recall_f1(LABELS, SCORES, ONES, 0.75) == (1.0, pytest.approx(2 / 3), 0.8)
    assert precision_recall_f1(LABELS, SCORES, ONES, 0.5)[:2] == (0.75, 1.0)
    weights = np.array([1.0, 1, 4, 1, 4, 4])
    assert precision_recall_f1(LABELS, SCORES, weights, 0.5)[0] == pytest.approx(3 / 7)


def test_nothing_divides() -> None:
    precision, recall, f1 = precision_recall_f1(LABELS, SCORES, ONES, 2.0)
    assert math.isnan(precision) and recall == 0 and f1 == 0
    assert all(math.isnan(of) for of in precision_recall_f1(LABELS * 0, SCORES, ONES, 2.0))
    assert math.isnan(best_threshold(ONES[:0], ONES[:0], ONES[:0]))


def test_the_threshold_has_the_best_f1() -> None:
    assert best_threshold(LABELS, SCORES, ONES) == pytest.approx(0.6, abs=0.02)


def test_a_better_pass_has_better_figures() -> None:
    rows = exposures(6000)
    good, noisy = (ranker_quality(of, rows)["like"] for of in (Predicts(), Predicts(noise=2.0)))
    for name in ("auc", "f1", "ndcg_25"):
        assert good[name] > noisy[name], name
    for name in ("logloss", "normalised_entropy", "calibration_error"):
        assert good[name] < noisy[name], name
    assert set(ranker_quality(Predicts(), rows)) == set(HEAD_NAMES)


def test_without_positives_figures_are_missing_not_wrong() -> None:
    rows = exposures(200)
    rows.labels_nh[:] = 0.0
    figures = ranker_quality(Predicts(), rows)["like"]
    assert figures["auc"] is None and figures["recall"] is None
    assert figures["logloss"] is not None


def test_errors_say_what_to_do(tmp_path) -> None:
    settings = Settings(artifacts_url=str(tmp_path))
    with pytest.raises(EvaluationError, match="let a learner run"):
        evaluate_stored(settings, exposures(10), None, None)
    with pytest.raises(ArtifactError):
        evaluate_stored(settings, exposures(10), "missing", None)
