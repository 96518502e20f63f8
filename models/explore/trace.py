"""What the funnel did with one viewer's candidates: what a grid is explained by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Positions
from models.explore.grid import Grid
from models.explore.stage import Cut, Scores, Stage
from models.explore.valuation import Scored, see_fewer_likelihood
from models.features.candidates import Candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelRun:
    """What the funnel did with a batch: the arrays that its grids were computed in.

    Attributes:
        candidates, first: what the query found, and what the first pass did with it.
        passed, second: what that left, and what the second pass did with it.
        left, scored: what that left, and what the final pass and the value say of it.
    """

    candidates: Stage
    first: Cut
    passed: Stage
    second: Cut
    left: Stage
    scored: Scored


@dataclass(frozen=True, slots=True)
class Trace:
    """One viewer's way through the funnel: views of the arrays of a run, cut when asked for.

    The suffix ``_n`` is for all candidates, ``_k`` for those that passed the first pass (in its
    order), ``_m`` for those that passed the second (in its order).

    Attributes:
        grid: what is shown.
        run: of the viewer's batch.
        at: which viewer of the batch.
    """

    grid: Grid
    run: FunnelRun
    at: int

    @property
    def _span_n(self) -> slice:
        return self.run.candidates.spans[self.at]

    @property
    def candidates(self) -> Candidates:
        """All candidates that the query found for this viewer."""
        return self.run.candidates.assembly.rows.candidates.take(self._span_n)

    @property
    def author_n(self) -> NDArray[np.int32]:
        """Catalogue row of each candidate's author."""
        return self.run.candidates.assembly.rows.author_n[self._span_n]

    @property
    def see_fewer_n(self) -> Scores:
        """How certain a further see-fewer is by the rule alone, in [0, 1]."""
        return see_fewer_likelihood(self.run.candidates.assembly)[self._span_n]

    @property
    def behind_n(self) -> NDArray[np.bool_]:
        """Whether it comes after all others for that."""
        return self.run.candidates.behind_n[self._span_n]

    @property
    def first_n(self) -> Scores:
        """Scores of the first pass."""
        return self.run.first.score_n[self._span_n]

    @property
    def first_order_n(self) -> Positions:
        """Positions from the first pass's best to its worst."""
        return self.run.first.orders[self.at]

    @property
    def first_k(self) -> Positions:
        """Positions of those that the first pass kept."""
        return self.run.first.kept[self.at]

    @property
    def second_k(self) -> Scores:
        """Scores of the second pass."""
        return self.run.second.score_n[self.run.passed.spans[self.at]]

    @property
    def second_order_k(self) -> Positions:
        """Positions within those kept by the first pass, from the second's best to its worst."""
        return self.run.second.orders[self.at]

    @property
    def second_m(self) -> Positions:
        """Of those that the second pass kept, positions within those kept by the first."""
        return self.run.second.kept[self.at]

    @property
    def kept_m(self) -> Positions:
        """Positions among all candidates of those that passed the second pass."""
        return self.first_k[self.second_m]

    @property
    def scored_m(self) -> Scored:
        """What the final pass and the value say."""
        return self.run.scored.take(self.run.left.spans[self.at])

    @property
    def shown(self) -> Positions:
        """Positions among all candidates of the grid's items, in its order."""
        return self.grid.candidate_rank_n
