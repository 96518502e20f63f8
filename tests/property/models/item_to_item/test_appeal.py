"""Appeal: its two forms agree, and a fit finds what choices were made by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.item_to_item.appeal import USUAL, Appeal, appeal_columns
from models.item_to_item.appeal_fit import MIN_DRAWS, DrawLog, Draws, fit_appeal

weights = st.floats(-1.9, 1.9)
worths = st.tuples(weights, weights, weights)
appeals = st.builds(Appeal, st.floats(1.0, 2.0), weights, worths, worths)
counts = st.floats(0.01, 1e4)
media = st.lists(st.tuples(counts, counts, counts, counts), min_size=2, max_size=20)


@given(appeal=appeals, of=media)
def test_where_there_is_likeness_lift_orders_as_log_odds_do(
    appeal: Appeal, of: list[tuple[float, float, float, float]]
) -> None:
    sum_n, worth_np = np.array(of)[:, 0], np.array(of)[:, 1:]
    odds_n = appeal.log_odds(sum_n, worth_np).astype(np.float64)
    lifted_n = np.log(sum_n + 1e-3) + np.log(appeal.lift(worth_np).astype(np.float64))
    # Up to what is the same for all.
    np.testing.assert_allclose(
        odds_n - odds_n[0], appeal.likeness * (lifted_n - lifted_n[0]), atol=2e-3
    )


@given(appeal=appeals, of=media, at=st.integers(0, 19))
def test_log_odds_of_a_media_do_not_depend_on_the_others(
    appeal: Appeal, of: list[tuple[float, float, float, float]], at: int
) -> None:
    at %= len(of)
    sum_n, worth_np = np.array(of)[:, 0], np.array(of)[:, 1:]
    alone_n = appeal.log_odds(sum_n[at : at + 1], worth_np[at : at + 1])
    assert alone_n[0] == appeal.log_odds(sum_n, worth_np)[at]


@given(appeal=appeals)
def test_a_media_with_neither_is_where_log_odds_begin(appeal: Appeal) -> None:
    assert appeal.log_odds(np.zeros(1), np.zeros((1, 3))).tolist() == [0.0]
    # Undos may outweigh what they undo for a while.
    assert appeal.log_odds(np.zeros(1), np.full((1, 3), -0.5)).tolist() == [0.0]


def test_powers_are_bounded_where_a_log_says_nothing_of_likeness() -> None:
    lift_n = Appeal(0.0, 0.0, (9.0, -9.0, 0.0), (0.0, 0.0, 0.0)).lift(np.array([[0.9, 0.0, 0.0]]))
    np.testing.assert_allclose(lift_n, [1.0 * 0.1**-2.0], rtol=1e-6)
    assert Appeal.of_weights(USUAL.weights) == USUAL


def made(appeal: Appeal, draws: int, seed: int) -> Draws:
    """Draws of viewers who choose by an appeal; half of the media have no likeness."""
    rng = np.random.default_rng(seed)
    sum_dk = (rng.exponential(0.3, (draws, 51)) * (rng.random((draws, 51)) < 0.5)).astype(
        np.float32
    )
    worth_dkp = rng.lognormal(1.0, 1.5, (draws, 51, 3)).astype(np.float32)
    odds_dk = appeal.log_odds(sum_dk.ravel(), worth_dkp.reshape(-1, 3)).reshape(draws, 51)
    chosen_d = (odds_dk + rng.gumbel(size=odds_dk.shape)).argmax(axis=1)
    at_d = np.arange(draws)
    for of_dk in (sum_dk, worth_dkp):
        of_dk[at_d, 0], of_dk[at_d, chosen_d] = of_dk[at_d, chosen_d], of_dk[at_d, 0].copy()
    return Draws(sum_dk, worth_dkp)


@pytest.mark.parametrize("worth", [(0.5, 0.7, -0.6), (0.2, 0.4, 0.5)])
def test_a_fit_finds_what_choices_were_made_by(worth: tuple[float, float, float]) -> None:
    appeal = Appeal(0.9, -0.4, worth, (0.6, 0.0, 0.3))
    found = fit_appeal(made(appeal, 4_000, 1))
    np.testing.assert_allclose(found.likeness, appeal.likeness, atol=0.15)
    np.testing.assert_allclose(found.worth, appeal.worth, atol=0.15)
    np.testing.assert_allclose(found.worth_alone, appeal.worth_alone, atol=0.25)


def test_few_draws_say_nothing_and_old_ones_go() -> None:
    log = DrawLog(most=300)
    short, long = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
    old, new = Appeal(0.9, 0.0, short, short), Appeal(0.9, 0.0, long, long)
    log.add(made(old, MIN_DRAWS - 1, 1))
    assert log.fit() == USUAL
    for seed in range(2, 12):
        log.add(made(old, 100, seed))
        assert len(log) <= 600
    assert log.fit().worth[0] > 0.6
    for seed in range(12, 15):
        log.add(made(new, 100, seed))
    assert len(log.newest()) == 300
    assert log.fit().worth[2] > 0.6


@given(
    appeal=appeals,
    of=st.lists(st.tuples(st.just(0.0) | counts, counts, counts, counts), min_size=1),
)
def test_log_odds_are_the_columns_weighed(
    appeal: Appeal, of: list[tuple[float, float, float, float]]
) -> None:
    sum_n, worth_np = np.array(of)[:, 0], np.array(of)[:, 1:]
    nothing_f = appeal_columns(np.zeros(1), np.zeros((1, 3)))[0]
    expected_n = (appeal_columns(sum_n, worth_np) - nothing_f) @ appeal.weights
    np.testing.assert_allclose(appeal.log_odds(sum_n, worth_np), expected_n, rtol=1e-5, atol=1e-4)
