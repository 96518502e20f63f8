"""Averages of vectors that go on learning.

At a constant learning rate each vector wanders around where it belongs. A fit cools the rate down
to end that; a stream has no end, but the average over what it wanders through is as still (Polyak
and Juditsky 1992). It is exponential, over a horizon of words learned, so that it forgets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.ig2vec.vocabulary import with_room


class AveragedVectors:
    """One average per row.

    Args:
        vectors_nd: what the averages begin as.
        known_n: the clock, in words, when each row was averaged last.
        words: the clock.
    """

    def __init__(
        self,
        vectors_nd: NDArray[np.float32],
        known_n: NDArray[np.float64] | None = None,
        words: float = 0.0,
    ) -> None:
        self.words = words
        self._size = len(vectors_nd)
        self._averages = vectors_nd.astype(np.float32)
        self._known = np.full(self._size, words) if known_n is None else known_n.astype(np.float64)

    @property
    def vectors_nd(self) -> NDArray[np.float32]:
        """The average of each row, (n, d): a view until :meth:`grow`."""
        return self._averages[: self._size]

    @property
    def known_n(self) -> NDArray[np.float64]:
        """When each row was averaged last, a view; minus infinity for never."""
        return self._known[: self._size]

    def grow(self, rows: int) -> None:
        """Add rows, whose averages will be what they are at the first :meth:`follow`."""
        start, self._size = self._size, self._size + rows
        self._averages = with_room(self._averages, self._size)
        self._known = with_room(self._known, self._size)
        self._averages[start : self._size] = 0
        self._known[start : self._size] = -np.inf

    def keep(self, rows_n: NDArray[np.int64]) -> None:
        """Take away all rows but these."""
        self._averages, self._known = self._averages[rows_n], self._known[rows_n]
        self._size = len(rows_n)

    def follow(
        self,
        rows_m: NDArray[np.int64],
        vectors_md: NDArray[np.float32],
        words: int,
        horizon: float,
    ) -> None:
        """Let the averages of rows follow their vectors.

        Args:
            vectors_md: of these rows now.
            words: learned since the last call.
            horizon: words after which a vector counts for 1/e; 0 takes the vectors as they are.
        """
        self.words += words
        if horizon:
            share_m1 = -np.expm1((self._known[rows_m] - self.words) / horizon)[:, np.newaxis]
        else:
            share_m1 = np.ones((len(rows_m), 1))
        before_md = self._averages[rows_m]
        self._averages[rows_m] = before_md + share_m1 * (vectors_md - before_md)
        self._known[rows_m] = self.words
