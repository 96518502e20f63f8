"""What serves, acted out: a world, the states of viewers, and live rankers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from infra.config import Settings
from models.actions import Action
from models.arrays.types import Rows
from models.events import MediaEvent
from models.examples.candidate_sets import candidate_sets, new_viewers
from models.examples.examples import CandidateSets
from models.explore.pipeline import ExploreConfig, find, funnel
from models.explore.trace import Trace
from models.explore.treatment import Treatment
from models.queries import CandidateQuery
from models.rankers.prior import PriorRankers
from models.rankers.protocol import Rankers
from models.rankers.value import Weights
from models.viewers.context import ViewerContext
from models.viewers.state import FoldConfig, ViewerState, fold_media_event
from models.world import World
from streams.serving.explorer import explore_config
from streams.serving.live_queries import LiveQueries
from streams.serving.own_operators import load_operators

Vectors = tuple[list[str], NDArray[np.float32]]


def query_of(settings: Settings) -> CandidateQuery:
    """The query that serves by these settings where no arm names another.

    Raises:
        SettingsError: it cannot be read, or it is wrong.
    """
    return LiveQueries(settings, load_operators(settings)).of()


def set_vectors(world: World, vectors: Vectors | None) -> None:
    """Make these the vectors of the world, in a space of their own."""
    if vectors is None:
        return
    ids, vectors_nd = vectors
    old = world.space
    name = "space-0" if old is None else f"space-{int(old.name.partition('-')[2]) + 1}"
    world.apply_embeddings(name, ids, vectors_nd)
    world.name_space(name)
    if old is not None:
        world.remove_embeddings(old.name, old.account_ids())


def sets_of(
    viewers: list[tuple[str, ViewerState]],
    world: World,
    treatment: Treatment,
    now_ms: int,
    fold: FoldConfig,
) -> CandidateSets:
    """Candidates of these viewers and of some without history, for the earlier passes to learn."""
    return candidate_sets([*viewers, *new_viewers(len(viewers))], world, treatment, now_ms, fold)


class ActedRanker:
    """Serves.

    Args:
        world: with what of the catalogue is there already.
        weights: of the value.
        config: of the funnel; that of the settings by default.

    Attributes:
        rankers: the live ones.
        config: of the funnel.
    """

    def __init__(
        self,
        world: World,
        settings: Settings,
        weights: Weights,
        config: ExploreConfig | None = None,
    ) -> None:
        self.world = world
        self.rankers: Rankers = PriorRankers()
        self.config = config or explore_config(settings)
        self.fold = settings.fold_config()
        self._weights, self._query = weights, query_of(settings)
        self._states: dict[str, ViewerState] = {}

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources of candidates, by code."""
        return tuple(self._query.plan.sources)

    def know(self, viewer_ids: Iterable[str]) -> None:
        """Keep the states of these viewers from now on."""
        for viewer_id in viewer_ids:
            self._states.setdefault(viewer_id, ViewerState())

    def apply(self, events: Sequence[tuple[Action, MediaEvent]]) -> None:
        """Take events in: into the states of viewers that are known, and into the world."""
        for action, event in events:
            state = self._states.get(event.viewer_id)
            if state is not None:
                fold_media_event(state, action, event, event.author_id or "", self.fold)
        self.world.apply_events(events)

    def state_of(self, viewer_id: str) -> ViewerState:
        """The state of a viewer who is known; it is not copied."""
        return self._states[viewer_id]

    def contexts_of(self, viewer_ids: Sequence[str], now_ms: int) -> list[ViewerContext]:
        """The viewers as they are now."""
        return ViewerContext.from_states(self._named(viewer_ids), self.world, now_ms, self.fold)

    def treatment(self, rankers: Rankers | None = None) -> Treatment:
        """What everybody gets, by the live rankers or by others."""
        return Treatment(rankers=rankers or self.rankers, weights=self._weights, query=self._query)

    def traces(
        self, viewer_ids: Sequence[str], now_ms: int, served: Sequence[Rows] | None = None
    ) -> list[Trace]:
        """The grids of viewers.

        Args:
            served: for each viewer media served already.
        """
        return self.traces_of(self._named(viewer_ids), now_ms, served)

    def traces_of(
        self,
        viewers: list[tuple[str, ViewerState]],
        now_ms: int,
        served: Sequence[Rows] | None = None,
    ) -> list[Trace]:
        """The grids of viewers whose states are these.

        Args:
            served: for each viewer media served already.
        """
        contexts = ViewerContext.from_states(viewers, self.world, now_ms, self.fold)
        found = find(
            contexts, self.world, self.treatment(), now_ms, served, enough=self.config.size
        )
        return funnel(found, self.world, self.config)

    def sets_of(self, viewer_ids: Iterable[str], now_ms: int) -> CandidateSets:
        """Candidates of those of these viewers that are known, and of some new ones."""
        named = self._named([viewer for viewer in viewer_ids if viewer in self._states])
        return sets_of(named, self.world, self.treatment(), now_ms, self.fold)

    def _named(self, viewer_ids: Sequence[str]) -> list[tuple[str, ViewerState]]:
        return [(viewer, self._states[viewer]) for viewer in viewer_ids]
