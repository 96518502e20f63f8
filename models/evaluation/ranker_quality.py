"""How good a final pass is on examples it has not learned, head by head.

Precision, recall and F1 need a threshold. It is chosen on the older half of the examples as the one
with the best F1, and all figures are those of the newer half.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from models.actions import HEAD_NAMES
from models.evaluation.metrics import (
    Labels,
    Vector,
    auc,
    calibration_error,
    logloss,
    ndcg,
    normalised_entropy,
)
from models.examples.examples import Examples
from models.rankers.protocol import Pass

#: Thresholds tried, at equal shares of the scores.
_THRESHOLDS: Final = 200


def ranker_quality(final: Pass, examples: Examples) -> dict[str, dict[str, float | None]]:
    """Head → figure → value, null where it cannot be measured.

    Args:
        examples: in order of time.
    """
    older, newer = (examples.take(rows) for rows in np.array_split(np.arange(len(examples)), 2))
    chosen_nh, scores_nh = final.score(older.features), final.score(newer.features)
    quality: dict[str, dict[str, float | None]] = {}
    for h, head in enumerate(HEAD_NAMES):
        labels_n, scores_n = newer.label(head), scores_nh[:, h]
        outcome = labels_n, scores_n, newer.weights_n
        threshold = best_threshold(older.label(head), chosen_nh[:, h], older.weights_n)
        precision, recall, f1 = precision_recall_f1(*outcome, threshold)
        figures = {
            "auc": auc(*outcome),
            "logloss": logloss(*outcome),
            "normalised_entropy": normalised_entropy(*outcome),
            "calibration_error": calibration_error(*outcome),
            "ndcg_25": ndcg(labels_n, scores_n, newer.groups_n, 25),
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "threshold": threshold,
            "positives": float(labels_n.sum()),
        }
        quality[head] = {k: v if math.isfinite(v) else None for k, v in figures.items()}
    return quality


def best_threshold(labels_n: Labels, scores_n: Vector, weights_n: Vector) -> float:
    """The score from which on to say yes for the best F1; NaN without rows."""
    if not len(scores_n):
        return math.nan
    tried = np.unique(np.quantile(scores_n, np.linspace(0.0, 1.0, _THRESHOLDS), method="higher"))
    found = [precision_recall_f1(labels_n, scores_n, weights_n, of)[2] for of in tried]
    return float(tried[int(np.nan_to_num(found, nan=-1.0).argmax())])


def precision_recall_f1(
    labels_n: Labels, scores_n: Vector, weights_n: Vector, threshold: float
) -> tuple[float, float, float]:
    """Precision, recall and F1 of saying yes from `threshold` on; NaN where nothing divides."""
    yes_n, positive_n = np.greater_equal(scores_n, threshold), np.greater(labels_n, 0.5)
    weight_n: Any = np.asarray(weights_n, np.float64)
    hits = float(weight_n[yes_n & positive_n].sum())
    said, there = float(weight_n[yes_n].sum()), float(weight_n[positive_n].sum())
    precision = hits / said if said else math.nan
    recall = hits / there if there else math.nan
    total = said + there
    return precision, recall, 2 * hits / total if there else math.nan
