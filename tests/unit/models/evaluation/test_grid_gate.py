"""Grids judged on choices: floors, paired differences, chance."""

from __future__ import annotations

import numpy as np
import pytest

from models.actions import HEADS, Action
from models.evaluation.choice_grids import grid_ndcg
from models.evaluation.grid_gate import (
    MIN_SETS,
    PRIOR,
    HeldGrids,
    grid_faults,
    grid_figures,
    grid_text,
)
from models.examples.choices import Choices
from models.feature_schema import DENSE_INDEX, DENSE_NAMES, SPARSE_NAMES
from models.rankers.prior import PriorRankers
from models.rankers.value import Weights

LIKE = HEADS.index(Action.LIKE)


def choices_of(sets: int = 60, size: int = 40, stand_for: float = 3.0, seed: int = 0) -> Choices:
    """Sets in which the candidate with most of the first dense feature was liked."""
    rng = np.random.default_rng(seed)
    n = sets * size
    dense_nf = np.abs(rng.normal(size=(n, len(DENSE_NAMES)))).astype(np.float16)
    best = dense_nf[:, 0].reshape(sets, size).argmax(axis=1) + np.arange(sets) * size
    labels_nh = np.zeros((n, len(HEADS)), np.uint8)
    labels_nh[best, LIKE] = 1
    weights_n = np.full(n, stand_for, np.float32)
    weights_n[best] = 1.0
    return Choices(
        dense_nf=dense_nf,
        sparse_ns=np.zeros((n, len(SPARSE_NAMES)), np.int32),
        labels_nh=labels_nh,
        weights_n=weights_n,
        groups_n=np.arange(sets).repeat(size),
        ts_n=np.arange(sets).repeat(size) * 60_000,
    )


def test_what_a_random_order_would_have_is_what_random_orders_have() -> None:
    choices = choices_of()
    held = HeldGrids(choices, Weights())
    chosen_n = choices.labels_nh[:, LIKE] > 0
    rng = np.random.default_rng(3)
    # Of unweighted sets, so that a rank is a rank.
    plain = choices_of(stand_for=1.0)
    found = [
        grid_ndcg(plain, rng.random(len(chosen_n)), plain.labels_nh[:, LIKE] > 0).mean()
        for _ in range(200)
    ]
    assert HeldGrids(plain, Weights()).of_chance() == pytest.approx(np.mean(found), rel=0.05)
    # Three times as many candidates, of which as few were chosen.
    assert held.of_chance() < HeldGrids(plain, Weights()).of_chance() / 2
    assert held.sets == 60


class Constant:
    """Rankers to whom everything is the same."""

    version = "constant"

    def __init__(self) -> None:
        prior = PriorRankers()
        self.first, self.second, self.interest = prior.first, prior.second, prior.interest
        self.final = self
        self.columns = ()

    def score(self, features):
        return np.full((len(features), len(HEADS)), 0.5, np.float32)


def test_giving_everything_the_same_score_is_as_good_as_chance() -> None:
    held = HeldGrids(choices_of(sets=400, size=60, stand_for=6.0), Weights())
    assert held.of(Constant()).mean() == pytest.approx(held.of_chance(), abs=0.03)


def test_no_choices_are_measured_as_none() -> None:
    held = HeldGrids(Choices.empty(), Weights())
    assert (held.sets, held.of_chance()) == (0, 0.0)
    figures = grid_figures(held.of_popularity(), {}, held.of_chance())
    assert (figures.sets, figures.ndcg, grid_faults(figures)) == (0, None, [])
    assert "30 are needed" in grid_text(figures)


def test_popularity_and_the_prior_are_measured_on_the_same_sets() -> None:
    held = HeldGrids(choices_of(), Weights())
    assert held.of(PriorRankers()).shape == held.of_popularity().shape == (60,)
    popular = choices_of()
    column = DENSE_INDEX["media_likes"]
    popular.dense_nf[:, :] = 0
    popular.dense_nf[popular.labels_nh[:, LIKE] > 0, column] = 1.0
    assert HeldGrids(popular, Weights()).of_popularity() == pytest.approx(1.0)


def test_worse_than_a_standard_error_is_refused_and_told_by_how_much() -> None:
    rng = np.random.default_rng(1)
    level_g = rng.random(100)
    noise_g = rng.normal(0.0, 0.05, 100)
    noise_g -= noise_g.mean()
    for loss, faults in ((0.004, 0), (0.006, 1)):
        figures = grid_figures(level_g - loss + noise_g, {"live": level_g}, 0.01)
        assert figures.beside["live"].error == pytest.approx(0.005, rel=0.2)
        assert len(grid_faults(figures)) == faults
    [fault] = grid_faults(figures)
    assert f"against {level_g.mean():.4f} of the live version loses 0.0060" in fault
    assert grid_faults(grid_figures(level_g, {"live": level_g}, 0.01)) == []


def test_less_is_lost_to_the_prior_than_a_standard_error_of_few_sets() -> None:
    rng = np.random.default_rng(1)
    prior_g = 0.05 + 0.1 * rng.random(MIN_SETS)
    noise_g = rng.normal(0.0, 0.1, MIN_SETS)
    noise_g -= noise_g.mean()
    for loss, faults in ((0.0, 0), (0.001, 0), (0.003, 1)):
        figures = grid_figures(prior_g - loss + noise_g, {PRIOR: prior_g}, 0.01)
        assert figures.beside[PRIOR].error > 0.01
        assert len(grid_faults(figures)) == faults, loss
    [fault] = grid_faults(figures)
    assert "of the prior loses 0.0030, more than 2% of it, 0.0020" in fault
    assert grid_faults(grid_figures(prior_g - 0.003 + noise_g, {"live": prior_g}, 0.01)) == []


def test_what_is_not_above_chance_is_refused_whatever_else_is_worse() -> None:
    low_g = np.full(MIN_SETS, 0.01)
    [fault] = grid_faults(grid_figures(low_g, {"live": low_g}, 0.02))
    assert fault == ("grid NDCG 0.0100 against 0.0200 of a random order (-0.0100) is not above it")
    broken_g = np.full(MIN_SETS, np.nan)
    assert len(grid_faults(grid_figures(broken_g, {"live": low_g}, 0.0))) == 2
