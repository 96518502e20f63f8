"""Logistic regression with a Gaussian prior: calibration of heads, and where they begin.

A head's calibrated log-odds are ``slope · logit + weights · features + shift``, fitted on rows the
network did not see, by maximum a posteriori with priors slope ~ N(1, 0.3²), shift ~ N(0, 0.5²) and
weights ~ N(0, 0.05²). Without the features it is Platt's scaling (1999). They are there because a
network that sees each row once, in small steps, is slow to follow what a regression on the newest
rows sees at once; it is the slower the fewer rows there are (``docs/decisions/0023``). With
thousands of positives the priors of slope and shift vanish; with a handful, as for see fewer, the
network's own probabilities stand and no head can explode or flip its order.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

SLOPE_DEVIATION: Final = 0.3
SHIFT_DEVIATION: Final = 0.5
WEIGHT_DEVIATION: Final = 0.05
#: Positives from which on a head is worth a regression on all features.
MIN_POSITIVES: Final = 50
#: A head whose order looks reversed on the holdout is noise: it is flattened, not flipped.
MIN_SLOPE: Final = 0.1

_STEPS: Final = 50
_TOLERANCE: Final = 1e-9

Vector = NDArray[np.floating[Any]]


class Calibration(NamedTuple):
    """What makes calibrated log-odds of a head's own.

    Attributes:
        slope, shift: of its log-odds.
        weights_f: of the standardised features beside them.
    """

    slope: float
    shift: float
    weights_f: NDArray[np.float32]

    @classmethod
    def none(cls, features: int) -> Calibration:
        """One that leaves the head's own log-odds as they are."""
        return cls(1.0, 0.0, np.zeros(features, np.float32))


def calibrate(logits_n: Vector, x_nf: Vector, labels_n: Vector, weights_n: Vector) -> Calibration:
    """What calibrates `logits_n`; :meth:`Calibration.none` where there are no rows.

    Args:
        x_nf: standardised features. A head with few positives is calibrated without them.
    """
    features = x_nf.shape[1]
    used_nf = x_nf if labels_n.sum() >= MIN_POSITIVES else x_nf[:, :0]
    deviation_f = np.full(used_nf.shape[1] + 2, WEIGHT_DEVIATION)
    deviation_f[0], deviation_f[-1] = SLOPE_DEVIATION, SHIFT_DEVIATION
    slope, *weights, shift = _fit(
        np.concatenate((logits_n[:, None], used_nf), axis=1),
        labels_n,
        weights_n,
        mean_f=np.eye(len(deviation_f))[0],
        precision_f=deviation_f**-2,
    )
    calibration = Calibration.none(features)
    calibration.weights_f[: len(weights)] = weights
    return calibration._replace(slope=max(float(slope), MIN_SLOPE), shift=float(shift))


def logistic(
    x_nf: Vector, labels_n: Vector, weights_n: Vector, tolerance: float = _TOLERANCE
) -> NDArray[np.float64]:
    """Ridge logistic regression: one weight for each standardised column, then the intercept.

    Args:
        tolerance: relative gain of a step that ends the fit.
    """
    precision_f = np.ones(x_nf.shape[1] + 1)
    precision_f[-1] = 1e-6
    return _fit(
        x_nf,
        labels_n,
        weights_n,
        mean_f=np.zeros(x_nf.shape[1] + 1),
        precision_f=precision_f,
        tolerance=tolerance,
    )


def _fit(
    x_nf: Vector,
    labels_n: Vector,
    weights_n: Vector,
    *,
    mean_f: NDArray[np.float64],
    precision_f: NDArray[np.float64],
    tolerance: float = _TOLERANCE,
) -> NDArray[np.float64]:
    """Maximum a posteriori by Newton steps that always descend; the last weight is the bias."""
    design_nf = np.concatenate((x_nf, np.ones((len(x_nf), 1))), axis=1, dtype=np.float64)
    y_n, w_n = labels_n.astype(np.float64), weights_n.astype(np.float64)

    def objective(at_f: NDArray[np.float64]) -> float:
        z_n = design_nf @ at_f
        likelihood = (w_n * (np.logaddexp(0.0, z_n) - y_n * z_n)).sum()
        return float(likelihood + (precision_f * (at_f - mean_f) ** 2).sum() / 2)

    weights_f = mean_f
    value = objective(weights_f)
    for _ in range(_STEPS):
        p_n = 1.0 / (1.0 + np.exp(-np.clip(design_nf @ weights_f, -30.0, 30.0)))
        gradient_f = design_nf.T @ (w_n * (p_n - y_n)) + precision_f * (weights_f - mean_f)
        curvature_n = w_n * p_n * (1.0 - p_n)
        hessian_ff = (design_nf * curvature_n[:, None]).T @ design_nf + np.diag(precision_f)
        step_f = np.linalg.solve(hessian_ff, gradient_f)
        # Newton overshoots where the curvature vanishes: halve until it descends.
        size = 1.0
        while size > 1e-6 and objective(weights_f - size * step_f) > value:
            size /= 2
        weights_f = weights_f - size * step_f
        before, value = value, objective(weights_f)
        if before - value < tolerance * max(abs(before), 1.0):
            break
    return weights_f
