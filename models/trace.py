"""What the funnel did with one viewer's candidates: what a grid is explained by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.candidates import Candidates
from models.grid import Grid
from models.judging import Judged

Positions = NDArray[np.int64]
Scores = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One viewer's way through the funnel: views of the arrays that the grid was computed in.

    The suffix ``_n`` is for all candidates, ``_k`` for those that passed the first pass (in its
    order), ``_m`` for those that passed the second (in its order).

    Attributes:
        grid: what is shown.
        candidates: what the query found.
        author_n: author rows.
        likeness_n: likeness to authors of see-fewers.
        behind_n: whether it comes after all others for that likeness.
        first_n: scores of the first pass.
        first_order_n: positions from its best to its worst.
        first_k: positions of those kept.
        second_k: scores of the second pass.
        second_order_k: positions within the kept, from its best to its worst.
        second_m: of those kept by the second pass, positions within those kept by the first.
        judged_m: what the final pass and the value say.
        shown: positions among all candidates of the grid's items, in its order.
    """

    grid: Grid
    candidates: Candidates
    author_n: NDArray[np.int32]
    likeness_n: Scores
    behind_n: NDArray[np.bool_]
    first_n: Scores
    first_order_n: Positions
    first_k: Positions
    second_k: Scores
    second_order_k: Positions
    second_m: Positions
    judged_m: Judged
    shown: Positions

    @property
    def kept_m(self) -> Positions:
        """Positions among all candidates of those that passed the second pass."""
        return self.first_k[self.second_m]
