"""Media that the same viewers act on."""

from __future__ import annotations

import numpy as np

from models.columns import UNKNOWN
from models.igql.execution import Execution
from models.igql.library.registered import operators
from models.igql.registry import Arguments, Cost, SetType, count
from models.igql.sets import ColumnSet, best_first


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=200, most=5000),),
    cost=lambda rows, arguments: Cost(arguments["max_num_to_retrieve"], 60.0 + 2.0 * rows),
    source=True,
    limit="max_num_to_retrieve",
)
def co_engaged(execution: Execution, media: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Media that viewers act on together with these, the closest first, each under its closest."""
    near_nk, score_nk = execution.world.co_engagement.neighbours(media.row_n, execution.now_ms)
    at_n, column_n = np.nonzero(near_nk != UNKNOWN)
    if not len(at_n):
        execution.note("nothing was acted on together with these media")
        return ColumnSet.empty(SetType.MEDIA)
    score_n = score_nk[at_n, column_n]
    order_n = best_first(media.viewer_n[at_n], score_n)
    at_n, column_n = at_n[order_n], column_n[order_n]
    found = media.derive(
        at_n, SetType.MEDIA, near_nk[at_n, column_n], score_n=score_nk[at_n, column_n]
    )
    found = execution.distinct(found)
    return found.ranked().first(arguments["max_num_to_retrieve"], len(execution.viewers))
