"""What media are worth to everybody over a shorter or longer time than popularity looks back.

One number a media: beside each other, half-lives of hours and of months tell what rises from what
always was liked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays.forward_decay import ForwardDecay
from models.arrays.growing import GrowingColumns, TopRows
from models.arrays.stored import Arrays
from models.arrays.types import UNKNOWN, Rows


class Trend:
    """Decayed worth of what was done to each media.

    Args:
        half_life_ms: of the worth.
        worth_x: of each action, by code.
    """

    def __init__(self, half_life_ms: int, worth_x: tuple[float, ...]) -> None:
        self._decay = ForwardDecay(half_life_ms)
        self._worth_x = np.array(worth_x)
        self._media = GrowingColumns(worth=(np.float64, 0.0))
        self._top = TopRows()

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Worth as it is stored, copied, and the landmark that it is of."""
        return self._media.to_arrays() | self._decay.to_arrays()

    def load(self, arrays: Arrays) -> None:
        """Count on from what :meth:`to_arrays` gave; the arrays are kept, not copied.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        self._media.load(arrays)
        self._decay.load(arrays)
        self._top.rescale()

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
        if (left := self._decay.advance(int(ts.max()))) != 1.0:
            self._media["worth"][:] *= left
            self._top.rescale()
        self._media.grow(int(media_rows.max()) + 1)
        weight_n = sign * self._worth_x[actions] * self._decay.weights(ts)
        np.add.at(self._media["worth"], media_rows, weight_n)
        self._top.touch(np.unique(media_rows))

    def most_worth(self, k: int) -> Rows:
        """Up to k media rows with the highest worth above 0, best first."""
        return self._top.best(self._media["worth"], k)

    def worth(self, media_rows: Rows, now_ms: int) -> NDArray[np.float64]:
        """Decayed worth of media rows at `now_ms`, none below 0; 0 where nothing was done."""
        worth_m = self._media["worth"]
        if not len(worth_m):
            return np.zeros(len(media_rows))
        found_n = worth_m.take(np.minimum(media_rows, len(worth_m) - 1))
        found_n[(media_rows == UNKNOWN) | (media_rows >= len(worth_m))] = 0.0
        decayed_n: NDArray[np.float64] = np.maximum(found_n, 0.0) * self._decay.left(now_ms)
        return decayed_n
