"""Rows of many viewers: where each viewer's are, (viewer, row) pairs as whole numbers, and which
pairs are among others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import NO_POSITIONS, Rows

Pairs = NDArray[np.int64]

#: From here on the table costs less.
_MANY: Final = 1024
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


def matches(sorted_p: Pairs, wanted_n: Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of `wanted_n` are among ascending pairs, and where there.

    Few are as a rule. Where many are asked for, a table of the hashes of what is there tells most
    others apart first, for less than a search of each.
    """
    if not len(sorted_p):
        return NO_POSITIONS, NO_POSITIONS
    found = None
    if len(wanted_n) > _MANY:
        bits = 4 + len(sorted_p).bit_length()
        taken = np.zeros(1 << bits, np.bool_)
        taken[_hashes(sorted_p, bits)] = True
        found = taken[_hashes(wanted_n, bits)].nonzero()[0]
        wanted_n = wanted_n[found]
    at = sorted_p.searchsorted(wanted_n)
    at[at == len(sorted_p)] = 0
    same = (sorted_p[at] == wanted_n).nonzero()[0]
    return same if found is None else found[same], at[same]


def _hashes(pair_n: Pairs, bits: int) -> NDArray[np.int64]:
    """The highest bits of a product (Knuth, The Art of Computer Programming, volume 3, 6.4)."""
    return ((pair_n.view(np.uint64) * _GOLDEN) >> np.uint64(64 - bits)).view(np.int64)
