"""The value: a weighted sum or a product of what is predicted; bad weights are refused."""

from __future__ import annotations

import numpy as np
import pytest

from models.actions import HEAD_NAMES
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
