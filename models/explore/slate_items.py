"""Media that grids are made of, with all that a grid tells of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Positions
from models.explore.slate import Slate
from models.explore.stage import Cut, Scores, Stage
from models.explore.valuation import Scored


@dataclass(frozen=True, slots=True, kw_only=True)
class SlateItems:
    """Media of a batch of viewers: those that the passes left, and the tickets beside them.

    Attributes:
        rows_n: positions among all candidates of the batch.
        scored: what the final pass says.
        first_rank_n: among those that passed the first pass; all candidates are before one drawn.
        second_score_n, second_rank_n: of the second pass, ranks likewise.
        propensity_n: probability with which each is shown.
    """

    rows_n: Positions
    scored: Scored
    first_rank_n: Positions
    second_score_n: Scores
    second_rank_n: Positions
    propensity_n: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        left: Stage,
        second: Cut,
        scored: Scored,
        slates: Sequence[Slate],
        sizes_v: NDArray[np.integer],
    ) -> SlateItems:
        """What the passes left, each shown with probability 1, and the tickets.

        A ticket is in rank behind all candidates of its viewer, `sizes_v` of them: it has its
        place, whatever the passes think of it.
        """
        n = len(left.rows_n)
        first_rank_n, second_rank_n = np.empty((2, n), np.int64)
        propensity_n = np.ones(n)
        for at, (kept, m, tickets) in enumerate(
            zip(second.kept, left.spans, left.tickets, strict=True)
        ):
            first_rank_n[m], second_rank_n[m] = kept, np.arange(len(kept))
            first_rank_n[tickets] = second_rank_n[tickets] = sizes_v[at]
            if (drawn := slates[at].drawn) is not None:
                propensity_n[drawn.tickets + tickets.start] = drawn.propensity_n
        return cls(
            rows_n=left.rows_n,
            scored=scored,
            first_rank_n=first_rank_n,
            second_score_n=second.score_n[left.from_n],
            second_rank_n=second_rank_n,
            propensity_n=propensity_n,
        )

    def take(self, rows: Positions) -> SlateItems:
        """These rows, in this order."""
        return SlateItems(
            rows_n=self.rows_n[rows],
            scored=self.scored.take(rows),
            first_rank_n=self.first_rank_n[rows],
            second_score_n=self.second_score_n[rows],
            second_rank_n=self.second_rank_n[rows],
            propensity_n=self.propensity_n[rows],
        )
