"""A grid of one viewer, as a batch of one gives it."""

from __future__ import annotations

from models.arrays.types import NO_ROWS, Rows
from models.explore.experiment import Treatment
from models.explore.grid import Grid
from models.explore.pipeline import ExploreConfig, find, funnel
from models.queries import CandidateQuery
from models.viewers.context import ViewerContext
from models.world import World


def explore(
    viewer: ViewerContext,
    world: World,
    config: ExploreConfig,
    now_ms: int,
    served: Rows = NO_ROWS,
    query: CandidateQuery | None = None,
    treatment: Treatment | None = None,
) -> Grid:
    """Find and rank; see :func:`models.explore.pipeline.find` for the arguments."""
    found = find([viewer], world, now_ms, [served], query, treatment)
    return funnel(found, world, config)[0].grid
