"""Which weights of a blend find most of what viewers engaged with next.

The branches of the blend are run once. Whatever their weights, they bring the same media, so a
trial only blends them anew. Weights are whole hundredths, none of them 0: a branch that is never
asked would never show that it has become of use.

Needs the extra ``evaluate``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import optuna
from numpy.typing import NDArray

from models.evaluation.grid_metrics import Lists
from models.igql.blending import blend
from models.igql.sets import ColumnSet, places

#: Weights are of so many parts of the whole.
PARTS: Final = 100
Weights = tuple[float, ...]


class BranchRows:
    """What the branches of a blend brought for viewers.

    Args:
        parts: rows of each branch, viewers as numbers from 0 on.
        viewers: how many there are.
        most: media of a viewer that the blend gives.

    Attributes:
        brings_b: whether each branch brought anything.
    """

    def __init__(self, parts: Sequence[ColumnSet], viewers: int, most: int) -> None:
        self._parts, self._viewers, self._most = parts, viewers, most
        self.brings_b = np.array([len(part) > 0 for part in parts], np.bool_)

    def lists(self, weights: Sequence[float]) -> Lists:
        """Media that the blend gives with these weights, lists_vk, filled up with −1."""
        rows = blend(self._viewers, self._parts, weights, self._most)
        lists_vk = np.full((self._viewers, self._most), -1, np.int32)
        lists_vk[rows.viewer_n, places(rows.viewer_n)] = rows.row_n
        return lists_vk


def hundredths(weights: Sequence[float] | NDArray[np.floating]) -> Weights:
    """Weights in proportion to these that are whole hundredths, at least one, and sum to 1."""
    part_b = np.array(weights, np.float64)
    whole_b = np.maximum(np.rint(PARTS * part_b / part_b.sum()), 1).astype(np.int64)
    # What rounding leaves too much or too little, the heaviest branches take.
    while (left := PARTS - int(whole_b.sum())) and (left > 0 or whole_b.max() > 1):
        whole_b[whole_b.argmax()] += np.sign(left)
    return tuple(round(part / PARTS, 2) for part in whole_b.tolist())


def search_weights(
    start: Sequence[float],
    free_b: NDArray[np.bool_],
    score: Callable[[Weights], float],
    trials: int,
    seed: int,
    tell: Callable[[int, int], None],
) -> Weights:
    """The weights with the highest score among those tried.

    A tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011) by ``optuna``.

    Args:
        start: tried first; taken where nothing scores higher. They sum to 1.
        free_b: branches whose weights are searched; the others keep theirs.
        score: of weights, higher is better.
        tell: called with the number of trials done, and of how many.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    known: dict[Weights, float] = {}
    start_b = np.array(start, np.float64)
    share = start_b[free_b].sum()
    names = [f"branch_{b}" for b in np.flatnonzero(free_b)]

    def objective(trial: optuna.Trial) -> float:
        lowest, weight_b = 1 / PARTS, start_b.copy()
        tried_f = np.array([trial.suggest_float(name, lowest, 1.0, log=True) for name in names])
        weight_b[free_b] = share * tried_f / tried_f.sum()
        weights = hundredths(weight_b)
        if weights not in known:
            known[weights] = score(weights)
        tell(trial.number + 1, trials)
        return known[weights]

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=30)
    )
    first_f = np.maximum(start_b[free_b] / share, 1 / PARTS)
    study.enqueue_trial(dict(zip(names, first_f.tolist(), strict=True)))
    study.optimize(objective, n_trials=trials)
    return max(known, key=lambda weights: known[weights])
