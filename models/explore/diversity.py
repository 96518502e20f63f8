"""Greedy re-ranking: repeats of an author or of a seed cost more each time, up to hard rules."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray


class DiversityConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a repeat costs, and how many there may be.

    The rules (spacing and caps) hold as long as anything is left that keeps them; a grid is not
    cut short for their sake.

    A seed has a share of the grid that costs nothing: its places by the seeds that there are. Who
    liked one media has one seed, and a grid like that seed is what they came for.

    Attributes:
        enabled: False is the feed mode: by value alone, no penalty, no rule.
        author_penalty, seed_penalty: share of its value above the lowest that a media loses for
            each earlier pick of the same author, or of the same seed beyond its share. A share, so
            that the same setting works for every form and scale of value, however far the best
            stands above the rest.
        author_spacing: positions from one media of an author to the next at least; 1 is no rule.
        author_cap, seed_cap: most media of one author, or of one seed whose share is not more.

    Raises:
        ValueError: a penalty is no share, a rule below 1.
    """

    enabled: bool = True
    author_penalty: float = 0.3
    seed_penalty: float = 0.02
    author_spacing: int = 2
    author_cap: int = 3
    seed_cap: int = 15

    def __post_init__(self) -> None:
        for name in ("author_penalty", "seed_penalty"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a share from 0 to 1")
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
    order = (-value_n).argsort(kind="stable")
    if size <= 0:
        return order[:0]
    if personal_n is None:
        personal_n = np.zeros(len(value_n), np.bool_)
    owed = min(personal, int(np.count_nonzero(personal_n)), size)
    if not config.enabled:
        return _by_value(order, personal_n[order], size, owed)
    columns = (value_n, author_n, seed_n, personal_n)
    rows = zip(*(column_n[order].tolist() for column_n in columns), range(len(order)), strict=True)
    seeds = len(np.unique(seed_n[seed_n >= 0]))
    return order[_Picks(list(rows), config, size // max(seeds, 1)).take(size, owed)]


def _by_value(
    order: NDArray[np.int64], personal_n: NDArray[np.bool_], size: int, owed: int
) -> NDArray[np.int64]:
    """The first `size` of `order`, at least `owed` of them personal, in that order."""
    kept_n = np.zeros(len(order), np.bool_)
    kept_n[np.flatnonzero(personal_n)[:owed]] = True
    kept_n[np.flatnonzero(~kept_n)[: size - owed]] = True
    return order[kept_n]


#: Value, author, seed, whether it is personal, and its place.
_Row = tuple[float, int, int, bool, int]


class _Picks:
    """Picks from rows in descending order of value.

    Args:
        left: what may be picked; at least one row.
        share: picks of a seed that cost nothing.
    """

    def __init__(self, left: list[_Row], config: DiversityConfig, share: int) -> None:
        self._left = left
        self._lowest = left[-1][0]
        self._config = config
        self._author_kept = 1.0 - config.author_penalty
        self._seed_kept = 1.0 - config.seed_penalty
        self._share, self._seed_cap = share, max(config.seed_cap, share)
        # Of what is below 0 nothing is counted, so it is never a repeat.
        self._of_author: dict[int, int] = {}
        self._of_seed: dict[int, int] = {}
        self._last_at: dict[int, int] = {}

    def take(self, size: int, owed: int) -> list[int]:
        """Places of `size` rows, best first; the last ones are kept for `owed` personal rows."""
        left, of_author, of_seed, last_at = (
            self._left, self._of_author, self._of_seed, self._last_at,
        )  # fmt: skip
        picked = []
        for step in range(size):
            must = owed >= size - step
            best = self._best(step, must)
            if best is None:
                best = min(range(len(left)), key=lambda at: self._breach(left[at], step, must))
            _, author, seed, is_mine, place = left.pop(best)
            if author >= 0:
                of_author[author] = of_author.get(author, 0) + 1
                last_at[author] = step
            if seed >= 0:
                of_seed[seed] = of_seed.get(seed, 0) + 1
            owed -= is_mine and owed > 0
            picked.append(place)
        return picked

    def _best(self, step: int, must: bool) -> int | None:
        """Where the best of the rows is that keep the rules, None where none does."""
        config, of_author, of_seed = self._config, self._of_author, self._of_seed
        best, best_value = None, -math.inf
        for at, (value, author, seed, is_mine, _) in enumerate(self._left):
            if value <= best_value:
                break
            from_author, from_seed = of_author.get(author, 0), of_seed.get(seed, 0)
            if from_author:
                if from_author >= config.author_cap:
                    continue
                if step - self._last_at[author] < config.author_spacing:
                    continue
            if from_seed >= self._seed_cap:
                continue
            value = self._kept(value, from_author, from_seed)
            if value > best_value and (is_mine or not must):
                best, best_value = at, value
        return best

    def _breach(self, row: _Row, step: int, must: bool) -> tuple[bool, bool, bool, float]:
        """How badly a row breaks the rules, for when nothing keeps them."""
        value, author, seed, is_mine, _ = row
        of_author, of_seed = self._of_author.get(author, 0), self._of_seed.get(seed, 0)
        config = self._config
        return (
            must and not is_mine,
            of_author >= config.author_cap or of_seed >= self._seed_cap,
            bool(of_author) and step - self._last_at[author] < config.author_spacing,
            -self._kept(value, of_author, of_seed),
        )

    def _kept(self, value: float, of_author: int, of_seed: int) -> float:
        """The value less its penalties: never more than the value itself."""
        more = of_seed - self._share
        if not of_author and more <= 0:
            return value
        kept = self._author_kept**of_author * self._seed_kept ** max(more, 0)
        return value - (value - self._lowest) * (1.0 - kept)
