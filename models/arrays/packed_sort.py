"""Rows in order of several columns, by sorting one whole number a row.

NumPy sorts whole numbers many times faster than it finds the order of anything (vector
instructions, no detour over positions), so the columns and the row's position are packed into one
number of 63 bits, and the position is read from what comes out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Mask, Positions

Column = NDArray[np.integer] | NDArray[np.uint32] | NDArray[np.bool_]

#: Bits of a whole number that sorts as what is packed into it.
_BITS: Final = 63
_SIGN: Final = np.int32(np.iinfo(np.int32).min)


class Sorted:
    """Rows by the first column, then by the second and so on; equal ones stay as they stand.

    Args:
        columns: one or more of one length, of whole numbers from 0.

    Attributes:
        order_n: positions of the rows in that order.
    """

    def __init__(self, *columns: Column) -> None:
        n = len(columns[0])
        self._columns = columns
        self._widths = [_width(column_n) for column_n in columns] if n else [0] * len(columns)
        self._width = max(n - 1, 0).bit_length()
        self._packed_n: NDArray[np.int64] | None = None
        if sum(self._widths) + self._width > _BITS:
            self.order_n: Positions = np.lexsort(columns[::-1])
            return
        # Columns of zeros, such as those of a single viewer, say nothing.
        some = [at for at, width in enumerate(self._widths) if width] or [0]
        packed_n = columns[some[0]].astype(np.int64)
        for at in some[1:]:
            packed_n <<= self._widths[at]
            packed_n |= columns[at]
        packed_n <<= self._width
        packed_n |= np.arange(n)
        packed_n.sort()
        self._packed_n = packed_n
        self.order_n = packed_n & ((1 << self._width) - 1)

    def begins(self, count: int) -> Mask:
        """Where, in order, the first `count` columns are not what they are in the row before."""
        begin_n = np.zeros(len(self.order_n), np.bool_)
        begin_n[:1] = True
        if self._packed_n is not None:
            group_n = self._packed_n >> (sum(self._widths[count:]) + self._width)
            np.not_equal(group_n[1:], group_n[:-1], out=begin_n[1:])
        else:
            for column_n in self._columns[:count]:
                sorted_n = column_n[self.order_n]
                begin_n[1:] |= sorted_n[1:] != sorted_n[:-1]
        return begin_n


def _width(column_n: Column) -> int:
    if column_n.dtype.kind == "b":
        return 1
    return 32 if column_n.dtype.kind == "u" else int(column_n.max()).bit_length()


def falling(score_n: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Whole numbers that sort as scores do from the highest to the lowest."""
    # Not −score: 0 and −0 are equal, their bits are not.
    bits_n = (np.float32(0.0) - score_n).view(np.int32)
    # The bits of numbers from 0 on sort as they do, those of negative ones the other way round.
    return (bits_n ^ ((bits_n >> 31) | _SIGN)).view(np.uint32)
