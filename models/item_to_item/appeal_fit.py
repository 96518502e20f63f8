"""Appeal from what viewers chose among media drawn from all: a conditional logit (McFadden, 1974).

It asks before anything is retrieved, unlike :mod:`models.examples.choices`: which of all media, so
that what the query finds does not decide what is found.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from models.arrays.stored import ANY, Arrays, taken
from models.arrays.types import Float
from models.item_to_item.appeal import USUAL, Appeal, appeal_columns

#: Draws that a fit needs at least.
MIN_DRAWS: Final = 100
#: How strongly weights are drawn to the usual ones.
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

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All draws that are held, as columns."""
        columns = ("sum", "sum_dk"), ("worth", "worth_dkp")
        return {
            name: np.concatenate([getattr(part, of) for part in self._parts])
            for name, of in columns
            if self._parts
        }

    def load(self, arrays: Arrays) -> None:
        """Hold what :meth:`to_arrays` gave instead.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        self._parts, self._held = [], 0
        if not arrays:
            return
        sum_dk = taken(arrays, "sum", np.float32, ANY, ANY)
        worth_dkp = taken(arrays, "worth", np.float32, *sum_dk.shape, len(USUAL.worth))
        self._parts, self._held = [Draws(sum_dk, worth_dkp)], len(sum_dk)

    def fit(self) -> Appeal:
        """The appeal that they say, the usual one while they are few."""
        return USUAL if len(self) < MIN_DRAWS else fit_appeal(self.newest())


def fit_appeal(draws: Draws) -> Appeal:
    """The weights that say best what was chosen; takes some 0.1 s for thousands of draws."""
    x_dkf = appeal_columns(draws.sum_dk, draws.worth_dkp)
    usual_f = USUAL.weights

    def loss(weight_f: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_share_dk = log_softmax(x_dkf @ weight_f, axis=1)
        expected_df = np.einsum("dk,dkf->df", np.exp(log_share_dk), x_dkf)
        away_f = weight_f - usual_f
        slope_f = (expected_df - x_dkf[:, 0]).mean(axis=0) + 2 * _RIDGE * away_f
        return -log_share_dk[:, 0].mean() + _RIDGE * away_f @ away_f, slope_f

    return Appeal.of_weights(minimize(loss, usual_f, jac=True, method="L-BFGS-B").x)
