"""Greedy re-ranking: every repeat of an author or of a seed costs more than the one before."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray


class DiversityConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Penalty per earlier pick of the same author or seed.

    In units of the distance from the best value to the median, so that the same setting works for
    every form and scale of value. ``enabled`` False is the feed mode: by value alone.
    """

    enabled: bool = True
    author_penalty: float = 1.0
    seed_penalty: float = 0.15


def diversify(
    value_n: NDArray[np.float64],
    author_n: NDArray[np.integer],
    seed_n: NDArray[np.integer],
    size: int,
    config: DiversityConfig | None = None,
) -> NDArray[np.int64]:
    """Pick up to `size` rows, best first.

    Each step takes the row with the highest value less its penalties; equal ones are taken in
    the order given.

    Args:
        value_n: finite values.
        author_n: author of each row; a negative one is never a repeat.
        seed_n: seed of each row; a negative one is never a repeat.
        size: rows to pick.
    """
    config = config or DiversityConfig()
    size = min(size, len(value_n))
    if not config.enabled or size <= 1:
        return np.argsort(-value_n, kind="stable")[:size]
    unit = max(float(value_n.max() - np.median(value_n)), 1e-9)
    left = np.array(value_n, np.float64)
    picked = np.empty(size, np.int64)
    for step in range(size):
        best = int(np.argmax(left))
        picked[step] = best
        for group_n, penalty in ((author_n, config.author_penalty), (seed_n, config.seed_penalty)):
            if group_n[best] >= 0:
                left[group_n == group_n[best]] -= penalty * unit
        left[best] = -np.inf
    return picked
