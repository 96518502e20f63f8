"""Repeats of an author or a group fall behind; without them the order is by value."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.explore.diversity import DiversityConfig, diversify


def test_off_is_by_value_alone() -> None:
    values = np.array([1.0, 3.0, 2.0])
    same = np.zeros(3, np.int32)
    assert diversify(values, same, same, 2, DiversityConfig(enabled=False)).tolist() == [1, 2]


def test_a_repeat_of_an_author_falls_behind_and_falls_more_each_time() -> None:
    values = np.array([1.0, 0.99, 0.98, 0.9, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    author = np.array([7, 7, 7, 1, 2, 3, 4, 5, 6, 8])
    none = np.full(10, -1)
    order = diversify(
        values, author, none, 10, DiversityConfig(author_penalty=0.3, author_spacing=1)
    ).tolist()
    # The second post of author 7 keeps 0.693, the third 0.480.
    assert order[:5] == [0, 3, 1, 4, 2]


@given(scale=st.floats(0.01, 100.0), seed=st.integers(0, 99))
def test_neither_level_nor_scale_of_the_values_matters(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    value_n, author, group = rng.random(30), *rng.integers(-1, 6, (2, 30))
    one = diversify(value_n, author, group, 10)
    assert one.tolist() == diversify(value_n * scale - 3.0, author, group, 10).tolist()


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
