"""The gate of the rankers in a learner: candidates beside what was live, and above floors."""

from __future__ import annotations

import math
from typing import Final

from models.evaluation.grid_gate import (
    MIN_SETS,
    PRIOR,
    GridFigures,
    HeldGrids,
    Ndcgs,
    grid_figures,
)
from models.evaluation.ranker_gate import (
    RankerDecision,
    RankerFigures,
    decide_rankers,
    mean_auc,
    ranker_figures,
)
from models.examples.choices import HELD, Choices
from models.examples.examples import Examples
from models.rankers.bundle import RankerBundle
from models.rankers.prior import PriorRankers
from models.rankers.value import Weights
from streams.learning.kept_versions import KeptVersions

_AUC: Final = "auc"
_NDCG: Final = "ndcg"


class RankerJudge:
    """Judges candidates; takes seconds.

    Args:
        margin: AUC that a head may lose.
        weights: of the value that grids are ordered by.
    """

    def __init__(self, margin: float, weights: Weights | None = None) -> None:
        self._margin = margin
        self._weights = weights or Weights()
        self._kept: KeptVersions[RankerBundle] = KeptVersions()

    @property
    def kept(self) -> list[RankerBundle]:
        """The versions that candidates are judged beside, oldest first, the live one last."""
        return list(self._kept.all().values())

    def replace(self, *live: RankerBundle) -> None:
        """Somebody else decided what is live: judge beside these, oldest first, the live one last.

        One that was rolled back from is no example, however good its figures are.
        """
        self._kept.reset({bundle.version: bundle for bundle in live})

    def promoted(self, bundle: RankerBundle) -> None:
        """A candidate went live; the next is judged beside it too."""
        self._kept.add(bundle.version, bundle)

    def judge(self, candidate: RankerBundle, holdout: Examples, choices: Choices) -> RankerDecision:
        """Decide on a candidate.

        Args:
            holdout: exposures that no version has learned from.
            choices: the choices kept; the newest share of them, which nobody learned from, judges.
        """
        figures = {of.version: ranker_figures(of.final, holdout) for of in (*self.kept, candidate)}
        self._kept.measured(_AUC, {name: mean_auc(of) for name, of in figures.items()})
        live = self._kept.newest
        grids = self._grids(candidate, choices)
        return decide_rankers(
            figures[candidate.version],
            None if live is None else figures[live],
            self._margin,
            best=self._best(figures),
            grids=grids,
        )

    def _best(self, figures: dict[str, RankerFigures]) -> RankerFigures | None:
        best = self._kept.best(_AUC)
        return None if best is None or best == self._kept.newest else figures[best]

    def _grids(self, candidate: RankerBundle, choices: Choices) -> GridFigures:
        held = HeldGrids(choices.split(HELD)[1], self._weights)
        if held.sets < MIN_SETS:
            return GridFigures(sets=held.sets, ndcg=None, random=held.of_chance(), beside={})
        ndcgs = {of.version: held.of(of) for of in (*self.kept, candidate)}
        self._kept.measured(_NDCG, {name: _mean(of) for name, of in ndcgs.items()})
        live, best = self._kept.newest, self._kept.best(_NDCG)
        beside: dict[str, Ndcgs] = {}
        if live is not None:
            beside["live"] = ndcgs[live]
        if best is not None and best != live:
            beside["best"] = ndcgs[best]
        beside[PRIOR] = held.of(PriorRankers())
        beside["popularity"] = held.of_popularity()
        return grid_figures(ndcgs[candidate.version], beside, held.of_chance())


def _mean(ndcg_g: Ndcgs) -> float:
    return float(ndcg_g.mean()) if len(ndcg_g) else -math.inf
