"""Whether a row is among its viewer's, for many rows of many viewers at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Mask, Rows
from models.arrays.viewer_pairs import pairs, pairs_of

#: Places of the table for each pair: about one strange row in so many is looked at twice.
_ROOM: Final = 64
_MOST_BITS: Final = 20
#: 2^32 divided by the golden ratio spreads rows over the table (Knuth, TAOCP 6.4), and an odd
#: number of another origin shifts them for each viewer.
_SPREAD: Final = np.uint32(0x9E3779B1)
_SPREAD_VIEWERS: Final = np.uint32(0x85EBCA77)


class Members:
    """Pairs of viewers and rows.

    One viewer's rows are marked for the time of a question. For many viewers that would be as many
    questions: a small table of marks, by the hash of the pair, says no to nearly all that are not
    in it, and those it does not are compared.

    Args:
        of_v: rows of each viewer.
        marks: of every row there is, all false; they are after each use.
    """

    def __init__(self, of_v: Sequence[Rows], marks: Mask) -> None:
        self._some = any(map(len, of_v))
        self._one = of_v[0] if len(of_v) == 1 else None
        self._marks = marks
        if self._some and self._one is None:
            row_p = np.concatenate(of_v)
            viewer_p = np.arange(len(of_v), dtype=np.int32).repeat([len(rows) for rows in of_v])
            self._pair_p = np.sort(pairs_of(of_v))
            bits = (_ROOM * len(row_p)).bit_length()
            self._shift = np.uint32(32 - min(bits, _MOST_BITS))
            self._marks = np.zeros(1 << (32 - int(self._shift)), np.bool_)
            self._marks[self._places(viewer_p, row_p)] = True

    def hold(self, viewer_n: NDArray[np.int32], row_n: Rows) -> Mask:
        """Whether each pair is one of these."""
        if not self._some:
            return np.zeros(len(row_n), np.bool_)
        if self._one is not None:
            self._marks[self._one] = True
            found_n = self._marks.take(row_n)
            self._marks[self._one] = False
            return found_n
        maybe = self._marks.take(self._places(viewer_n, row_n)).nonzero()[0]
        pair_m = pairs(viewer_n.take(maybe).astype(np.int64), row_n.take(maybe))
        at_m = self._pair_p.searchsorted(pair_m)
        found_n = np.zeros(len(row_n), np.bool_)
        found_n[maybe] = self._pair_p.take(at_m, mode="clip") == pair_m
        return found_n

    def _places(self, viewer_n: NDArray[np.int32], row_n: Rows) -> NDArray[np.uint32]:
        hash_n = row_n.view(np.uint32) * _SPREAD
        hash_n += viewer_n.view(np.uint32) * _SPREAD_VIEWERS
        hash_n >>= self._shift
        return hash_n
