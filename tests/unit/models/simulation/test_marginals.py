"""How a log is distributed."""

import numpy as np
import pytest

from models.actions import Action
from models.events import MINUTE_MS
from models.simulation.marginals import entropy, gini, marginals


def test_a_log_of_two_viewers() -> None:
    view, like = int(Action.VIEW), int(Action.LIKE)
    found = marginals(
        np.array([0, 1, 1, 100, 50]) * MINUTE_MS,
        np.array([1, 1, 1, 1, 2]),
        np.array([5, 6, 6, 5, 5]),
        np.array([view, view, like, view, view]),
    )
    assert found["views_per_viewer"] == 2
    assert found["session_views"] == pytest.approx(4 / 3)
    assert found["gap_s"] == 60
    assert found["rate_like"] == 0.25
    assert marginals(*(np.zeros(0, np.int64) for _ in range(4))) == {}


def test_concentration_and_variety() -> None:
    assert gini(np.array([3, 3, 3])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    assert gini(np.zeros(3, np.int64)) == 0
    assert entropy(np.array([[2, 2, 0], [4, 0, 0], [0, 0, 0]])).tolist() == [1.0, 0.0, 0.0]
