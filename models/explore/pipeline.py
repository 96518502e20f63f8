"""The whole pipeline: candidates → first pass → second pass → final pass → value → diversity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from models.arrays.types import NO_ROWS, Rows
from models.arrays.viewer_pairs import spans_of
from models.explore.diversity import DiversityConfig
from models.explore.exploration import ExplorationConfig
from models.explore.grid import Grid
from models.explore.randomisation import Pool, RandomisationConfig, put_into_random_order
from models.explore.slate import SlateRules
from models.explore.slate_items import SlateItems
from models.explore.stage import Cut, Stage
from models.explore.trace import FunnelRun, Trace
from models.explore.treatment import Treatment
from models.explore.valuation import score_final
from models.feature_schema import FEATURE_VERSION
from models.features.assembly import Assembly
from models.igql.executor import Executed
from models.viewers.context import ViewerContext
from models.world import World


class ExploreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of the funnel and the rules around it.

    Attributes:
        first, second: media kept by the first and the second pass; more where `size` needs it.
        size: items of a grid.
        personal_share: smallest share, in every pass and in the grid, of media found through the
            viewer's own accounts, while there are any. Rankers lean to the popular; a first like
            must show all the same.
        see_fewer_strength: likelihood of a further see-fewer, given one on the same author now;
            half of it a week later. What similar authors are worth is for the passes to learn.
        demote_from: 2^(−weeks since a see-fewer on its author) from which on a media passes the
            first pass only if nothing else is left; above 1, none comes behind.
    """

    first: int = 150
    second: int = 50
    size: int = 25
    diversity: DiversityConfig = DiversityConfig()
    exploration: ExplorationConfig = ExplorationConfig()
    randomisation: RandomisationConfig = RandomisationConfig()
    personal_share: float = 0.3
    see_fewer_strength: float = 0.8
    demote_from: float = 0.6

    def slate_rules(self, treatment: Treatment) -> SlateRules:
        """The rules by which a grid of an arm is filled; in feed mode value alone decides."""
        diversity, exploration = self.diversity, self.exploration
        if treatment.feed:
            diversity = DiversityConfig(enabled=False)
        elif treatment.author_penalty is not None:
            diversity = msgspec.structs.replace(diversity, author_penalty=treatment.author_penalty)
        if treatment.exploration_share is not None:
            exploration = msgspec.structs.replace(exploration, share=treatment.exploration_share)
        return SlateRules(
            size=self.size,
            personal=int(self.personal_share * self.size),
            diversity=diversity,
            exploration=exploration,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates of viewers of one arm, one viewer's after the other's."""

    viewers: Sequence[ViewerContext]
    treatment: Treatment
    executed: Executed
    now_ms: int


def explore(
    viewer: ViewerContext,
    world: World,
    treatment: Treatment,
    config: ExploreConfig,
    now_ms: int,
    served: Rows = NO_ROWS,
) -> Grid:
    """The grid of one viewer. Fewer items than asked when there is little to show, never an error.

    Args:
        treatment: what the viewer's arm gets.
        served: media served already, e.g. on earlier pages; unknown rows are ignored.
    """
    found = find([viewer], world, treatment, now_ms, [served], enough=config.size)
    return funnel(found, world, config)[0].grid


def find(
    viewers: Sequence[ViewerContext],
    world: World,
    treatment: Treatment,
    now_ms: int,
    served: Sequence[Rows] | None = None,
    enough: int = 0,
) -> Found:
    """Find the candidates of viewers of one arm. Few where there is little to show, never an error.

    Args:
        treatment: what the viewers' arm gets.
        served: for each viewer media served already, e.g. on earlier pages; unknown rows are
            ignored.
        enough: the query's exclusions give way for viewers of whom fewer are found.
    """
    if served is not None:
        served = [rows[rows >= 0] for rows in served]
    executed = treatment.query.find(viewers, world, treatment.rankers, now_ms, served, enough)
    return Found(viewers, treatment, executed, now_ms)


def funnel(found: Found, world: World, config: ExploreConfig) -> list[Trace]:
    """Rank the candidates of each viewer; whatever is scored is scored for all of them at once."""
    treatment, share, strength = found.treatment, config.personal_share, config.see_fewer_strength
    rankers, weights = treatment.rankers, treatment.weights
    most = max(config.second, config.size)

    everything, bounds = found.executed.all_candidates()
    sizes_v = np.diff(bounds)
    assembly = Assembly.of(found.viewers, everything, sizes_v, world, found.now_ms)
    candidates = Stage.of(assembly, sizes_v, config.demote_from)
    rules = config.slate_rules(treatment)
    first = candidates.rank(rankers.first, max(config.first, most), share)
    lottery = rules.lottery(candidates, first)
    passed = candidates.take(first.kept, lottery.tickets)
    second = passed.rank(rankers.second, most, share)
    left = passed.go_on(second.kept)
    scored = score_final(left.assembly, rankers, weights, strength)
    slates = rules.place(left, scored.value_n, sizes_v, lottery)
    pools: list[Pool | None] = [None] * len(slates)
    if config.randomisation.share and not treatment.feed:
        slates, pools = put_into_random_order(
            slates, left, scored, config.size, strength, config.randomisation
        )
    items = SlateItems.of(left, second, scored, slates, sizes_v)
    orders = [
        one.order(m, tickets)
        for one, m, tickets in zip(slates, left.spans, left.tickets, strict=True)
    ]
    shown, spans = items.take(np.concatenate(orders)), spans_of(map(len, orders))
    grids = _grids(found, world, candidates, first, shown, spans, pools)
    run = FunnelRun(
        candidates=candidates,
        first=first,
        passed=passed,
        second=second,
        left=left,
        scored=scored,
    )
    return [Trace(grid, run, at) for at, grid in enumerate(grids)]


def _grids(
    found: Found,
    world: World,
    candidates: Stage,
    first: Cut,
    shown: SlateItems,
    spans: list[slice],
    pools: Sequence[Pool | None],
) -> list[Grid]:
    """Each viewer's grid, of the rows of `shown` that are its."""
    rows = candidates.assembly.rows
    versions = {
        **found.treatment.versions(world),
        "index": world.index_version(),
        "features": FEATURE_VERSION,
    }
    dropped = found.executed.report.dropped()
    media = rows.candidates.take(shown.rows_n)
    author_n, first_n = rows.author_n[shown.rows_n], first.score_n[shown.rows_n]
    scored = shown.scored
    return [
        Grid(
            viewer_id=viewer.viewer_id,
            candidates=media.take(g),
            features=scored.features.take(g),
            author_n=author_n[g],
            candidate_rank_n=shown.rows_n[g] - n.start,
            first_score_n=first_n[g],
            first_rank_n=shown.first_rank_n[g],
            second_score_n=shown.second_score_n[g],
            second_rank_n=shown.second_rank_n[g],
            probabilities_nh=scored.probabilities_nh[g],
            expected_nh=scored.expected_nh[g],
            value_n=scored.value_n[g],
            penalty_n=scored.penalty_n[g],
            propensity_n=shown.propensity_n[g] if pool is None else pool.shares(g.stop - g.start),
            candidate_count=n.stop - n.start,
            generated_at_ms=found.now_ms,
            reflects_ts=viewer.reflects_ts,
            reflects_offsets=viewer.reflects_offsets,
            dropped=dropped,
            versions=versions,
            relaxed=found.executed.relaxed(at),
            pool=pool,
        )
        for at, (viewer, n, g, pool) in enumerate(
            zip(found.viewers, candidates.spans, spans, pools, strict=True)
        )
    ]
