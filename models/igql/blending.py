"""Branches interleaved in proportion to their weights, each media once, and what stands in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import UNKNOWN
from models.igql.sets import ColumnSet, concatenate, first_of_each, first_of_runs, joined


def blend(
    viewers: int, parts: Sequence[ColumnSet], weights: Sequence[float], cut: int | None = None
) -> ColumnSet:
    """Interleave ordered parts of `viewers` viewers, to the first `cut` media of each.

    Of each viewer the i-th media of a part (from 0) is due at (i + ½) / weight, equal ones in the
    order of the parts. So a part that runs out, fails or has nothing for a viewer leaves its share
    to the others in proportion.

    A media that several parts bring is kept where its provenance says most: from a part that
    names a seed rather than from one that does not, then from the first of them.

    Args:
        weights: above 0.
    """
    rows = joined(parts)
    if not len(rows):
        return rows
    kept = first_of_each(rows.viewer_n, rows.row_n, rows.seed_n == UNKNOWN)
    # Where in `kept` the media of a part for a viewer begin, and how many there are.
    before_p = accumulate(map(len, parts), initial=0)
    begin_pv = kept.searchsorted(
        [part.bounds(viewers) + before for part, before in zip(parts, before_p, strict=False)]
    )
    size_p = (begin_pv[:, 1:] - begin_pv[:, :-1]).max(axis=1).tolist()
    part_t, turn_t = _due(tuple(_room(size, cut) for size in size_p), tuple(weights))
    # For each viewer the places in `kept` of the media due, in order, if the parts last so long.
    at_vt = begin_pv[:, :-1].T.take(part_t, axis=1) + turn_t
    found_n = (at_vt < begin_pv[:, 1:].T.take(part_t, axis=1)).ravel().nonzero()[0]
    if cut is not None:
        begin_v = found_n.searchsorted(np.arange(viewers + 1) * len(turn_t))
        found_n = found_n.take(first_of_runs(begin_v, cut))
    return rows.take(kept.take(at_vt.ravel().take(found_n)))


def short(viewers: int, rows: ColumnSet, cut: int | None) -> bool:
    """Whether a viewer has fewer rows than `cut`, of which None is never reached."""
    return cut is None or bool(np.diff(rows.bounds(viewers)).min(initial=cut) < cut)


def filled(viewers: int, rows: ColumnSet, others: ColumnSet, cut: int | None) -> ColumnSet:
    """The rows, behind them of `others` what is not among them, to the first `cut` of each viewer.

    Args:
        others: each media once.
    """
    all_n = concatenate([rows, others])
    found = all_n.take(first_of_each(all_n.viewer_n, all_n.row_n))
    return found if cut is None else found.first(cut, viewers)


def _room(size: int, cut: int | None) -> int:
    """A round number that is not below what a part of this size can give."""
    room = 1 << (size - 1).bit_length() if size else 0
    return room if cut is None else min(room, cut)


@lru_cache(maxsize=64)
def _due(
    size_p: tuple[int, ...], weights: tuple[float, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Parts and turns within them, in the order in which the media of full parts are due.

    Grids of one query differ little in the sizes, and not at all where these are round.
    """
    part_t = np.arange(len(size_p)).repeat(size_p)
    turn_t = np.concatenate([np.arange(size) for size in size_p])
    weight_t = np.array(weights, np.float64)[part_t]
    order_t = ((turn_t + 0.5) / weight_t).argsort(kind="stable")
    return part_t[order_t], turn_t[order_t]
