"""Media that are liked by the viewers who liked these."""

from __future__ import annotations

import numpy as np

from models.arrays.types import UNKNOWN
from models.igql.execution import Execution
from models.igql.library.registered import operators
from models.igql.registry import Arguments, Cost, SetType, count
from models.igql.sets import ColumnSet


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=500, most=5000),),
    cost=lambda rows, arguments: Cost(arguments["max_num_to_retrieve"], 200.0 + 3.0 * rows),
    source=True,
    limit="max_num_to_retrieve",
)
def alike(execution: Execution, media: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Media by the sum of their item weights from all of these, each under the one that adds
    most.
    """
    weights = execution.world.item_weights
    if weights is None or not len(weights):
        execution.note("no item weights were fitted yet")
        return ColumnSet.empty(SetType.MEDIA)
    most = arguments["max_num_to_retrieve"]
    from_n, found_n, score_n = [], [], []
    for _, span in execution.each(media):
        history = media.row_n[span]
        likeness_s = weights.likeness(history)
        slot_h = weights.slots_of(history)
        likeness_s[slot_h[slot_h != UNKNOWN]] = 0.0
        slots = likeness_s.nonzero()[0]
        if len(slots) > most:
            slots = slots[np.argpartition(-likeness_s[slots], most - 1)[:most]]
        slots = slots[np.lexsort((slots, -likeness_s[slots]))]
        rows = weights.media_s[slots]
        from_n.append(weights.closest(history, rows) + span.start)
        found_n.append(rows)
        score_n.append(likeness_s[slots])
    if not from_n:
        return ColumnSet.empty(SetType.MEDIA)
    return media.derive(
        np.concatenate(from_n),
        SetType.MEDIA,
        np.concatenate(found_n),
        score_n=np.concatenate(score_n),
    )
