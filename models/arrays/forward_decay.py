"""Counts that decay with time and are written once.

An event at time t weighs 2^((t − now) / half-life) at `now`. What is stored of it is
2^((t − landmark) / half-life): events add up in any order, and one factor at reading, the same for
all, gives what is left of their sum, so that waiting never changes an order. The landmark moves
before weights could overflow (forward decay, Cormode et al., ICDE 2009).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.stored import ANY, Arrays, StoredArraysError, taken

#: Half-lives that an event may lie after the landmark; 2^500 squared is still finite.
MOST: Final = 500.0


class ForwardDecay:
    """The landmark of one set of decayed counts.

    Args:
        half_life_ms: of the counts.
        most: half-lives that an event may lie after the landmark.
    """

    def __init__(self, half_life_ms: int, most: float = MOST) -> None:
        self._half_life_ms, self._most = half_life_ms, most
        self._landmark_ms: int | None = None

    def to_arrays(self) -> dict[str, NDArray[np.int64]]:
        """The landmark, epoch ms; none before the first event."""
        told = [] if self._landmark_ms is None else [self._landmark_ms]
        return {"landmark_ms": np.array(told, np.int64)}

    def load(self, arrays: Arrays) -> None:
        """Go on from a landmark.

        Raises:
            StoredArraysError: there is none, or more than one.
        """
        told = taken(arrays, "landmark_ms", np.int64, ANY).tolist()
        if len(told) > 1:
            raise StoredArraysError(f"{len(told)} landmarks of one set of decayed counts")
        self._landmark_ms = told[0] if told else None

    def advance(self, newest_ms: int) -> float:
        """Make room for events up to a time; what is stored must be multiplied by the result.

        It is 1 unless the landmark has moved: only then there is anything to multiply.
        """
        if self._landmark_ms is None:
            self._landmark_ms = newest_ms
        passed = (newest_ms - self._landmark_ms) / self._half_life_ms
        if passed <= self._most:
            return 1.0
        self._landmark_ms = newest_ms
        return float(np.exp2(-passed))

    def weights(self, ts: NDArray[np.int64]) -> NDArray[np.float64]:
        """What events at these times are stored as; they lie before what was advanced to."""
        assert self._landmark_ms is not None
        weight_n: NDArray[np.float64] = np.exp2((ts - self._landmark_ms) / self._half_life_ms)
        return weight_n

    def left(self, now_ms: int) -> float:
        """What makes stored counts those of `now_ms`; 0 where nothing was ever stored.

        A reader far in the past of the newest event gets a finite number, too.
        """
        if self._landmark_ms is None:
            return 0.0
        exponent = (self._landmark_ms - now_ms) / self._half_life_ms
        return float(np.exp2(min(exponent, self._most)))
