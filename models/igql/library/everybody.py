"""What is the same for everybody: the popular, the lasting and the new."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.events import DAY_MS
from models.igql.execution import Execution
from models.igql.library.registered import cost_of_lists, operators
from models.igql.registry import Arguments, SetType, count
from models.igql.sets import ColumnSet

#: The score of a new media halves in this time.
_FRESH_MS: Final = 7 * DAY_MS

_of_everybody = operators.register(
    takes=SetType.VIEWER,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=100),),
    cost=cost_of_lists,
    source=True,
    limit="max_num_to_retrieve",
)


@_of_everybody
def popular(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """The media with the highest decayed weighted counts, best first."""
    popularity = execution.world.popularity
    rows_k = popularity.most_popular(arguments["max_num_to_retrieve"])
    return viewers.to_each(SetType.MEDIA, rows_k, popularity.score(rows_k, execution.now_ms))


@_of_everybody
def evergreen(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """The media with the highest weighted counts over months, best first."""
    trend = execution.world.trends[-1]
    rows_k = trend.most_worth(arguments["max_num_to_retrieve"])
    return viewers.to_each(SetType.MEDIA, rows_k, trend.worth(rows_k, execution.now_ms))


@_of_everybody
def fresh(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """The newest media, newest first; the score halves every week."""
    catalog = execution.world.catalog
    rows_k = catalog.newest(arguments["max_num_to_retrieve"])
    age_k = np.maximum(execution.now_ms - catalog.created_ts_n[rows_k], 0)
    return viewers.to_each(SetType.MEDIA, rows_k, np.exp2(-age_k / _FRESH_MS))
