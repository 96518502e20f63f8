"""Greedy re-ranking: repeats of an author or of a seed cost more each time, up to hard rules."""

from __future__ import annotations

import math
from collections import defaultdict

import msgspec
import numpy as np
from numpy.typing import NDArray


class DiversityConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a repeat costs, and how many there may be.

    The rules (spacing and caps) hold as long as anything is left that keeps them; a grid is not
    cut short for their sake.

    Attributes:
        enabled: False is the feed mode: by value alone, no penalty, no rule.
        author_penalty, seed_penalty: for each earlier pick of the same author or seed, in units
            of the distance from the best value to the median, so that the same setting works for
            every form and scale of value.
        author_spacing: positions from one media of an author to the next at least; 1 is no rule.
        author_cap, seed_cap: most media of one author, or of one seed.

    Raises:
        ValueError: a penalty is negative, a rule below 1.
    """

    enabled: bool = True
    author_penalty: float = 1.0
    seed_penalty: float = 0.15
    author_spacing: int = 5
    author_cap: int = 3
    seed_cap: int = 15

    def __post_init__(self) -> None:
        for name in ("author_penalty", "seed_penalty"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number of at least 0")
        for name in ("author_spacing", "author_cap", "seed_cap"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a whole number from 1 on")


def diversify(
    value_n: NDArray[np.float64],
    author_n: NDArray[np.integer],
    seed_n: NDArray[np.integer],
    size: int,
    config: DiversityConfig | None = None,
    personal_n: NDArray[np.bool_] | None = None,
    personal: int = 0,
) -> NDArray[np.int64]:
    """Pick up to `size` rows, best first.

    Each step takes the row with the highest value less its penalties, of those that the rules
    allow; of equal ones that with the higher value, then the one given first. In plain Python:
    since penalties only take away, a step looks at few rows, which costs less than array
    operations on all of them (``docs/decisions/0018-value-and-experiments.md``).

    Args:
        value_n: finite values.
        author_n: author of each row; a negative one is never a repeat.
        seed_n: seed of each row; a negative one is never a repeat.
        size: rows to pick.
        personal_n, personal: rows of which at least so many are picked, where there are as many;
            the last places are kept for them, whatever the rules say.
    """
    config = config or DiversityConfig()
    size = min(size, len(value_n))
    order = np.argsort(-value_n, kind="stable")
    if size <= 0:
        return order[:0]
    if personal_n is None:
        personal_n = np.zeros(len(value_n), np.bool_)
    owed = min(personal, int(personal_n.sum()), size)
    if not config.enabled:
        return _by_value(order, personal_n[order], size, owed)
    values, n = value_n[order].tolist(), len(order)
    unit = max(values[0] - (values[(n - 1) // 2] + values[n // 2]) / 2, 1e-9)
    picks = _Picks(values, author_n[order].tolist(), seed_n[order].tolist(), config, unit)
    mine = personal_n[order].tolist()
    picked = np.empty(size, np.int64)
    for step in range(size):
        at = picks.best(step, mine if owed >= size - step else None)
        owed -= mine[at] and owed > 0
        picked[step] = order[at]
    return picked


def _by_value(
    order: NDArray[np.int64], personal_n: NDArray[np.bool_], size: int, owed: int
) -> NDArray[np.int64]:
    """The first `size` of `order`, at least `owed` of them personal, in that order."""
    kept_n = np.zeros(len(order), np.bool_)
    kept_n[np.flatnonzero(personal_n)[:owed]] = True
    kept_n[np.flatnonzero(~kept_n)[: size - owed]] = True
    return order[kept_n]


class _Picks:
    """Rows in descending order of value, and what of them has been picked."""

    def __init__(
        self,
        values: list[float],
        authors: list[int],
        seeds: list[int],
        config: DiversityConfig,
        unit: float,
    ) -> None:
        self._values, self._authors, self._seeds = values, authors, seeds
        self._config = config
        self._author_penalty = config.author_penalty * unit
        self._seed_penalty = config.seed_penalty * unit
        self._left = list(range(len(values)))
        self._of_author: defaultdict[int, int] = defaultdict(int)
        self._of_seed: defaultdict[int, int] = defaultdict(int)
        self._last_at: dict[int, int] = {}

    def best(self, step: int, only: list[bool] | None) -> int:
        """Pick for position `step`; `only` says which rows may be taken, None for any."""
        config, of_author, of_seed = self._config, self._of_author, self._of_seed
        best, best_value = -1, -math.inf
        for at in self._left:
            value = self._values[at]
            if value <= best_value:
                break
            author, seed = self._authors[at], self._seeds[at]
            repeats = of_author[author] if author >= 0 else 0
            value -= self._author_penalty * repeats
            if seed >= 0:
                value -= self._seed_penalty * of_seed[seed]
            if (
                value > best_value
                and (only is None or only[at])
                and repeats < config.author_cap
                and (seed < 0 or of_seed[seed] < config.seed_cap)
                and (not repeats or step - self._last_at[author] >= config.author_spacing)
            ):
                best, best_value = at, value
        if best < 0:
            best = min(self._left, key=lambda at: self._breach(at, step, only))
        self._left.remove(best)
        author, seed = self._authors[best], self._seeds[best]
        of_author[author] += 1
        of_seed[seed] += 1
        self._last_at[author] = step
        return best

    def _breach(
        self, at: int, step: int, only: list[bool] | None
    ) -> tuple[bool, bool, bool, float]:
        """How badly a row breaks the rules, for when nothing keeps them."""
        author, seed = self._authors[at], self._seeds[at]
        of_author = self._of_author[author] if author >= 0 else 0
        of_seed = self._of_seed[seed] if seed >= 0 else 0
        config = self._config
        near = bool(of_author) and step - self._last_at[author] < config.author_spacing
        value = self._values[at] - self._author_penalty * of_author - self._seed_penalty * of_seed
        return (
            only is not None and not only[at],
            of_author >= config.author_cap or of_seed >= config.seed_cap,
            near,
            -value,
        )
