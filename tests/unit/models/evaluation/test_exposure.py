"""Who is shown and how much of the same, counted by hand on small grids."""

import numpy as np
import pytest

from models.evaluation.exposure import WEEK_MS, exposure, topic_entropy

MEDIA = {
    "author_m": np.array([0, 0, 1, 2]),
    "created_m": np.array([0, 0, 0, 10**15]),
    "known_author_m": np.array([True, True, False, False]),
    "topic_m": np.array([0, 1, 1, -1]),
}


def test_places_are_counted_by_account_topic_and_viewer() -> None:
    lists_gk = np.array([[0, 1], [2, -1], [0, 2]])
    found = exposure(lists_gk, np.array([5, 7, 5]), np.array([1, 1, 1 + WEEK_MS]), **MEDIA)
    # Two accounts are there, with three and two of five places; the third comes much later.
    assert found["gini_accounts"] == pytest.approx(0.1)
    assert found["new_accounts_share"] == pytest.approx(2 / 5)
    assert found["repeat_rate"] == pytest.approx(1 / 5)
    # Viewer 5 has topics 0, 1, 0, 1, viewer 7 one alone.
    assert found["topic_entropy_bits"] == pytest.approx(0.5)
    assert found["topic_entropy_by_week"] == pytest.approx([0.5, 1.0])


def test_nothing_shown_and_nothing_with_a_topic() -> None:
    assert exposure(np.full((1, 2), -1), np.array([0]), np.array([1]), **MEDIA) == {}
    found = exposure(np.array([[3]]), np.array([0]), np.array([1]), **MEDIA)
    assert found["topic_entropy_bits"] is None
    assert topic_entropy(np.zeros(0, int), np.zeros(0, int)) is None
