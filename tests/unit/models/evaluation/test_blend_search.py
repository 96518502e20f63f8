"""The search finds the branch that brings what was wanted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.evaluation.blend_search import BranchRows, Weights, hundredths, search_weights
from models.igql.registry import SetType
from models.igql.sets import ColumnSet


def media(viewer_n: list[int], row_n: list[int]) -> ColumnSet:
    rows = ColumnSet.viewers(len(row_n))
    return replace(
        rows, type=SetType.MEDIA, viewer_n=np.array(viewer_n, np.int32),
        row_n=np.array(row_n, np.int32),
    )  # fmt: skip


def test_lists_are_those_of_the_blend() -> None:
    rows = BranchRows([media([0, 0, 2], [1, 2, 3]), media([0, 2], [2, 9])], 3, 3)
    assert rows.lists([0.5, 0.5]).tolist() == [[1, 2, -1], [-1, -1, -1], [3, 9, -1]]
    assert rows.lists([0.1, 0.9]).tolist()[2] == [9, 3, -1]
    assert BranchRows([media([], []), media([0], [1])], 1, 1).brings_b.tolist() == [False, True]


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ([0.88, 0.03, 0.01, 0.01, 0.05, 0.02], (0.88, 0.03, 0.01, 0.01, 0.05, 0.02)),
        ([1.0, 0.0], (0.99, 0.01)),
        ([1, 1, 1], (0.34, 0.33, 0.33)),
        ([2.0] * 6, (0.16, 0.16, 0.17, 0.17, 0.17, 0.17)),
    ],
)
def test_hundredths_sum_to_one_and_leave_no_branch_out(
    given: list[float], whole: tuple[float, ...]
) -> None:
    assert hundredths(given) == whole
    assert sum(hundredths(given)) == pytest.approx(1)


def test_a_branch_that_brings_nothing_keeps_its_weight() -> None:
    asked: list[Weights] = []

    def score(weights: Weights) -> float:
        asked.append(weights)
        return weights[2]

    free_b = np.array([True, False, True])
    found = search_weights([0.7, 0.1, 0.2], free_b, score, 60, 1, lambda done, total: None)
    assert asked[0] == (0.7, 0.1, 0.2)
    assert len(asked) == len(set(asked))
    assert {weights[1] for weights in asked} == {0.1}
    assert found[2] > 0.8
    again = search_weights([0.7, 0.1, 0.2], free_b, score, 60, 1, lambda done, total: None)
    assert again == found


def test_where_nothing_scores_higher_weights_stay() -> None:
    free_b = np.ones(2, np.bool_)
    start = (0.6, 0.4)
    assert search_weights(start, free_b, lambda weights: 0.5, 10, 1, lambda a, b: None) == start
