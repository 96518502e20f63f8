"""A model of rewards for doubly robust estimates: least squares on other grids than it is for."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.off_policy.logged import Floats

FOLDS: Final = 3
RIDGE: Final = 1e-3


def cross_fitted(
    features_nf: Floats,
    reward_n: Floats,
    grid_n: NDArray[np.integer[Any]],
    ridge: float = RIDGE,
) -> list[tuple[NDArray[np.bool_], Floats]]:
    """Weights fitted on some grids for the rows of the others.

    Args:
        features_nf: what rewards are explained by; a column of ones is not added.
        reward_n: or several, (n, h): the weights are (f, h) then.
        ridge: draws the weights to 0.

    Returns:
        Of each fold which rows it is for, and its weights_f.
    """
    fold_n = np.unique(grid_n, return_inverse=True)[1] % FOLDS
    found = []
    for fold in range(FOLDS):
        held_n = fold_n == fold
        x_nf, y_n = features_nf[~held_n], reward_n[~held_n]
        gram_ff = x_nf.T @ x_nf + ridge * np.eye(features_nf.shape[1])
        found.append((held_n, np.linalg.solve(gram_ff, x_nf.T @ y_n)))
    return found
