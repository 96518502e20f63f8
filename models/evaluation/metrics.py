"""Offline metrics of probabilities and rankings, in NumPy.

All take weights: negatives that were sampled with a keep rate r count 1 / r each, so a metric on
the sample estimates the metric on everything.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32] | NDArray[np.float64]
Labels = Vector | NDArray[np.bool_]

#: Probabilities are kept this far from 0 and 1 so that one certain mistake is not infinite.
EPSILON: Final = 1e-7


def auc(labels_n: Labels, scores_n: Vector, weights_n: Vector | None = None) -> float:
    """Probability that a positive scores above a negative, ties counting one half.

    Returns NaN where there is no positive or no negative.
    """
    positive_n = np.asarray(labels_n, dtype=np.float64) > 0.5
    weight_n = _weights(weights_n, positive_n.size)
    _, group_n = np.unique(scores_n, return_inverse=True)
    groups = int(group_n.max()) + 1 if group_n.size else 0
    positives_g = np.bincount(group_n, weight_n * positive_n, groups)
    negatives_g = np.bincount(group_n, weight_n * ~positive_n, groups)
    pairs = positives_g.sum() * negatives_g.sum()
    if pairs == 0:
        return float("nan")
    below_g = np.cumsum(negatives_g) - negatives_g
    return float((positives_g * (below_g + negatives_g / 2)).sum() / pairs)


def logloss(labels_n: Labels, probabilities_n: Vector, weights_n: Vector | None = None) -> float:
    """Mean −ln of the probability given to what happened, in nats."""
    label_n = np.asarray(labels_n, dtype=np.float64)
    p_n = np.clip(np.asarray(probabilities_n, dtype=np.float64), EPSILON, 1 - EPSILON)
    loss_n = -(label_n * np.log(p_n) + (1 - label_n) * np.log1p(-p_n))
    return _mean(loss_n, _weights(weights_n, label_n.size))


def normalised_entropy(
    labels_n: Labels, probabilities_n: Vector, weights_n: Vector | None = None
) -> float:
    """Log loss over that of always predicting the base rate; 1 is knowing nothing.

    He et al., Practical Lessons from Predicting Clicks on Ads at Facebook, 2014. NaN where only one
    label occurs.
    """
    label_n = np.asarray(labels_n, dtype=np.float64)
    weight_n = _weights(weights_n, label_n.size)
    base = _mean(label_n, weight_n)
    if not 0 < base < 1:
        return float("nan")
    entropy = -(base * np.log(base) + (1 - base) * np.log(1 - base))
    return logloss(label_n, probabilities_n, weight_n) / float(entropy)


def calibration_error(
    labels_n: Labels, probabilities_n: Vector, weights_n: Vector | None = None, bins: int = 10
) -> float:
    """Expected calibration error: mean |predicted − observed rate| over bins of equal weight."""
    gap_n, bin_n, total = _gaps(labels_n, probabilities_n, weights_n, bins)
    return float(np.abs(np.bincount(bin_n, gap_n, bins)).sum() / total) if total else float("nan")


def calibration_chance(
    labels_n: Labels, probabilities_n: Vector, weights_n: Vector | None = None, bins: int = 10
) -> float:
    """The calibration error that right probabilities exceed by chance once in some fifty times.

    Few rows leave gaps in every bin whatever is predicted. A bin's gap is a sum of independent
    terms, so about normal with the variance Σ (weight · (p − label))², which holds for sampled
    negatives, too; its size is then half normal. Given is the mean of their sum plus twice its
    deviation. NaN without rows.
    """
    gap_n, bin_n, total = _gaps(labels_n, probabilities_n, weights_n, bins)
    variance_b = np.bincount(bin_n, gap_n**2, bins)
    mean = np.sqrt(variance_b * 2 / np.pi).sum()
    deviation = np.sqrt(variance_b.sum() * (1 - 2 / np.pi))
    return float((mean + 2 * deviation) / total) if total else float("nan")


def _gaps(
    labels_n: Labels, probabilities_n: Vector, weights_n: Vector | None, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.intp], float]:
    """Weighted (p − label), the bin of equal weight it falls into, and the sum of weights."""
    p_n = np.asarray(probabilities_n, dtype=np.float64)
    weight_n = _weights(weights_n, p_n.size)
    total = float(weight_n.sum())
    order_n = np.argsort(p_n, kind="stable")
    sorted_n = weight_n[order_n]
    middle_n = (np.cumsum(sorted_n) - sorted_n / 2) / (total or 1.0)
    gap_n = (weight_n * (p_n - np.asarray(labels_n, dtype=np.float64)))[order_n]
    return gap_n, np.minimum((middle_n * bins).astype(np.intp), bins - 1), total


def calibration_ratio(
    labels_n: Labels, probabilities_n: Vector, weights_n: Vector | None = None
) -> float:
    """Predicted positives over observed ones; 1 is right, NaN where none was observed."""
    weight_n = _weights(weights_n, np.asarray(labels_n).size)
    observed = float((np.asarray(labels_n, dtype=np.float64) * weight_n).sum())
    predicted = float((np.asarray(probabilities_n, dtype=np.float64) * weight_n).sum())
    return predicted / observed if observed > 0 else float("nan")


def ndcg(gains_n: Labels, scores_n: Vector, groups_n: NDArray[Any], k: int) -> float:
    """Mean NDCG@k over groups; groups without any gain say nothing and are left out.

    Ties in the score keep the order of the rows. NaN where no group has a gain.
    """
    gain_n = np.asarray(gains_n, dtype=np.float64)
    if gain_n.size == 0:
        return float("nan")
    group_n = np.unique(groups_n, return_inverse=True)[1]
    total_g = np.bincount(group_n, gain_n)
    useful_g = total_g > 0
    if not useful_g.any():
        return float("nan")
    found_g = _dcg(gain_n, np.asarray(scores_n, dtype=np.float64), group_n, k)
    ideal_g = _dcg(gain_n, gain_n, group_n, k)
    return float((found_g[useful_g] / ideal_g[useful_g]).mean())


def rank_in_group(scores_n: Vector, groups_n: NDArray[Any]) -> NDArray[np.intp]:
    """Rank of each row within its group, 0 for the highest score; ties keep their order."""
    order_n = np.lexsort((-np.asarray(scores_n, dtype=np.float64), groups_n))
    sorted_n = np.asarray(groups_n)[order_n]
    starts_n = np.flatnonzero(np.append(True, sorted_n[1:] != sorted_n[:-1])[: order_n.size])
    first_n = np.zeros(order_n.size, dtype=np.intp)
    first_n[starts_n] = starts_n
    rank_n = np.empty(order_n.size, dtype=np.intp)
    rank_n[order_n] = np.arange(order_n.size) - np.maximum.accumulate(first_n)
    return rank_n


def survivors(
    target_n: Vector, scores_n: Vector, groups_n: NDArray[Any], *, top: int, keep: int
) -> float:
    """Share of each group's `top` best by `target_n` that are in its `keep` best by `scores_n`."""
    wanted_n = rank_in_group(target_n, groups_n) < top
    if not wanted_n.any():
        return float("nan")
    return float((rank_in_group(scores_n, groups_n)[wanted_n] < keep).mean())


def _dcg(
    gain_n: NDArray[np.float64],
    scores_n: NDArray[np.float64],
    group_n: NDArray[np.intp],
    k: int,
) -> NDArray[np.float64]:
    rank_n = rank_in_group(scores_n, group_n)
    discount_n = np.where(rank_n < k, 1.0 / np.log2(rank_n + 2.0), 0.0)
    return np.bincount(group_n, gain_n * discount_n).astype(np.float64)


def _weights(weights_n: Vector | None, size: int) -> NDArray[np.float64]:
    return np.ones(size) if weights_n is None else np.asarray(weights_n, dtype=np.float64)


def _mean(values_n: NDArray[np.float64], weights_n: NDArray[np.float64]) -> float:
    total = weights_n.sum()
    return float((values_n * weights_n).sum() / total) if total > 0 else float("nan")
