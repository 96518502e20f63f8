"""Estimates from logs with known chances, beside what is true."""

import numpy as np
import pytest

from models.off_policy.estimators import ESTIMATORS, effective_rows, ips, self_normalised
from models.off_policy.logged import Logged, LoggedError
from models.off_policy.outcome import cross_fitted
from models.off_policy.support import ThinSupportError, check_support, randomised_grids

ITEMS = 10
RATE_I = np.linspace(0.05, 0.5, ITEMS)
LOGGING_I = np.full(ITEMS, 1.0 / ITEMS)
TARGET_I = np.arange(1, ITEMS + 1) / np.arange(1, ITEMS + 1).sum()
TRUTH = float(RATE_I @ TARGET_I)


def a_log(rows: int, seed: int, off: float = 0.0) -> Logged:
    """Items at random; the model is off by so much."""
    rng = np.random.default_rng(seed)
    item_n = rng.choice(ITEMS, size=rows, p=LOGGING_I)
    reward_n = (rng.random(rows) < RATE_I[item_n]).astype(float)
    return Logged.of(
        np.arange(rows) // 2, reward_n, LOGGING_I[item_n], TARGET_I[item_n],
        RATE_I[item_n] + off, np.full(rows, TRUTH + off),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["ips", "self_normalised", "doubly_robust"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(name: str) -> None:
    held = [ESTIMATORS[name](a_log(2_000, seed, off=0.2)).holds(TRUTH) for seed in range(200)]
    assert 0.9 <= np.mean(held) <= 0.99


def test_a_good_model_makes_estimates_calmer_and_a_bad_one_does_not_bend_them() -> None:
    good = [ESTIMATORS["doubly_robust"](a_log(500, seed)) for seed in range(50)]
    plain = [ips(a_log(500, seed)) for seed in range(50)]
    assert np.std([of.value for of in good]) < np.std([of.value for of in plain])
    bent = [ESTIMATORS["doubly_robust"](a_log(500, seed, off=3.0)).value for seed in range(200)]
    assert np.mean(bent) == pytest.approx(TRUTH, abs=0.05)
    assert ESTIMATORS["direct"](a_log(500, 1, off=3.0)).value == pytest.approx(TRUTH + 3.0)


def test_grids_not_rows_are_independent() -> None:
    alone = a_log(400, 1)
    copies = Logged(
        **{name: np.repeat(getattr(alone, name), 3) for name in Logged.__struct_fields__}
    )
    one, three = ips(alone), ips(copies)
    assert three.value == pytest.approx(one.value)
    assert three.high - three.low == pytest.approx(one.high - one.low)
    assert three.grids == one.grids == 200


def test_the_same_policy_is_the_mean_of_the_log() -> None:
    alone = a_log(300, 2)
    same = Logged.of(alone.grid_n, alone.reward_n, alone.chance_n, alone.chance_n)
    for estimate in (ips(same), self_normalised(same)):
        assert estimate.value == pytest.approx(float(alone.reward_n.mean()))
        assert estimate.effective == pytest.approx(300)


def test_thin_support_is_refused_and_what_it_takes_is_said() -> None:
    check_support(a_log(2_000, 1))
    with pytest.raises(ThinSupportError, match=r"tell as much as .* times as many randomised"):
        check_support(a_log(60, 1))
    never = Logged.of(np.arange(9), np.ones(9), np.full(9, 0.5), np.zeros(9))
    with pytest.raises(ThinSupportError, match="none of 9 logged rows"):
        check_support(never)


def test_what_never_had_a_chance_is_refused() -> None:
    rng = np.random.default_rng(4)
    item_n = rng.integers(5, size=3_000)
    # Half of what the target shows is among five others that the log never tried.
    half = Logged.of(np.arange(3_000), np.ones(3_000), np.full(3_000, 0.2), np.full(3_000, 0.1))
    assert len(item_n) == len(half)
    with pytest.raises(ThinSupportError, match="50% of what is to be judged had no chance"):
        check_support(half)


def test_columns_that_cannot_be_are_named() -> None:
    one = np.ones(2)
    with pytest.raises(LoggedError, match=r"chance_n is from 0\.0"):
        Logged.of(np.arange(2), one, np.array([0.0, 1.0]), one)
    with pytest.raises(LoggedError, match="reward_n has a value that is not finite"):
        Logged.of(np.arange(2), np.array([np.nan, 1.0]), one, one)
    with pytest.raises(LoggedError, match="target_n has the shape"):
        Logged.of(np.arange(2), one, one, np.ones(3))


def test_effective_rows() -> None:
    assert effective_rows(np.array([2.0, 2.0, 0.0])) == pytest.approx(2.0)
    assert effective_rows(np.zeros(3)) == 0.0
    # One certain item of a pool of 50 in random order comes once in 50 rows.
    assert randomised_grids(np.eye(1, 50), 50) == 5_000


def test_a_model_is_for_other_grids_than_it_was_fitted_on() -> None:
    rng = np.random.default_rng(5)
    features_nf = np.column_stack([np.ones(90), rng.normal(size=90)])
    reward_n = features_nf @ np.array([0.3, 2.0])
    grid_n = np.arange(90) // 3
    folds = cross_fitted(features_nf, reward_n, grid_n)
    assert sum(int(of_n.sum()) for of_n, _ in folds) == 90
    for of_n, weights_f in folds:
        assert weights_f == pytest.approx([0.3, 2.0], abs=0.01)
        assert not set(grid_n[of_n]) & set(grid_n[~of_n])


def test_shrinking_is_better_on_average_and_its_intervals_hold_as_often() -> None:
    runs = [a_log(300, seed, off=0.02) for seed in range(200)]
    by = {name: [ESTIMATORS[name](log) for log in runs] for name in ("shrunken", "doubly_robust")}
    error = {name: np.mean([(of.value - TRUTH) ** 2 for of in all_]) for name, all_ in by.items()}
    assert error["shrunken"] < error["doubly_robust"]
    assert np.mean([of.holds(TRUTH) for of in by["shrunken"]]) >= 0.9
    for ours, whole in zip(by["shrunken"], by["doubly_robust"], strict=True):
        assert whole.low <= ours.value <= whole.high


def test_what_the_log_is_sure_of_is_not_shrunken_away() -> None:
    sure = a_log(5_000, 3, off=0.5)
    model, whole = ESTIMATORS["direct"](sure).value, ESTIMATORS["doubly_robust"](sure).value
    assert ESTIMATORS["shrunken"](sure).value == pytest.approx(whole, abs=0.02 * (model - whole))
