"""Averages follow vectors at the pace of their horizon."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ig2vec.averaging import AveragedVectors


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, np.newaxis]


ROW = np.array([0])


def test_an_average_is_calmer_than_what_it_follows() -> None:
    rng = np.random.default_rng(1)
    averaged = AveragedVectors(np.zeros((1, 8), dtype=np.float32))
    errors = []
    for _ in range(200):
        vector_1d = (1 + rng.standard_normal((1, 8))).astype(np.float32)
        averaged.follow(ROW, vector_1d, 10, horizon=200.0)
        errors.append(np.abs(averaged.vectors_nd - 1).mean())
    assert np.mean(errors[100:]) < 0.3
    assert errors[0] > 0.8


def test_a_new_row_is_what_it_was_first_and_follows_from_there() -> None:
    averaged = AveragedVectors(column(1.0))
    averaged.grow(1)
    averaged.follow(np.array([1]), column(5.0), 10, horizon=100.0)
    assert averaged.vectors_nd.tolist() == [[1.0], [5.0]]
    averaged.follow(np.array([1]), column(6.0), 10, horizon=100.0)
    assert averaged.vectors_nd[1, 0] == pytest.approx(6 - np.exp(-0.1))


def test_without_a_horizon_vectors_are_as_they_learn() -> None:
    averaged = AveragedVectors(column(1.0, 2.0))
    averaged.follow(np.array([1]), column(7.0), 0, horizon=0.0)
    assert averaged.vectors_nd.tolist() == [[1.0], [7.0]]


def test_rows_that_stay_keep_their_average_and_their_time() -> None:
    averaged = AveragedVectors(column(1.0, 2.0, 3.0))
    averaged.follow(np.array([2]), column(4.0), 10, horizon=10.0)
    before = averaged.vectors_nd[[0, 2]].copy()
    averaged.keep(np.array([0, 2]))
    assert averaged.vectors_nd.tolist() == before.tolist()
    assert averaged.known_n.tolist() == [0.0, 10.0]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=10), st.floats(1, 1000))
def test_many_small_steps_are_one_large_one_while_the_vector_stands(
    words: list[int], horizon: float
) -> None:
    steps, once = AveragedVectors(column(0.0)), AveragedVectors(column(0.0))
    for each in words:
        steps.follow(ROW, column(1.0), each, horizon)
    once.follow(ROW, column(1.0), sum(words), horizon)
    assert steps.vectors_nd[0, 0] == pytest.approx(once.vectors_nd[0, 0], abs=1e-5)
    assert 0 <= once.vectors_nd[0, 0] <= 1
