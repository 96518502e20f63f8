"""Powers of lift from what viewers chose among media drawn from all.

A conditional logit (McFadden, 1974) weighs both reasons to choose a media,

    log-odds = likeness · log(weights summed) + Σ popularity · log(worth),

and among media that have likeness its order is that of summed weights × lift.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from models.arrays.types import Float
from models.item_to_item.lift import USUAL, Lift, log_worth

#: Draws that a fit needs at least.
MIN_DRAWS: Final = 100
#: Added to summed weights before their logarithm.
_SUM_FLOOR: Final = 1e-3
#: Powers are held within these: a log may say nothing of likeness.
_LEAST_LIKENESS: Final = 0.1
_LOWEST, _HIGHEST = -2.0, 3.0
_RIDGE: Final = 1e-3


class Draws(msgspec.Struct, frozen=True, eq=False):
    """Media that viewers chose, each beside others drawn from all that have weights.

    Attributes:
        sum_dk: summed weights from the viewer's history; the first column is what was chosen.
        worth_dkp: worth of each, one number for each time that it is told over.
    """

    sum_dk: Float
    worth_dkp: Float

    def __len__(self) -> int:
        return len(self.sum_dk)


class DrawLog:
    """The newest draws.

    Args:
        most: kept at least, once there were so many; up to twice as many are held.
    """

    def __init__(self, most: int = 4_000) -> None:
        self._most = most
        self._parts: list[Draws] = []
        self._held = 0

    def __len__(self) -> int:
        return self._held

    def add(self, draws: Draws) -> None:
        """Append draws, newer than those before."""
        self._parts.append(draws)
        self._held += len(draws)
        if self._held > 2 * self._most:
            self._parts, self._held = [self.newest()], self._most

    def newest(self) -> Draws:
        """The newest draws, at most so many as are kept; there is one at least."""
        sums = np.concatenate([part.sum_dk for part in self._parts])
        worths = np.concatenate([part.worth_dkp for part in self._parts])
        return Draws(sums[-self._most :], worths[-self._most :])

    def fit(self) -> Lift:
        """The lift that they say, the usual one while they are few."""
        return USUAL if len(self) < MIN_DRAWS else fit_lift(self.newest())


def fit_lift(draws: Draws) -> Lift:
    """The powers that say best what was chosen; takes some 0.1 s for thousands of draws."""
    x_dkf = _columns(draws)

    def loss(weight_f: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_share_dk = log_softmax(x_dkf @ weight_f, axis=1)
        expected_df = np.einsum("dk,dkf->df", np.exp(log_share_dk), x_dkf)
        slope_f = (expected_df - x_dkf[:, 0]).mean(axis=0) + 2 * _RIDGE * weight_f
        return -log_share_dk[:, 0].mean() + _RIDGE * weight_f @ weight_f, slope_f

    found = minimize(loss, np.zeros(x_dkf.shape[2]), jac=True, method="L-BFGS-B")
    likeness, powers_p = found.x[0], found.x[2:]
    powers_p = np.clip(powers_p / max(likeness, _LEAST_LIKENESS), _LOWEST, _HIGHEST)
    return Lift(tuple(powers_p.tolist()))


def _columns(draws: Draws) -> NDArray[np.float64]:
    """Log of likeness, whether there is none, log of each worth."""
    sum_dk1 = draws.sum_dk.astype(np.float64)[..., None]
    return np.concatenate(
        [np.log(sum_dk1 + _SUM_FLOOR), sum_dk1 == 0, log_worth(draws.worth_dkp)], axis=2
    )
