"""Logged decisions: what was shown with which chance, what came of it, and what others would do.

A row is one item at one position of one grid. That a row's reward depends on its item and position
alone, not on the rest of the grid, is the item-position model (Li et al., "Offline evaluation of
ranking policies with click models", KDD 2018). It is what makes grids estimable at all: whole
grids agree with one another never, single places often.

Errors::

    ValueError
    └── LoggedError   the columns cannot be what was logged
"""

from __future__ import annotations

from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class LoggedError(ValueError):
    """Columns that cannot be what was logged; names the column and what is wrong with it."""


class Logged(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Rows of grids, n of them.

    Attributes:
        grid_n: which grid each belongs to; intervals take grids, not rows, for independent.
        reward_n: what came of it, 0 where nobody looked.
        chance_n: the chance that this item was at this position when it was logged, above 0.
        target_n: the chance that it is there under what is to be judged, 0 for never.
        predicted_n: reward that a model predicts of the row. Zeros where there is no model.
        expected_n: reward that it predicts at the row's position under what is to be judged.
    """

    grid_n: NDArray[np.integer[Any]]
    reward_n: Floats
    chance_n: Floats
    target_n: Floats
    predicted_n: Floats
    expected_n: Floats

    def __post_init__(self) -> None:
        rows = len(self.grid_n)
        for name in self.__struct_fields__:
            column = getattr(self, name)
            if column.shape != (rows,):
                raise LoggedError(f"{name} has the shape {column.shape}; expected ({rows},)")
            if not np.isfinite(column).all():
                raise LoggedError(f"{name} has a value that is not finite; leave such rows out")
        if rows and not (self.chance_n.min() > 0.0 and self.chance_n.max() <= 1.0):
            raise LoggedError(
                f"chance_n is from {self.chance_n.min()} to {self.chance_n.max()}; give chances "
                "above 0 and at most 1: of what had none nothing was logged"
            )
        if rows and not (self.target_n.min() >= 0.0 and self.target_n.max() <= 1.0):
            raise LoggedError(
                f"target_n is from {self.target_n.min()} to {self.target_n.max()}; "
                "give chances from 0 to 1"
            )

    def __len__(self) -> int:
        return len(self.grid_n)

    @property
    def weight_n(self) -> Floats:
        """How much more often a row would come under what is to be judged."""
        weight_n: Floats = self.target_n / self.chance_n
        return weight_n

    @property
    def grids(self) -> int:
        """Grids that the rows are of."""
        return len(np.unique(self.grid_n))

    @classmethod
    def of(
        cls,
        grid_n: NDArray[np.integer[Any]],
        reward_n: NDArray[Any],
        chance_n: Floats,
        target_n: Floats,
        predicted_n: Floats | None = None,
        expected_n: Floats | None = None,
    ) -> Self:
        """Rows with or without predictions.

        Raises:
            LoggedError: a column has another length, is not finite, or holds no chances.
        """
        none_n = np.zeros(len(grid_n))
        return cls(
            grid_n=grid_n,
            reward_n=np.asarray(reward_n, np.float64),
            chance_n=np.asarray(chance_n, np.float64),
            target_n=np.asarray(target_n, np.float64),
            predicted_n=none_n if predicted_n is None else predicted_n,
            expected_n=none_n if expected_n is None else expected_n,
        )
