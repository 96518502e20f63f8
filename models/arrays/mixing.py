"""Numbers that look random and follow from others: the same on every run, in any order."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


def mix(state_n: NDArray[np.uint64], constant: np.uint64) -> NDArray[np.uint64]:
    """Scatter 64-bit numbers: the finaliser of splitmix64 (Steele et al., OOPSLA 2014)."""
    z = state_n + constant
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(seed: int, *parts: NDArray[np.integer]) -> NDArray[np.float64]:
    """A number in [0, 1) for each row of whole numbers, in the shape of all parts broadcast.

    Args:
        seed: another one gives other numbers.
        parts: what the number depends on.
    """
    state = np.full((), seed, np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            state = mix(np.bitwise_xor(state, part.astype(np.uint64)), _GOLDEN)
    drawn = (state >> np.uint64(11)).astype(np.float64)
    drawn *= 1.0 / (1 << 53)
    return drawn
