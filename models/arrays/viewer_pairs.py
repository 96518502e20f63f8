"""Rows of many viewers: where each viewer's are, (viewer, row) pairs as whole numbers, and which
pairs are among others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import NO_POSITIONS, Mask, Positions, Rows

Pairs = NDArray[np.int64]

#: Asked for more than these, a table of marks costs less.
_MANY: Final = 1024
#: Places of the table for each pair: about one strange pair in 2^5 of them is looked at twice.
_ROOM_BITS: Final = 5
_MOST_BITS: Final = 20
#: 2^64 divided by the golden ratio.
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


def pairs(viewer_n: NDArray[np.int64], row_n: Rows) -> Pairs:
    """Positions of viewers and rows as one number each; they ascend by viewer, then by row."""
    return (viewer_n << 32) | row_n


def pairs_of(of_v: Sequence[Rows]) -> Pairs:
    """The pairs of each viewer's rows, ascending where each viewer's rows are."""
    viewer_n = np.arange(len(of_v)).repeat([len(rows) for rows in of_v])
    return pairs(viewer_n, np.concatenate(of_v))


def rows_in(pair_n: Pairs) -> Rows:
    """The row of each pair."""
    rows: Rows = pair_n.astype(np.int32)  # The lower half.
    return rows


def spans_in(sorted_p: Pairs, viewers: int) -> list[slice]:
    """Where each viewer's are among ascending pairs."""
    bounds = sorted_p.searchsorted(np.arange(viewers + 1) << 32)
    return [slice(start, end) for start, end in pairwise(bounds.tolist())]


def spans_of(sizes: Iterable[int]) -> list[slice]:
    """Where each viewer's rows are, if they stand one after the other's."""
    return [slice(start, end) for start, end in pairwise(accumulate(sizes, initial=0))]


class PairSet:
    """Pairs, of which many others are asked whether they are among them.

    Few are as a rule. Where many are asked for, a small table of marks, by the hash of the pair,
    says no to nearly all others first, for less than a search of each.

    Args:
        sorted_p: ascending.
    """

    def __init__(self, sorted_p: Pairs) -> None:
        self._sorted_p = sorted_p
        self._shift = np.uint64(64 - min(_ROOM_BITS + len(sorted_p).bit_length(), _MOST_BITS))

    def __len__(self) -> int:
        return len(self._sorted_p)

    def find(self, wanted_n: Pairs) -> tuple[Positions, Positions]:
        """Which of `wanted_n` are among these, and where here."""
        if not len(self):
            return NO_POSITIONS, NO_POSITIONS
        maybe = None
        if len(wanted_n) > _MANY:
            maybe = self._marks.take(self._places(wanted_n)).nonzero()[0]
            wanted_n = wanted_n.take(maybe)
        at = self._sorted_p.searchsorted(wanted_n)
        same = (self._sorted_p.take(at, mode="clip") == wanted_n).nonzero()[0]
        return same if maybe is None else maybe.take(same), at.take(same)

    @cached_property
    def _marks(self) -> Mask:
        marks = np.zeros(1 << (64 - int(self._shift)), np.bool_)
        marks[self._places(self._sorted_p)] = True
        return marks

    def _places(self, pair_n: Pairs) -> Positions:
        """The highest bits of a product (Knuth, The Art of Computer Programming, vol. 3, 6.4)."""
        place_n = pair_n.view(np.uint64) * _GOLDEN
        place_n >>= self._shift
        return place_n.view(np.int64)


class ViewerRows:
    """Rows of each viewer of a batch, of which others are asked whether they are their viewer's.

    One viewer's rows are marked for the time of a question: a third of what finding pairs costs.
    For many viewers that would be as many questions.

    Args:
        of_v: known rows of each viewer.
        marks: of every row there is, all false; they are after each use.
    """

    def __init__(self, of_v: Sequence[Rows], marks: Mask) -> None:
        self._marks = marks
        self._one = of_v[0] if len(of_v) == 1 else None
        self._pairs = PairSet(np.sort(pairs_of(of_v)) if self._one is None else NO_POSITIONS)

    def hold(self, viewer_n: NDArray[np.int32], row_n: Rows) -> Mask:
        """Whether each row is one of its viewer's."""
        if self._one is not None:
            self._marks[self._one] = True
            found_n = self._marks.take(row_n)
            self._marks[self._one] = False
            return found_n
        found_n = np.zeros(len(row_n), np.bool_)
        if len(self._pairs):
            found_n[self._pairs.find(pairs(viewer_n.astype(np.int64), row_n))[0]] = True
        return found_n
