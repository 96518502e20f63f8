"""NDCG of grids on choices: the plain one, where each candidate stands for itself."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.actions import ACTION_NAMES, HEAD_NAMES, HEADS, Action
from models.evaluation.choice_grids import (
    SIZE,
    chosen,
    grid_ndcg,
    popularity_order,
    value_order,
)
from models.evaluation.metrics import ndcg
from models.examples.choices import Choices
from models.feature_schema import DENSE_INDEX, DENSE_NAMES, SPARSE_NAMES
from models.rankers.prior import PriorRankers
from models.rankers.value import Weights, value


def choices(sizes: list[int], weights: list[float] | None = None) -> Choices:
    """Sets of these sizes, all features 0, nothing chosen."""
    n = sum(sizes)
    return Choices(
        dense_nf=np.zeros((n, len(DENSE_NAMES)), np.float16),
        sparse_ns=np.zeros((n, len(SPARSE_NAMES)), np.int32),
        labels_nh=np.zeros((n, len(HEADS)), np.uint8),
        weights_n=np.array(weights or [1.0] * n, np.float32),
        groups_n=np.repeat(np.arange(len(sizes)), sizes),
        ts_n=np.zeros(n, np.int64),
    )


@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4), seed=st.integers(0, 999))
def test_where_each_stands_for_itself_it_is_plain_ndcg(sizes: list[int], seed: int) -> None:
    rng, made = np.random.default_rng(seed), choices(sizes)
    chosen_n = rng.random(sum(sizes)) < rng.random()
    score_n = rng.permutation(sum(sizes)).astype(np.float32)
    found_g = grid_ndcg(made, score_n, chosen_n)
    said = np.unique(made.groups_n[chosen_n])
    assert len(found_g) == len(said)
    for group, found in zip(said, found_g, strict=True):
        of = made.groups_n == group
        plain = ndcg(chosen_n[of].astype(np.float32), score_n[of], made.groups_n[of], SIZE)
        assert found == pytest.approx(plain)


@given(
    stands_for=st.lists(st.integers(1, 20), min_size=1, max_size=30),
    places=st.data(),
    seed=st.integers(0, 999),
)
def test_a_sampled_candidate_counts_as_often_as_it_stands_for_others(
    stands_for: list[int], places: st.DataObject, seed: int
) -> None:
    """Like a set in which each of them is there so often, with its score."""
    place = places.draw(st.integers(0, len(stands_for)))
    score_n = np.random.default_rng(seed).permutation(len(stands_for) + 1).astype(np.float64)
    weights = [*stands_for[:place], 1, *stands_for[place:]]
    chosen_n = np.arange(len(weights)) == place
    sampled = choices([len(weights)], [float(one) for one in weights])
    whole = choices([sum(weights)])
    [found] = grid_ndcg(sampled, score_n, chosen_n)
    [expected] = grid_ndcg(whole, score_n.repeat(weights), chosen_n.repeat(weights))
    assert found == pytest.approx(expected)


@given(others=st.integers(SIZE, 60), place=st.integers(0, 60))
@pytest.mark.parametrize("score", [0.0, math.nan, -math.inf])
def test_who_cannot_tell_gets_nothing(others: int, place: int, score: float) -> None:
    chosen_n = np.zeros(others + 1, np.bool_)
    chosen_n[min(place, others)] = True
    score_n = np.full(others + 1, score)
    assert grid_ndcg(choices([others + 1]), score_n, chosen_n).tolist() == [0.0]


def test_what_is_no_number_comes_behind_every_number() -> None:
    chosen_n = np.arange(30) == 3
    score_n = np.where(chosen_n, np.nan, np.arange(30) - 1e6)
    assert grid_ndcg(choices([30]), score_n, chosen_n).tolist() == [0.0]


def test_sets_without_a_choice_say_nothing() -> None:
    assert len(grid_ndcg(choices([3, 3]), np.zeros(6), np.zeros(6, np.bool_))) == 0
    assert len(grid_ndcg(Choices.empty(), np.zeros(0), np.zeros(0, np.bool_))) == 0


def test_a_grid_should_hold_what_was_chosen_by_an_action_of_worth() -> None:
    made = choices([4])
    like, see_fewer, view = (
        HEADS.index(action) for action in (Action.LIKE, Action.SEE_FEWER, Action.LONG_VIEW)
    )
    for row, head in enumerate((like, see_fewer, view)):
        made.labels_nh[row, head] = 1
    likes = Weights(**dict.fromkeys(HEAD_NAMES, 0.0) | {"like": 1.0})
    assert chosen(made, likes).tolist() == [True, False, False, False]
    # Where no such action was, any that a viewer means well counts.
    saves = Weights(**dict.fromkeys(HEAD_NAMES, 0.0) | {"save": 1.0})
    assert chosen(made, saves).tolist() == [True, False, True, False]


def test_orders_of_popularity_and_of_value() -> None:
    made = choices([3])
    counts = np.array([0.0, 1.0, 7.0])
    column = DENSE_INDEX[f"media_{ACTION_NAMES[Action.LIKE]}s"]
    made.dense_nf[:, column] = np.log1p(counts) / 3
    worth = Action.LIKE.row.popularity
    np.testing.assert_allclose(popularity_order(made), worth * counts, rtol=2e-3)

    rankers, weights = PriorRankers(), Weights()
    valued = value(rankers.final.score(made.features()), weights)
    np.testing.assert_array_equal(value_order(rankers, made, weights), valued)
    more = msgspec.structs.replace(made, dense_nf=np.concatenate([made.dense_nf] * 2))
    assert len(popularity_order(more)) == 6
