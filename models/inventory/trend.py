"""What media are worth to everybody over a shorter or longer time than popularity looks back.

Forward decay as in :mod:`models.inventory.popularity`, of one number a media: beside each other,
half-lives of hours and of months tell what rises from what always was liked.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.growing import GrowingColumns
from models.arrays.types import UNKNOWN, Rows

_MAX_EXPONENT: Final = 500.0


class Trend:
    """Decayed worth of what was done to each media.

    Args:
        half_life_ms: of the worth.
        worth_x: of each action, by code.
    """

    def __init__(self, half_life_ms: int, worth_x: tuple[float, ...]) -> None:
        self._half_life_ms = half_life_ms
        self._worth_x = np.array(worth_x)
        self._media = GrowingColumns(worth=(np.float64, 0.0))
        self._landmark_ms: int | None = None

    def add(
        self,
        media_rows: Rows,
        actions: NDArray[np.integer],
        ts: NDArray[np.int64],
        sign: NDArray[np.integer],
    ) -> None:
        """Count events on known media rows, all arguments of one length.

        Args:
            ts: event times, epoch ms, in any order.
            sign: 1 for an action, −1 for its undo.
        """
        if not len(ts):
            return
        newest = int(ts.max())
        if self._landmark_ms is None:
            self._landmark_ms = newest
        elif (newest - self._landmark_ms) / self._half_life_ms > _MAX_EXPONENT:
            self._media["worth"][:] *= np.exp2((self._landmark_ms - newest) / self._half_life_ms)
            self._landmark_ms = newest
        self._media.grow(int(media_rows.max()) + 1)
        decay_n = np.exp2((ts - self._landmark_ms) / self._half_life_ms)
        np.add.at(self._media["worth"], media_rows, sign * self._worth_x[actions] * decay_n)

    def worth(self, media_rows: Rows, now_ms: int) -> NDArray[np.float64]:
        """Decayed worth of media rows at `now_ms`, none below 0; 0 where nothing was done."""
        worth_m = self._media["worth"]
        if self._landmark_ms is None or not len(worth_m):
            return np.zeros(len(media_rows))
        exponent = min((self._landmark_ms - now_ms) / self._half_life_ms, _MAX_EXPONENT)
        found_n = worth_m.take(np.minimum(media_rows, len(worth_m) - 1))
        found_n[(media_rows == UNKNOWN) | (media_rows >= len(worth_m))] = 0.0
        decayed_n: NDArray[np.float64] = np.maximum(found_n, 0.0) * np.exp2(exponent)
        return decayed_n
