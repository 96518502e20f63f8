"""Whether the grids of new rankers are as good as they were, and better than none at all.

Grids are judged on choices that nobody learned from (:mod:`models.evaluation.choice_grids`): each
is a whole candidate set, in which NDCG says how far in front stands what the viewer chose. New
rankers are refused if on the same sets theirs is worse, by more than a standard error of the mean
paired difference, than that of the live rankers, of the best of those that were live lately, of
the prior (by more than a fiftieth is too much there, however few the sets) or of popularity; or if
it is not above what a random order would have. Why these:
``docs/decisions/0027-gate-with-a-floor.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.evaluation.choice_grids import (
    SIZE,
    chosen,
    grid_ndcg,
    popularity_order,
    value_order,
)
from models.examples.choices import Choices
from models.rankers.protocol import Rankers
from models.rankers.value import Weights

Ndcgs = NDArray[np.floating]
#: Name of the prior's grids among :attr:`GridFigures.beside`.
PRIOR: Final = "prior"
#: Candidate sets in which something was chosen, with which NDCG means something.
MIN_SETS: Final = 30
#: Share of the prior's NDCG that may be lost to it. A standard error alone would let much of it go
#: where there are few sets; nothing at all would refuse new probabilities for the same order.
AS_GOOD: Final = 0.02
#: Differences that only rounding makes.
_TINY: Final = 1e-9


class GridsBeside(msgspec.Struct, frozen=True, kw_only=True):
    """Other grids on the same candidate sets.

    Attributes:
        ndcg: their mean.
        gain: mean over the sets of what the candidate has more.
        error: standard error of `gain`.
    """

    ndcg: float
    gain: float
    error: float


class GridFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Grids of a candidate on choices held out, and of what it must not be worse than.

    Attributes:
        sets: candidate sets in which something was chosen.
        ndcg: mean NDCG at the size of a grid, None where there are too few sets to tell.
        random: what a random order of the same candidates would have.
        beside: name → the grids of others, ``live``, ``best``, ``prior`` and ``popularity``.
    """

    sets: int
    ndcg: float | None
    random: float
    beside: dict[str, GridsBeside]


class HeldGrids:
    """Choices held out, on which grids of rankers are measured one after the other.

    Args:
        choices: that no rankers have learned from.
        weights: of the value.
    """

    def __init__(self, choices: Choices, weights: Weights) -> None:
        self._choices, self._weights = choices, weights
        self._chosen_n = chosen(choices, weights)
        self._tie_n = np.random.default_rng(7).random(len(self._chosen_n))

    @property
    def sets(self) -> int:
        """Candidate sets in which something was chosen."""
        return len(np.unique(self._choices.groups_n[self._chosen_n]))

    def of(self, rankers: Rankers) -> Ndcgs:
        """NDCG of the grids of rankers, one each set, (g,)."""
        return self._ndcg(value_order(rankers, self._choices, self._weights))

    def of_popularity(self) -> Ndcgs:
        """NDCG of grids of what is popular, one each set, (g,)."""
        return self._ndcg(popularity_order(self._choices))

    def _ndcg(self, score_n: NDArray[np.floating]) -> Ndcgs:
        # Equal scores are put in an order that knows nothing: whoever gives all the same score
        # must not have it for what the sampling of candidates tells of them.
        order_n = np.lexsort((self._tie_n, score_n))
        place_n = np.empty(len(order_n))
        place_n[order_n] = np.arange(len(order_n))
        return grid_ndcg(self._choices, place_n, self._chosen_n)

    def of_chance(self) -> float:
        """Mean NDCG expected of a random order of the candidates, 0 to 1."""
        _, at_n = np.unique(self._choices.groups_n, return_inverse=True)
        size_g = np.bincount(at_n, self._choices.weights_n)
        chosen_g = np.bincount(at_n, self._chosen_n)
        there = chosen_g > 0
        if not there.any():
            return 0.0
        gained_k = np.append(0.0, (1.0 / np.log2(np.arange(SIZE) + 2.0)).cumsum())
        places_g = np.minimum(np.rint(size_g[there]), SIZE).astype(np.int64)
        ideal_g = gained_k[np.minimum(chosen_g[there], SIZE).astype(np.int64)]
        return float((chosen_g[there] / size_g[there] * gained_k[places_g] / ideal_g).mean())


def grid_figures(candidate: Ndcgs, beside: Mapping[str, Ndcgs], random: float) -> GridFigures:
    """Put grids beside each other.

    Args:
        candidate: NDCG of the candidate's grids, (g,).
        beside: name → NDCG of others on the same sets, (g,).
        random: NDCG expected of a random order.
    """
    sets = len(candidate)
    if sets < MIN_SETS:
        return GridFigures(sets=sets, ndcg=None, random=random, beside={})
    found = {}
    for name, other in beside.items():
        gain_g = candidate - other
        found[name] = GridsBeside(
            ndcg=float(other.mean()),
            gain=float(gain_g.mean()),
            error=float(gain_g.std(ddof=1) / math.sqrt(sets)),
        )
    return GridFigures(sets=sets, ndcg=float(candidate.mean()), random=random, beside=found)


def grid_faults(figures: GridFigures) -> list[str]:
    """What speaks against the candidate, by how much; nothing where it could not be measured."""
    ndcg = figures.ndcg
    if ndcg is None:
        return []
    faults = []
    if not ndcg > figures.random:
        faults.append(
            f"grid NDCG {ndcg:.4f} against {figures.random:.4f} of a random order "
            f"({ndcg - figures.random:+.4f}) is not above it"
        )
    for name, other in figures.beside.items():
        allowed, what = other.error, "its standard error"
        if name == PRIOR and other.ndcg * AS_GOOD < allowed:
            allowed, what = other.ndcg * AS_GOOD, f"{AS_GOOD:.0%} of it,"
        if not other.gain >= -allowed - _TINY:
            faults.append(
                f"grid NDCG {ndcg:.4f} against {other.ndcg:.4f} of {_CALLED.get(name, name)} loses "
                f"{-other.gain:.4f}, more than {what} {allowed:.4f}"
            )
    return faults


def grid_text(figures: GridFigures) -> str:
    """The figures in words, for who reads why a version went live."""
    if figures.ndcg is None:
        return f"grids not measured: {figures.sets} choices held out, {MIN_SETS} are needed"
    others = ", ".join(f"{of.ndcg:.4f} {name}" for name, of in figures.beside.items())
    return f"grid NDCG {figures.ndcg:.4f} against {others or f'{figures.random:.4f} random'}"


_CALLED: Final = {
    "live": "the live version",
    "best": "the best of the last versions",
    PRIOR: "the prior",
}
