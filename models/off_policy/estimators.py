"""Estimates of the mean reward of a row under another way to make grids, with their intervals.

Each is a mean over rows of something that can be computed from one row, so its error follows from
how that varies between grids (for the self-normalised one to first order: the delta method).

* IPS: ``w · r`` (Horvitz and Thompson, 1952): unbiased where every chance is right.
* Self-normalised: ``Σ w · r / Σ w`` (Swaminathan and Joachims, NIPS 2015): a little biased, calmer.
* Doubly robust: ``q_target + w · (r − q)`` (Dudík, Langford and Li, ICML 2011): right where either
  the chances or the model are.
* Shrunken: the model's prediction and only that part of the doubly robust correction that its own
  error does not explain: ``direct + c · max(0, 1 − s²/c²)`` for a correction c with standard error
  s (James and Stein, 1961, the positive part). Few rows make corrections that are mostly noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from scipy.stats import t as student_t

from models.off_policy.logged import Floats, Logged

#: How sure intervals are.
CONFIDENCE: Final = 0.95


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """One estimate.

    Attributes:
        value: mean reward of a row.
        low, high: where it lies with 95 % confidence.
        effective: rows that would tell as much if each were drawn from what is judged (Kish, 1965).
        grids: independent units that the interval is of.
    """

    value: float
    low: float
    high: float
    effective: float
    grids: int

    def holds(self, value: float) -> bool:
        """Whether a value lies within the interval."""
        return self.low <= value <= self.high


def ips(logged: Logged) -> Estimate:
    """Inverse propensity scoring: the mean of weight times reward."""
    return _estimate(logged, logged.weight_n * logged.reward_n)


def self_normalised(logged: Logged) -> Estimate:
    """Inverse propensity scoring over the sum of the weights."""
    weight_n = logged.weight_n
    total = weight_n.sum()
    value = float((weight_n * logged.reward_n).sum() / total) if total else float("nan")
    # What a row adds to the error, to first order.
    shift_n = weight_n * (logged.reward_n - value) * (len(logged) / total if total else np.nan)
    return _estimate(logged, shift_n, around=value)


def doubly_robust(logged: Logged) -> Estimate:
    """A model's predictions, corrected by what it was wrong about."""
    surprise_n = logged.reward_n - logged.predicted_n
    return _estimate(logged, logged.expected_n + logged.weight_n * surprise_n)


def shrunken(logged: Logged) -> Estimate:
    """The model's prediction, corrected as far as the log can tell; the interval is unshrunken.

    The value is never further than one standard error from the doubly robust one, whose interval it
    has: shrinking makes the value better on average, and no interval narrower.
    """
    whole = doubly_robust(logged)
    plain = direct(logged).value
    surprise_n = logged.weight_n * (logged.reward_n - logged.predicted_n)
    correction, error = float(surprise_n.mean()), _standard_error(logged, surprise_n)
    kept = max(0.0, 1.0 - (error / correction) ** 2) if correction else 0.0
    return msgspec.structs.replace(whole, value=plain + kept * correction)


def direct(logged: Logged) -> Estimate:
    """A model's predictions alone; its interval knows nothing of what the model gets wrong."""
    return _estimate(logged, logged.expected_n)


#: By name, the most careful first.
ESTIMATORS: Final[dict[str, Callable[[Logged], Estimate]]] = {
    "shrunken": shrunken,
    "doubly_robust": doubly_robust,
    "self_normalised": self_normalised,
    "ips": ips,
    "direct": direct,
}


def effective_rows(weight_n: Floats) -> float:
    """Rows of equal weight that tell as much: (Σ w)² / Σ w²."""
    squares = float((weight_n**2).sum())
    return float(weight_n.sum()) ** 2 / squares if squares else 0.0


def _estimate(logged: Logged, score_n: Floats, around: float | None = None) -> Estimate:
    """The mean of the scores; with `around` the scores are errors, and that is the value."""
    value = float(score_n.mean()) if around is None else around
    grids = logged.grids
    spread = _standard_error(logged, score_n - (value if around is None else 0.0))
    reach = spread * float(student_t.ppf(0.5 + CONFIDENCE / 2.0, max(grids - 1, 1)))
    return Estimate(
        value=value,
        low=value - reach,
        high=value + reach,
        effective=effective_rows(logged.weight_n),
        grids=grids,
    )


def _standard_error(logged: Logged, error_n: Floats) -> float:
    """Of the mean of the errors, where grids are independent; as of a ratio, sizes may differ."""
    at_n = np.unique(logged.grid_n, return_inverse=True)[1]
    total_g = np.bincount(at_n, error_n - (error_n.mean() if len(error_n) else 0.0))
    grids = len(total_g)
    return float(np.sqrt((total_g**2).sum() * grids / max(grids - 1, 1)) / len(logged))
