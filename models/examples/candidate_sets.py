"""Whole candidate sets of sampled viewers: what the earlier passes are distilled on.

An earlier pass must sort what the query really finds, most of which nobody was ever shown, so
its training rows come from the query and not from exposures. Some were logged as they were ranked
(:mod:`models.examples.candidate_log`), the others are found anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from models.examples.examples import CandidateSets
from models.explore.pipeline import find
from models.explore.treatment import Treatment
from models.feature_schema import FeatureMatrix
from models.features.assembly import assemble
from models.viewers.context import ViewerContext
from models.viewers.state import FoldConfig, ViewerState
from models.world import World

#: Viewers whose candidates the earlier passes are distilled on.
DISTILLATION_VIEWERS: Final = 120
#: One more for so many of them has no history: few such are ranked, and the passes must know them.
VIEWERS_PER_NEW: Final = 10


def new_viewers(known: int) -> list[tuple[str, ViewerState]]:
    """Viewers without history, as many as belong to so many that have one."""
    return [(f"new-{number}", ViewerState()) for number in range(known // VIEWERS_PER_NEW + 1)]


def candidate_sets(
    viewers: Iterable[tuple[str, ViewerState]],
    world: World,
    treatment: Treatment,
    now_ms: int,
    fold: FoldConfig | None = None,
    logged: Sequence[FeatureMatrix] = (),
) -> CandidateSets:
    """Run the query for each viewer and assemble the features of all it finds.

    Args:
        viewers: ids and states; an empty state stands for a viewer without history.
        world: as it is at `now_ms`.
        treatment: whose query finds the candidates, and whose rankers sort within it.
        now_ms: event time of the request.
        fold: settings the states were folded with.
        logged: candidate sets of other viewers, as they were ranked.

    Returns:
        One group for each of `logged`, then one per viewer for whom anything was found, in the
        order of `viewers`.
    """
    parts = list(logged)
    for viewer_id, state in viewers:
        viewer = ViewerContext.from_state(viewer_id, state, world, now_ms, fold)
        found = find([viewer], world, treatment, now_ms).executed.candidates()
        if len(found):
            parts.append(assemble(viewer, found, world, now_ms))
    sizes_g = np.array([len(part) for part in parts], np.int64)
    return CandidateSets(
        features=FeatureMatrix.concatenate(parts),
        groups_n=np.repeat(np.arange(len(parts), dtype=np.int64), sizes_g),
        logged_n=np.repeat(np.arange(len(parts)) < len(logged), sizes_g),
    )
