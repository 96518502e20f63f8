"""Matrix factorisation by ``implicit``: ALS (Hu, Koren and Volinsky, 2008) and BPR (Rendle, 2009).

Needs the extra ``evaluate``.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from numpy.typing import NDArray

from models.arrays.types import Mask
from models.evaluation.baselines.protocol import (
    Baseline,
    Parameters,
    Requests,
    Scores,
    positive_pairs,
    tie_break,
)
from models.evaluation.event_log import EventLog


class Factors:
    """Products of viewers' and media's factors.

    Args:
        known_v: viewers whom something was learned of.
    """

    def __init__(
        self, viewers_vf: NDArray[np.float32], media_mf: NDArray[np.float32], known_v: Mask,
        log: EventLog, until_ms: int,
    ) -> None:  # fmt: skip
        self._viewers_vf, self._media_mf, self._known_v = viewers_vf, media_mf, known_v
        self._tie_m: NDArray[np.float32] = tie_break(log, until_ms)

    def score(self, requests: Requests) -> Scores:
        """Scores_gm of all media: products of viewers' and media's factors."""
        scores_gm: Scores = self._viewers_vf[requests.viewer_g] @ self._media_mf.T
        # Factors that nothing taught are noise: such viewers get what is popular.
        scores_gm[~self._known_v[requests.viewer_g]] = 0.0
        scores_gm += self._tie_m
        return scores_gm


def _learn(model: Any, log: EventLog, until_ms: int) -> Factors:
    ones_vm = positive_pairs(log, until_ms)
    with warnings.catch_warnings():
        # It tells of threads of the linear algebra, which the command sets.
        warnings.simplefilter("ignore")
        model.fit(ones_vm, show_progress=False)
    viewers_vf, media_mf = np.asarray(model.user_factors), np.asarray(model.item_factors)
    return Factors(viewers_vf, media_mf, np.diff(ones_vm.indptr) > 0, log, until_ms)


def _fit_als(log: EventLog, until_ms: int, parameters: Parameters) -> Factors:
    model = AlternatingLeastSquares(
        factors=int(parameters["factors"]),
        regularization=parameters["regularisation"],
        alpha=parameters["alpha"],
        iterations=15,
        num_threads=1,
        random_state=7,
    )
    return _learn(model, log, until_ms)


def _fit_bpr(log: EventLog, until_ms: int, parameters: Parameters) -> Factors:
    model = BayesianPersonalizedRanking(
        factors=int(parameters["factors"]),
        learning_rate=parameters["learning_rate"],
        regularization=0.01,
        iterations=100,
        num_threads=1,
        random_state=7,
    )
    return _learn(model, log, until_ms)


def als() -> Baseline:
    """Weighted least squares (Hu et al., ICDM 2008) on positives, by `implicit`."""
    sweep = [
        {"factors": factors, "regularisation": regularisation, "alpha": alpha}
        for factors, regularisation, alpha in (
            (64, 0.05, 1.0), (64, 5.0, 1.0), (64, 5.0, 10.0), (128, 20.0, 10.0),
        )
    ]  # fmt: skip
    return Baseline("als", _fit_als, sweep)


def bpr() -> Baseline:
    """Pairwise ranking of positives (Rendle et al., BPR, UAI 2009), by `implicit`."""
    return Baseline(
        "bpr", _fit_bpr, [{"factors": 64, "learning_rate": rate} for rate in (0.05, 0.01)]
    )
