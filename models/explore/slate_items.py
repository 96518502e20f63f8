"""Media that grids are made of, with all that a grid tells of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import NO_POSITIONS, Positions
from models.explore.slate import Slate
from models.explore.stage import Cut, Scores, Stage
from models.explore.valuation import Scored


@dataclass(frozen=True, slots=True, kw_only=True)
class SlateItems:
    """Media of a batch of viewers: those that the passes left, and those drawn beside them.

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
    def of(cls, left: Stage, second: Cut, scored: Scored) -> SlateItems:
        """The items that the passes left, each shown with probability 1."""
        return cls(
            rows_n=left.rows_n,
            scored=scored,
            first_rank_n=np.concatenate([NO_POSITIONS, *second.kept]),
            second_score_n=second.score_n[left.from_n],
            second_rank_n=np.concatenate([NO_POSITIONS, *(np.arange(len(k)) for k in second.kept)]),
            propensity_n=np.ones(len(left.rows_n)),
        )

    @classmethod
    def drawn(
        cls,
        drawn: Stage,
        second_score_n: Scores,
        scored: Scored,
        slates: Sequence[Slate],
        sizes_v: NDArray[np.integer],
    ) -> SlateItems:
        """What was drawn, in rank behind all of its viewer's candidates, `sizes_v` of each."""
        rank_n = np.repeat(sizes_v, [len(one.drawn_rows) for one in slates])
        propensity = (one.drawn.propensity_n for one in slates if one.drawn is not None)
        return cls(
            rows_n=drawn.rows_n,
            scored=scored,
            first_rank_n=rank_n,
            second_score_n=second_score_n,
            second_rank_n=rank_n,
            propensity_n=np.concatenate([np.empty(0), *propensity]),
        )

    def append(self, more: SlateItems) -> SlateItems:
        """These, then those of `more`."""
        return SlateItems(
            rows_n=np.concatenate((self.rows_n, more.rows_n)),
            scored=self.scored.append(more.scored),
            first_rank_n=np.concatenate((self.first_rank_n, more.first_rank_n)),
            second_score_n=np.concatenate((self.second_score_n, more.second_score_n)),
            second_rank_n=np.concatenate((self.second_rank_n, more.second_rank_n)),
            propensity_n=np.concatenate((self.propensity_n, more.propensity_n)),
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
