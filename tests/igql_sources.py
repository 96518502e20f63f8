"""Sources as user code adds them: in a copy of the registry, known to nothing else."""

from __future__ import annotations

import numpy as np

from models.igql.execution import Execution
from models.igql.library import operators
from models.igql.registry import Arguments, Cost, SetType, count
from models.igql.sets import ColumnSet, best_of_each

REGISTRY = operators.copy()


@REGISTRY.register(
    takes=SetType.VIEWER,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=20),),
    cost=lambda rows, arguments: Cost(rows * arguments["max_num_to_retrieve"], 30.0),
    source=True,
    limit="max_num_to_retrieve",
)
def safest(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """The media with the least risk."""
    risk_n = execution.world.catalog.risk_n
    rows = np.argsort(risk_n, kind="stable")[: arguments["max_num_to_retrieve"]]
    return viewers.to_each(SetType.MEDIA, rows.astype(np.int32), 1.0 - risk_n[rows])


@REGISTRY.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=20),),
    cost=lambda rows, arguments: Cost(arguments["max_num_to_retrieve"], 30.0 + rows),
    source=True,
    limit="max_num_to_retrieve",
)
def same_topic(execution: Execution, media: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Media of the topics of these, the newest first, each under the first of its topic."""
    catalog = execution.world.catalog
    newest_k = catalog.newest(catalog.media_count)
    alike_nk = catalog.topic_n[media.row_n][:, None] == catalog.topic_n[newest_k]
    at_n, place_n = alike_nk.nonzero()
    near_n, score_n = newest_k.take(place_n), -place_n.astype(np.float32)
    most, viewers = arguments["max_num_to_retrieve"], len(execution.viewers)
    best = best_of_each(media.viewer_n.take(at_n), near_n, score_n, most, viewers)
    return media.derive(
        at_n.take(best), SetType.MEDIA, near_n.take(best), score_n=score_n.take(best)
    )
