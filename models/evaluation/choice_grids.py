"""How good the grids of rankers are, on what viewers chose among whole candidate sets.

Each choice is a candidate set as the funnel met it. Its candidates are put in the order of value;
NDCG at the size of a grid says how far in front those stand that the viewer chose. Candidates that
were not chosen are sampled, so a rank counts each as often as it stands for others: an estimate
of the rank among all of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.actions import ACTION_NAMES, HEADS, Action
from models.examples.choices import Choices
from models.feature_schema import DENSE_INDEX
from models.rankers.protocol import Rankers
from models.rankers.value import Weights, value

Scores = NDArray[np.floating]
#: Places of a grid.
SIZE: Final = 25


def value_order(rankers: Rankers, choices: Choices, weights: Weights) -> Scores:
    """The value of each row, (n,), as grids are ordered by."""
    features = choices.features()
    probabilities_nh = rankers.final.score(features)
    return value(rankers.interest.expected(features, probabilities_nh), weights)


def popularity_order(choices: Choices) -> Scores:
    """The decayed popularity of each row, (n,): what any ranker has to beat."""
    worth_n = np.zeros(len(choices.dense_nf))
    for action in Action:
        column = DENSE_INDEX[f"media_{ACTION_NAMES[action]}s"]
        counted_n = np.expm1(3.0 * choices.dense_nf[:, column].astype(np.float64))
        worth_n += action.row.popularity * counted_n
    return worth_n


def chosen(choices: Choices, weights: Weights) -> NDArray[np.bool_]:
    """Rows that a grid should hold: chosen by an action of worth; any, where there is none such."""
    worth_h = weights.worth_h() * np.array([head.row.polarity for head in HEADS])
    wanted_n = np.asarray(choices.labels_nh[:, worth_h > 0].any(axis=1), np.bool_)
    positive = [h for h, head in enumerate(HEADS) if head.row.polarity > 0]
    any_n = np.asarray(choices.labels_nh[:, positive].any(axis=1), np.bool_)
    return wanted_n if wanted_n.any() else any_n


def grid_ndcg(choices: Choices, score_n: Scores, chosen_n: NDArray[np.bool_]) -> Scores:
    """NDCG at :data:`SIZE` of each set in which something was chosen, (g,).

    Of equal scores what was chosen comes last, and so does what is no number: rankers that cannot
    tell get nothing for it.
    """
    score_n = np.nan_to_num(score_n, nan=-np.inf)
    order = np.lexsort((chosen_n, -score_n, choices.groups_n))
    groups_n, chosen_n = choices.groups_n[order], chosen_n[order]
    weights_n = choices.weights_n[order].astype(np.float64)
    begin_n = np.searchsorted(groups_n, groups_n)
    before_n = np.append(0.0, weights_n.cumsum())
    rank_n = before_n[:-1] - before_n[begin_n]
    gain_n = np.where(chosen_n & (rank_n < SIZE), 1.0 / np.log2(rank_n + 2.0), 0.0)
    groups, at_n = np.unique(groups_n, return_inverse=True)
    count_g = np.bincount(at_n, chosen_n, minlength=len(groups)).astype(np.int64)
    ideal_k = np.append(0.0, (1.0 / np.log2(np.arange(SIZE) + 2.0)).cumsum())
    there = count_g > 0
    gained_g = np.bincount(at_n, gain_n, minlength=len(groups))
    ndcg_g: Scores = gained_g[there] / ideal_k[np.minimum(count_g[there], SIZE)]
    return ndcg_g
