"""Media that are liked by the viewers who liked these."""

from __future__ import annotations

import numpy as np

from models.arrays.viewer_pairs import PairSet, pairs
from models.igql.execution import Execution
from models.igql.library.registered import operators
from models.igql.registry import Arguments, Cost, SetType, count
from models.igql.sets import ColumnSet, best_first, first_of_runs
from models.item_to_item.sums import Histories


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=500, most=5000),),
    cost=lambda rows, arguments: Cost(arguments["max_num_to_retrieve"], 200.0 + 3.0 * rows),
    source=True,
    limit="max_num_to_retrieve",
)
def alike(execution: Execution, media: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Media by their item weights from all of these together, each under what adds most.

    What everybody likes more comes earlier, as far as viewers' choices say so.
    """
    weights = execution.world.item_weights
    if weights is None or not len(weights):
        execution.note("no item weights were fitted yet")
        return ColumnSet.empty(SetType.MEDIA)
    found = weights.summed(Histories(media.row_n, media.viewer_n))
    viewer_k, sum_k = found.viewer_k, found.sum_k
    # What the viewer liked already is excluded later; its places go to others now.
    slots = PairSet(pairs(viewer_k.astype(np.int64), found.slot_k))
    own_n = pairs(media.viewer_n.astype(np.int64), weights.slots_of(media.row_n))
    sum_k[slots.find(own_n)[1]] = 0.0
    lift_s = execution.world.lift(weights, execution.now_ms)
    if lift_s is not None:
        sum_k *= lift_s.take(found.slot_k)
    left = (sum_k > 0).nonzero()[0]
    # Slots ascend, so of equal ones the first comes first.
    best = left.take(best_first(viewer_k.take(left), sum_k.take(left)))
    begin_v = viewer_k.take(best).searchsorted(np.arange(len(execution.viewers) + 1))
    best = best.take(first_of_runs(begin_v, arguments["max_num_to_retrieve"]))
    return media.derive(
        found.closest_k.take(best),
        SetType.MEDIA,
        weights.media_s.take(found.slot_k.take(best)),
        score_n=sum_k.take(best),
    )
