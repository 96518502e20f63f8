"""What the funnel did with one viewer's candidates: a grid is cut from it, and explained by it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.candidates import Candidates
from models.features import FeatureMatrix
from models.grid import Grid

Positions = NDArray[np.int64]
Scores = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One viewer's way through the funnel; arrays are views of those it was computed in.

    The suffix ``_n`` is for all candidates, ``_k`` for those that passed the first pass (in its
    order), ``_m`` for those that passed the second (in its order).

    Attributes:
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
        features: of those kept by the second pass, all columns.
        probabilities_m3: like, save, see_fewer.
        plain_m: value of the probabilities.
        value_m: value with the likeness to see-fewers taken into account.
        order_m: positions within those kept by the second pass, after diversity.
        shown: the positions among these that the grid shows, in order.
    """

    viewer_id: str
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
    features: FeatureMatrix
    probabilities_m3: Scores
    plain_m: NDArray[np.float64]
    value_m: NDArray[np.float64]
    order_m: Positions
    shown: Positions
    generated_at_ms: int
    reflects_ts: int
    dropped: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def kept_m(self) -> Positions:
        """Positions among all candidates of those that passed the second pass."""
        return self.first_k[self.second_m]

    def grid(self) -> Grid:
        """The items shown."""
        shown = self.shown
        rows = self.kept_m[shown]
        return Grid(
            viewer_id=self.viewer_id,
            candidates=self.candidates.take(rows),
            features=self.features.take(shown),
            author_n=self.author_n[rows],
            candidate_rank_n=rows,
            first_score_n=self.first_n[rows],
            first_rank_n=self.second_m[shown],
            second_score_n=self.second_k[self.second_m[shown]],
            second_rank_n=shown,
            probabilities_n3=self.probabilities_m3[shown],
            value_n=self.value_m[shown],
            penalty_n=(self.plain_m - self.value_m)[shown],
            candidate_count=len(self.candidates),
            generated_at_ms=self.generated_at_ms,
            reflects_ts=self.reflects_ts,
            dropped=self.dropped,
            versions=self.versions,
        )
