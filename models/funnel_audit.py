"""What the earlier passes lose: the final pass over all candidates, beside what it was left."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.explore import ExploreConfig, Found, funnel
from models.features import Assembly
from models.judging import judge
from models.trace import Trace
from models.world import World


class Survival(msgspec.Struct, frozen=True):
    """Of the media with the highest value over all candidates.

    Attributes:
        best: how many there are: the items of a grid, or fewer.
        lost_first: of them, those that the first pass cut.
        lost_second: of the others, those that the second pass cut.
    """

    best: int
    lost_first: int
    lost_second: int


def survival(found: Found, world: World, config: ExploreConfig) -> Survival:
    """Rank the candidates of the first viewer, and score all of them with the final pass.

    Media put behind others for likeness to see-fewers do not count: no pass is to keep them.
    """
    trace = funnel(found, world, config)[0]
    best = _best(trace, found, world, config)
    first = np.isin(best, trace.first_k)
    both = np.isin(best, trace.kept_m)
    return Survival(len(best), int((~first).sum()), int((first & ~both).sum()))


def _best(trace: Trace, found: Found, world: World, config: ExploreConfig) -> NDArray[np.int64]:
    treatment, size = found.treatment, len(trace.candidates)
    assembly = Assembly.of(found.viewers[:1], trace.candidates, [size], world, found.now_ms)
    judged = judge(
        assembly,
        treatment.rankers or world.rankers,
        treatment.weights or world.weights,
        config.see_fewer_strength,
    )
    order_n = np.argsort(-judged.value_n, kind="stable")
    best: NDArray[np.int64] = order_n[~trace.behind_n[order_n]][: config.size]
    return best
