"""Media that are liked by the viewers who liked these."""

from __future__ import annotations

import numpy as np

from models.arrays.packed_sort import falling
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
    """Media by their item weights from all of these together, each under what adds most."""
    weights = execution.world.item_weights
    if weights is None or not len(weights):
        execution.note("no item weights were fitted yet")
        return ColumnSet.empty(SetType.MEDIA)
    most = arguments["max_num_to_retrieve"]
    from_n, found_n, score_n = [], [], []
    for _, span in execution.each(media):
        history = media.row_n[span]
        slot_k, sum_k = weights.summed(history)
        # What the viewer liked already is excluded later; its places go to others now.
        sum_k[np.isin(weights.media_s[slot_k], history, kind="sort")] = 0.0
        key_k = falling(sum_k).astype(np.uint64) << np.uint64(32) | slot_k.astype(np.uint64)
        key_k = key_k[sum_k > 0]
        if len(key_k) > most:
            key_k = np.partition(key_k, most - 1)[:most]
        key_k.sort()
        slots = (key_k & np.uint64(0xFFFFFFFF)).astype(np.int32)
        rows = weights.media_s[slots]
        from_n.append(weights.closest(history, rows) + span.start)
        found_n.append(rows)
        score_n.append(weights.likeness(history, slots)[0])
    if not from_n:
        return ColumnSet.empty(SetType.MEDIA)
    return media.derive(
        np.concatenate(from_n),
        SetType.MEDIA,
        np.concatenate(found_n),
        score_n=np.concatenate(score_n),
    )
