"""Logistic regression with a Gaussian prior, and Platt scaling as its smallest case.

A head's calibrated log-odds are ``slope · logit + shift``. Both are fitted on rows the network
did not see, by maximum a posteriori with priors slope ~ N(1, 0.3²) and shift ~ N(0, 0.5²). With
thousands of positives the priors vanish (Platt 1999); with a handful, as for see fewer, the
network's own probabilities stand and no head can explode or flip its order.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SLOPE_DEVIATION: Final = 0.3
SHIFT_DEVIATION: Final = 0.5
#: A head whose order looks reversed on the holdout is noise: it is flattened, not flipped.
MIN_SLOPE: Final = 0.1

_STEPS: Final = 50
_TOLERANCE: Final = 1e-9

Vector = NDArray[np.floating[Any]]


def platt(logits_n: Vector, labels_n: Vector, weights_n: Vector) -> tuple[float, float]:
    """Slope and shift that calibrate `logits_n`; (1, 0) where there are no rows."""
    slope, shift = _fit(
        logits_n[:, None],
        labels_n,
        weights_n,
        mean_f=np.array([1.0, 0.0]),
        precision_f=np.array([SLOPE_DEVIATION**-2, SHIFT_DEVIATION**-2]),
    )
    return max(float(slope), MIN_SLOPE), float(shift)


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
