"""A ranking without cuts beside the usual one: what the earlier passes lose."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from models.explore.pipeline import ExploreConfig, Found, funnel
from models.explore.trace import Trace
from models.explore.valuation import Scored, score_final
from models.features.assembly import Assembly
from models.world import World


@dataclass(frozen=True, slots=True)
class Uncut:
    """A viewer's candidates, ranked with the usual cuts, and all of them scored.

    Attributes:
        trace: the ranking with its cuts.
        scored_n: what the final pass says of all candidates. Its features are those that the passes
            read, and for what was cut also those that a later pass would have read.
        size: items of a full grid.
    """

    trace: Trace
    scored_n: Scored
    size: int


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


def rank_uncut(found: Found, world: World, config: ExploreConfig) -> Uncut:
    """Rank the candidates of the first viewer, and score all of them with the final pass."""
    trace, treatment = funnel(found, world, config)[0], found.treatment
    size = len(trace.candidates)
    assembly = Assembly.of(found.viewers[:1], trace.candidates, [size], world, found.now_ms)
    scored_n = score_final(
        assembly, treatment.rankers, treatment.weights, config.see_fewer_strength
    )
    return Uncut(trace, scored_n, config.size)


def survival(ranking: Uncut) -> Survival:
    """What the earlier passes lost of the grid's worth of media that the final pass values most.

    Media put behind others for a see-fewer on their author do not count: no pass is to keep them.
    """
    trace = ranking.trace
    order_n = np.argsort(-ranking.scored_n.value_n, kind="stable")
    best = order_n[~trace.behind_n[order_n]][: ranking.size]
    first = np.isin(best, trace.first_k)
    both = np.isin(best, trace.kept_m)
    return Survival(len(best), int((~first).sum()), int((first & ~both).sum()))
