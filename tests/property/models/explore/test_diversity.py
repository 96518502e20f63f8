"""Diversity: rules hold as long as anything keeps them, and off means value alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.explore.diversity import DiversityConfig, diversify


class Case(NamedTuple):
    value_n: NDArray[np.float64]
    author_n: NDArray[np.int64]
    seed_n: NDArray[np.int64]
    personal_n: NDArray[np.bool_]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n = draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    # Few values, so that there are ties.
    value_n = rng.integers(-3, draw(st.integers(-2, 40)), n).astype(np.float64)
    author_n, seed_n = rng.integers(-1, draw(st.integers(1, 20)), (2, n))
    return Case(value_n, author_n, seed_n, rng.random(n) < 0.4)


configs = st.builds(
    DiversityConfig,
    author_penalty=st.sampled_from([0.0, 0.3, 1.0]),
    seed_penalty=st.sampled_from([0.0, 0.15]),
    author_spacing=st.integers(1, 6),
    author_cap=st.integers(1, 4),
    seed_cap=st.integers(1, 6),
)


def check_steps(case: Case, size: int, config: DiversityConfig, personal: int) -> None:
    """Look at everything at each step: nothing may be better than what was picked."""
    size = min(size, len(case.value_n))
    lowest = float(case.value_n.min()) if size else 0.0
    owed = min(personal, int(case.personal_n.sum()), size)
    picked: list[int] = []
    for step, row in enumerate(diversify(*case[:3], size, config, case.personal_n, personal)):
        must = owed >= size - step
        ranks = {
            at: _rank(case, at, picked, lowest, config, must, size)
            for at in range(len(case.value_n))
            if at not in picked
        }
        assert ranks[int(row)] == min(ranks.values())
        owed -= bool(case.personal_n[row]) and owed > 0
        picked.append(int(row))


def _rank(
    case: Case,
    at: int,
    picked: list[int],
    lowest: float,
    config: DiversityConfig,
    must: bool,
    size: int,
) -> tuple[bool, bool, bool, float]:
    author, seed = case.author_n[at], case.seed_n[at]
    same_author = [i for i, p in enumerate(picked) if author >= 0 and case.author_n[p] == author]
    same_seed = [i for i, p in enumerate(picked) if seed >= 0 and case.seed_n[p] == seed]
    value = float(case.value_n[at])
    share = size // max(len({seed for seed in case.seed_n.tolist() if seed >= 0}), 1)
    kept = (1.0 - config.author_penalty) ** len(same_author)
    kept *= (1.0 - config.seed_penalty) ** max(len(same_seed) - share, 0)
    value -= (value - lowest) * (1.0 - kept)
    return (
        must and not case.personal_n[at],
        len(same_author) >= config.author_cap or len(same_seed) >= max(config.seed_cap, share),
        bool(same_author) and len(picked) - same_author[-1] < config.author_spacing,
        -value,
    )


@given(case=cases(), size=st.integers(0, 31), config=configs, personal=st.integers(0, 12))
def test_each_step_takes_the_best_that_keeps_most_of_the_rules(
    case: Case, size: int, config: DiversityConfig, personal: int
) -> None:
    check_steps(case, size, config, personal)
    picked = diversify(*case[:3], size, config, case.personal_n, personal)
    assert len(set(picked.tolist())) == len(picked) == min(size, len(case.value_n))
    assert case.personal_n[picked].sum() >= min(personal, case.personal_n.sum(), len(picked))


@given(
    authors=st.integers(10, 30),
    posts=st.integers(1, 8),
    config=configs,
    seed=st.integers(0, 2**32),
)
def test_caps_and_spacing_hold_where_there_is_enough_else(
    authors: int, posts: int, config: DiversityConfig, seed: int
) -> None:
    # Ten authors or more, no seeds: ten rows of a grid never need a repeat.
    author_n = np.repeat(np.arange(authors), posts)
    value_n = np.random.default_rng(seed).normal(size=len(author_n)) + (author_n == 0)
    shown = author_n[diversify(value_n, author_n, np.full(len(author_n), -1), 10, config)].tolist()
    assert max(map(shown.count, shown)) <= config.author_cap
    for author in set(shown):
        at = [i for i, of in enumerate(shown) if of == author]
        assert all(b - a >= config.author_spacing for a, b in pairwise(at))


@given(n=st.integers(1, 40), size=st.integers(1, 30), seed=st.integers(0, 2**32))
def test_of_one_seed_nothing_is_a_repeat(n: int, size: int, seed: int) -> None:
    value_n = np.random.default_rng(seed).normal(size=n)
    picked = diversify(value_n, np.arange(n), np.zeros(n, np.int64), size)
    assert picked.tolist() == np.argsort(-value_n, kind="stable")[:size].tolist()


@given(case=cases(), size=st.integers(0, 31), personal=st.integers(0, 12))
def test_feed_mode_is_the_order_of_value_alone(case: Case, size: int, personal: int) -> None:
    off = DiversityConfig(enabled=False)
    picked = diversify(*case[:3], size, off)
    assert picked.tolist() == np.argsort(-case.value_n, kind="stable")[:size].tolist()
    picked = diversify(*case[:3], size, off, case.personal_n, personal)
    assert (np.diff(case.value_n[picked]) <= 0).all()
    assert case.personal_n[picked].sum() >= min(personal, case.personal_n.sum(), len(picked))


@pytest.mark.parametrize(
    ("name", "value"),
    [("author_penalty", -1.0), ("author_penalty", 1.5), ("seed_penalty", float("nan")),
     ("author_spacing", 0), ("author_cap", 0), ("seed_cap", -1)],
)  # fmt: skip
def test_a_rule_that_cannot_be_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} is"):
        DiversityConfig(**{name: value})
