"""Media that the same viewers act on."""

from __future__ import annotations

from models.arrays.types import UNKNOWN
from models.igql.execution import Execution
from models.igql.library.registered import operators
from models.igql.registry import Arguments, Cost, SetType, count
from models.igql.sets import ColumnSet, best_of_each


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
    there_nk = near_nk != UNKNOWN
    at_n = there_nk.nonzero()[0]
    if not len(at_n):
        execution.note("nothing was acted on together with these media")
        return ColumnSet.empty(SetType.MEDIA)
    near_n, score_n = near_nk[there_nk], score_nk[there_nk]
    most, viewers = arguments["max_num_to_retrieve"], len(execution.viewers)
    best = best_of_each(media.viewer_n.take(at_n), near_n, score_n, most, viewers)
    return media.derive(
        at_n.take(best), SetType.MEDIA, near_n.take(best), score_n=score_n.take(best)
    )
