"""Branches interleaved in proportion to their weights, each media once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from models.columns import UNKNOWN
from models.igql.execution import Execution
from models.igql.sets import ColumnSet, concatenate

#: Later than any media of a branch with a weight is due.
_NEVER: Final = 1e12


def blend(
    execution: Execution,
    parts: Sequence[ColumnSet],
    weights: Sequence[float],
    cut: int | None = None,
) -> ColumnSet:
    """Interleave ordered parts, to the first `cut` media of each viewer.

    Of each viewer the i-th media of a part (from 0) is due at (i + ½) / weight, equal ones in the
    order of the parts. So a part that runs out, fails or has nothing for a viewer leaves its share
    to the others in proportion, and one of weight 0 stands in when all others have run out.

    A media that several parts bring is kept where its provenance says most: from a part that
    names a seed rather than from one that does not, then from the first of them.
    """
    joined = concatenate(parts)
    if not len(joined):
        return joined
    viewers = len(execution.viewers)
    part_n = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
    if viewers > 1:
        viewer_n = np.concatenate([part.viewer_n for part in parts])
        part_n = part_n[np.argsort(viewer_n.astype(np.uint16), kind="stable")]
    first_n = execution.first_places(joined, joined.row_n, joined.seed_n != UNKNOWN)
    kept = np.flatnonzero(first_n == np.arange(len(joined)))
    viewer_n, part_n = joined.viewer_n[kept], part_n[kept]
    group_n = viewer_n * np.int32(len(parts)) + part_n
    size_g = np.bincount(group_n, minlength=viewers * len(parts))
    turn_n = np.arange(len(kept)) - (np.cumsum(size_g) - size_g)[group_n]
    weight_n = np.asarray(weights, np.float64)[part_n]
    standing_in_n = weight_n == 0.0
    due_n = (turn_n + 0.5) / np.where(standing_in_n, 1.0, weight_n)
    due_n[standing_in_n] += _NEVER
    # Viewer by viewer: short runs that are nearly in order already.
    bounds = np.searchsorted(viewer_n, np.arange(viewers + 1)).tolist()
    orders = [
        due_n[start:end].argsort(kind="stable")[:cut] + start for start, end in pairwise(bounds)
    ]
    return joined.take(kept[np.concatenate(orders)])
