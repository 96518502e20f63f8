from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.actions import HEAD_NAMES
from models.explore.diversity import DiversityConfig, diversify
from models.rankers.value import InvalidWeightsError, Weights, terms, value

ONLY = dict.fromkeys(HEAD_NAMES, 0.0)


def probabilities(like: float, save: float, see_fewer: float) -> list[float]:
    of = {"like": like, "save": save, "see_fewer": see_fewer}
    return [of.get(name, 0.3) for name in HEAD_NAMES]


P = np.array([probabilities(0.5, 0.1, 0.2), probabilities(0.0, 1.0, 1.0)])


def test_linear_value_is_the_weighted_sum_with_see_fewer_against() -> None:
    weights = Weights(**ONLY | {"like": 1.0, "save": 2.0, "see_fewer": 3.0})
    np.testing.assert_allclose(value(P, weights), [0.5 + 0.2 - 0.6, 2.0 - 3.0])
    np.testing.assert_allclose(terms(P, weights).sum(axis=1), value(P, weights))


def test_log_linear_value_orders_like_a_product_and_stays_finite() -> None:
    worth = ONLY | {"like": 1.0, "save": 1.0, "see_fewer": 1.0}
    found = value(P, Weights(form="log_linear", **worth))
    assert found[0] == pytest.approx(np.log(0.5 * 0.1 * 0.8))
    assert np.isfinite(found).all()
    assert found[1] < found[0]


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", HEAD_NAMES)
def test_a_bad_weight_is_refused_by_name(name: str, weight: float) -> None:
    with pytest.raises(InvalidWeightsError, match=f"weight {name} is"):
        Weights(**{name: weight})


def test_off_is_by_value_alone() -> None:
    values = np.array([1.0, 3.0, 2.0])
    same = np.zeros(3, np.int32)
    assert diversify(values, same, same, 2, DiversityConfig(enabled=False)).tolist() == [1, 2]


def test_a_repeat_of_an_author_falls_behind_and_falls_more_each_time() -> None:
    values = np.array([1.0, 0.99, 0.98, 0.9, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    author = np.array([7, 7, 7, 1, 2, 3, 4, 5, 6, 8])
    none = np.full(10, -1)
    order = diversify(
        values, author, none, 10, DiversityConfig(author_penalty=0.3, author_spacing=1)
    ).tolist()
    # Unit = 1.0 − 0.3: the second post of author 7 costs 0.21, the third 0.42 in all.
    assert order[:5] == [0, 3, 1, 2, 4]
    assert order.index(2) - order.index(1) == 1


def test_groups_below_zero_never_repeat() -> None:
    values = np.array([1.0, 0.9, 0.8])
    none = np.full(3, -1)
    assert diversify(values, none, none, 3).tolist() == [0, 1, 2]


@given(
    values=st.lists(st.floats(-1e3, 1e3), max_size=30),
    size=st.integers(0, 40),
    seed=st.integers(0, 99),
)
def test_picks_are_distinct_and_the_best_comes_first(
    values: list[float], size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    value_n = np.array(values, np.float64)
    author, group = rng.integers(-1, 4, (2, len(values)))
    picked = diversify(value_n, author, group, size).tolist()
    assert len(picked) == len(set(picked)) == min(size, len(values))
    if picked:
        assert value_n[picked[0]] == value_n.max()
