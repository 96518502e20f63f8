"""EASE: item-to-item weights by ridge regression in closed form (Steck, WWW 2019).

Media that fewer than `MIN_COUNT` viewers acted on have no row; of the others at most `MAX_MEDIA`,
those that most acted on: the cost grows with the third power of their number.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from models.evaluation.baselines.protocol import (
    Baseline,
    Parameters,
    Requests,
    Scores,
    positive_pairs,
    tie_break,
)
from models.evaluation.event_log import EventLog

MIN_COUNT: Final = 2
MAX_MEDIA: Final = 8_000


class Ease:
    """Scores are the sums of the weights from a viewer's history."""

    def __init__(self, log: EventLog, until_ms: int, ridge: float, most: int = MAX_MEDIA) -> None:
        ones_vm = positive_pairs(log, until_ms)
        count_m = np.asarray(ones_vm.sum(axis=0)).ravel()
        order_m = np.argsort(-count_m, kind="stable")[:most]
        self._kept_k = np.sort(order_m[count_m[order_m] >= MIN_COUNT])
        ones_vk = ones_vm[:, self._kept_k]
        self._weights_kk = ease_weights((ones_vk.T @ ones_vk).toarray(), ridge)
        self._tie_m: NDArray[np.float32] = tie_break(log, until_ms)

    def score(self, requests: Requests) -> Scores:
        """Scores_gm of all media by the learned item weights, higher is better."""
        scores_gm: Scores = np.tile(self._tie_m, (len(requests.viewer_g), 1))
        if len(self._kept_k):
            scores_gm[:, self._kept_k] += requests.history_gm[:, self._kept_k] @ self._weights_kk
        return scores_gm


def ease_weights(gram_kk: NDArray[np.floating], ridge: float) -> NDArray[np.float32]:
    """−P / diag(P) with zeros on the diagonal, where P = (gram + ridge · I)⁻¹.

    Args:
        gram_kk: how many viewers acted on both media; on the diagonal on the one.
        ridge: above 0.
    """
    inverse_kk = np.array(gram_kk, np.float32, order="F")
    if not inverse_kk.size:
        return inverse_kk
    at = np.arange(len(inverse_kk))
    inverse_kk[at, at] += np.float32(ridge)
    inverse_kk, failed = lapack.spotrf(inverse_kk, lower=1, overwrite_a=1)
    if not failed:
        inverse_kk, failed = lapack.spotri(inverse_kk, lower=1, overwrite_c=1)
    if failed:
        raise ValueError(f"EASE with ridge {ridge} has no solution; give a larger ridge")
    # Only the lower half is there.
    upper = np.triu_indices(len(inverse_kk), 1)
    inverse_kk[upper] = inverse_kk.T[upper]
    weights_kk: NDArray[np.float32] = inverse_kk / -inverse_kk[at, at]
    weights_kk[at, at] = 0.0
    return weights_kk


def _fit(log: EventLog, until_ms: int, parameters: Parameters) -> Ease:
    return Ease(log, until_ms, parameters["ridge"], int(parameters.get("most", MAX_MEDIA)))


def ease() -> Baseline:
    """EASE with a ridge from the sweep."""
    return Baseline("ease", _fit, [{"ridge": ridge} for ridge in (200.0, 50.0, 800.0)])
