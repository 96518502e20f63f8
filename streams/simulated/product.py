"""Freshgrid in a simulated world: the production fold, query and passes serve and learn in it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np

from infra.config import Settings
from models.actions import STRONG_POSITIVE, Action
from models.arrays.types import Rows
from models.events import HOUR_MS, MediaEvent
from models.explore.diversity import DiversityConfig
from models.explore.exploration import ExplorationConfig
from models.explore.pipeline import ExploreConfig
from models.ig2vec.histories import Step
from models.inventory.held_back import HoldingConfig
from models.rankers.prior import PriorRankers
from models.rankers.protocol import Pass, Spread
from models.rankers.value import Weights
from models.simulation.delivery import Happened
from models.simulation.population import Integers
from models.simulation.world import SimulatedWorld
from models.viewers.state import ViewerState, fold_media_event
from models.world import World, WorldConfig
from streams.acted.learning import ActedLearner, by_viewer, served
from streams.acted.serving import ActedRanker, set_vectors
from streams.serving.explorer import explore_config
from streams.simulated.policy import Shown

logger = logging.getLogger(__name__)

#: Viewers whose grids are made at once.
BATCH: Final = 64


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """Freshgrid, or Freshgrid without something.

    Attributes:
        delay_ms: everything that happens is known so much later.
        vectors: ig2vec is fitted again every few hours, every night, or never again.
        index_frozen: vectors reach the index that serves the first time only.
        first_pass: the distilled one, or the untrained one.
        exploration, diversity, see_fewer_rule, holding, choices: False switches it off.
        weights: of the value.
        author_penalty, exploration_share: None for those of the settings.
        trained: False leaves the untrained prior in its place.
    """

    delay_ms: int = 0
    vectors: Literal["live", "nightly", "once"] = "live"
    index_frozen: bool = False
    first_pass: Literal["distilled", "prior"] = "distilled"
    exploration: bool = True
    diversity: bool = True
    see_fewer_rule: bool = True
    holding: bool = True
    choices: bool = True
    weights: Weights = Weights()
    author_penalty: float | None = None
    exploration_share: float | None = None
    trained: bool = True

    def explore(self, config: ExploreConfig) -> ExploreConfig:
        """The funnel of the settings without what is switched off."""
        changes: dict[str, object] = {}
        if self.author_penalty is not None:
            changes["diversity"] = msgspec.structs.replace(
                config.diversity, author_penalty=self.author_penalty
            )
        if self.exploration_share is not None:
            changes["exploration"] = msgspec.structs.replace(
                config.exploration, share=self.exploration_share
            )
        if not self.exploration:
            changes["exploration"] = ExplorationConfig(share=0.0)
        if not self.diversity:
            # No penalty and no rule; what is drawn for new media stays.
            changes["diversity"] = DiversityConfig(
                author_penalty=0.0, seed_penalty=0.0, author_spacing=1,
                author_cap=config.size, seed_cap=config.size,
            )  # fmt: skip
        if not self.see_fewer_rule:
            changes |= {"see_fewer_strength": 0.0, "demote_from": 2.0}
        return msgspec.structs.replace(config, **changes)


class Rhythm(msgspec.Struct, frozen=True, kw_only=True):
    """When what is learned.

    Attributes:
        models_ms: vectors and item weights are fitted at full multiples of it.
        rankers_ms: so are the rankers.
        first: engagements that the first training waits for.
    """

    models_ms: int = 4 * HOUR_MS
    rankers_ms: int = 12 * HOUR_MS
    first: int = 2_000


def messages_of(world: SimulatedWorld, events: Happened) -> Iterator[tuple[Action, MediaEvent]]:
    """Events as producers send them."""
    author_n = world.library.author_m[events.media_n]
    columns = (events.number_n, events.viewer_n, events.media_n, events.ts_n, author_n,
               events.action_n)  # fmt: skip
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for number, viewer, media, ts, author, action in rows:
        yield (
            Action(action),
            MediaEvent(
                f"e{number}", world.viewer_ids[viewer], world.media_ids[media], ts,
                world.account_ids[author],
            ),
        )  # fmt: skip


class ProductPolicy:
    """Serves as a ranker does and learns as a learner does, in one process.

    Attributes:
        refused: why rankers were not made live, oldest first.
    """

    def __init__(
        self,
        world: SimulatedWorld,
        settings: Settings,
        variant: Variant | None = None,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._world, self._settings = world, settings
        self.variant, self._rhythm = variant or Variant(), rhythm or Rhythm()
        self.ranker = ActedRanker(
            self._empty(), settings, self.variant.weights,
            self.variant.explore(explore_config(settings)),
        )  # fmt: skip
        self.ranker.know(world.viewer_ids)
        self._learner = ActedLearner(
            self._empty(), settings, world.config.seed, choices=self.variant.choices
        )
        # Of each step its time, viewer and what to learn; those of open sessions wait.
        self._steps: list[tuple[int, str, Step]] = []
        self._done: set[tuple[int, int, int]] = set()
        self._periods = {"models": -1, "rankers": -1}
        self._fitted = 0
        self.refused: list[str] = []
        newcomers = np.flatnonzero(world.viewers.joined_ms_v > world.config.start_ms)
        # Of newcomers who meant nothing yet; of those who did since their last grid, their states
        # without it.
        self._shy = {world.viewer_ids[v] for v in newcomers.tolist()}
        self._unliked: dict[str, ViewerState] = {}

    def post(self, media: Integers) -> None:
        """Records of the catalogue, for what serves and for what learns."""
        records = [self._world.media(m) for m in media.tolist()]
        self.ranker.world.apply_media(records)
        self._learner.world.apply_media(records)

    def take_down(self, media: Integers) -> None:
        """Records of the catalogue that say it is deleted."""
        records = [self._world.media(m, deleted=True) for m in media.tolist()]
        self.ranker.world.apply_media(records)
        self._learner.world.apply_media(records)

    def apply(self, events: Happened, now_ms: int) -> None:
        """Fold events, as a worker and a ranker would, and hand them to the learner."""
        sent = list(messages_of(self._world, events))
        self._keep_unliked(sent)
        self.ranker.apply(sent)
        if not self.variant.trained:
            return
        self._learner.observe(sent, now_ms)
        keys = zip(
            events.viewer_n.tolist(), events.media_n.tolist(), events.action_n.tolist(), strict=True
        )
        for key, (action, event) in zip(keys, sent, strict=True):
            # Who does the same again teaches nothing new.
            if action is not Action.VIEW and key not in self._done:
                self._done.add(key)
                step = Step(event.author_id or "", int(action), event.ts)
                self._steps.append((event.ts, event.viewer_id, step))

    def _keep_unliked(self, events: Sequence[tuple[Action, MediaEvent]]) -> None:
        """Copy states before a first like is folded into them; fold all else into the copies."""
        for action, event in events:
            if event.viewer_id in self._shy and action in STRONG_POSITIVE:
                self._shy.discard(event.viewer_id)
                state = self.ranker.state_of(event.viewer_id)
                self._unliked[event.viewer_id] = copy.deepcopy(state)
        for action, event in events:
            unliked = self._unliked.get(event.viewer_id)
            if unliked is not None and action not in STRONG_POSITIVE:
                author_id, fold = event.author_id or "", self.ranker.fold
                fold_media_event(unliked, action, event, author_id, fold)

    def without_first_like(
        self, viewer_g: Integers, now_ms: int, shown_vm: Shown
    ) -> dict[int, Integers]:
        """Grids by a copy of the viewer's state that everything but what was meant went into."""
        ids = self._world.viewer_ids
        of = [v for v in viewer_g.tolist() if ids[v] in self._unliked]
        if not of:
            return {}
        states = [(ids[v], self._unliked.pop(ids[v])) for v in of]
        traces = self.ranker.traces_of(states, now_ms, self._served(of, shown_vm))
        return {v: trace.grid.media_n.astype(np.int64) for v, trace in zip(of, traces, strict=True)}

    def pass_time(self, now_ms: int) -> None:
        """Fit vectors and item weights, train rankers or let them learn on, where it is due."""
        if not self.variant.trained:
            return
        if self._is_due("models", self._rhythm.models_ms, now_ms):
            self._fit(now_ms)
        if self._is_due("rankers", self._rhythm.rankers_ms, now_ms):
            self._learn(now_ms)

    def serve(self, viewer_g: Integers, now_ms: int, shown_vm: Shown) -> Integers:
        """Grids by the production query and passes."""
        size = self.ranker.config.size
        grids_gk = np.full((len(viewer_g), size), -1, np.int64)
        ids = self._world.viewer_ids
        for start in range(0, len(viewer_g), BATCH):
            of = viewer_g[start : start + BATCH].tolist()
            served = self._served(of, shown_vm)
            traces = self.ranker.traces([ids[v] for v in of], now_ms, served)
            for at, trace in enumerate(traces, start):
                media_k = trace.grid.media_n
                grids_gk[at, : len(media_k)] = media_k
        return grids_gk

    def _served(self, viewers: list[int], shown_vm: Shown) -> list[Rows] | None:
        """What was shown and not yet told is left out as it is on further pages."""
        if not self.variant.delay_ms:
            return None
        return [np.flatnonzero(shown_vm[v]).astype(np.int32) for v in viewers]

    def _empty(self) -> World:
        """A world with a row for each media and account, none of them there yet."""
        # Who holds nobody back takes no number of viewers for enough.
        enough = {} if self.variant.holding else {"handful": self._world.config.viewers}
        world = World(WorldConfig(holding=HoldingConfig(**enough)))
        world.catalog.intern_media(self._world.media_ids)
        world.catalog.intern_accounts(self._world.account_ids)
        accounts = range(len(self._world.account_ids))
        world.apply_accounts([self._world.account(a) for a in accounts])
        return world

    def _is_due(self, name: str, every_ms: int, now_ms: int) -> bool:
        period, self._periods[name] = self._periods[name], now_ms // every_ms
        return period != self._periods[name]

    def _fit(self, now_ms: int) -> None:
        learner, serving = self._learner, self.ranker.world
        closed_ms = now_ms - self._settings.session_gap_ms
        closed = [(viewer, step) for ts, viewer, step in self._steps if ts < closed_ms]
        self._steps = [waiting for waiting in self._steps if waiting[0] >= closed_ms]
        for viewer_id, steps in by_viewer(closed).items():
            learner.remember(viewer_id, steps)
        vectors = self.variant.vectors
        nightly = vectors == "nightly" and now_ms % (24 * HOUR_MS) >= self._rhythm.models_ms
        if not (nightly or (vectors == "once" and learner.vectors is not None)):
            learner.fit_vectors(closed_ms)
        if not (self.variant.index_frozen and serving.space is not None):
            set_vectors(serving, learner.vectors)
        serving.item_weights = learner.item_weights()

    def _learn(self, now_ms: int) -> None:
        learner, seed = self._learner, self._world.config.seed
        fresh = learner.collect()
        if len(self._done) < self._rhythm.first:
            return
        try:
            if learner.trained:
                bundle, reason = learner.learn_on(fresh, now_ms)
                if bundle is None:
                    self.refused.append(reason)
                    return
            else:
                bundle = learner.train(now_ms)
            sets = learner.candidate_sets(now_ms)
            bundle = served(bundle, self.variant.weights, sets, self._settings, seed)
        except (ValueError, ArithmeticError) as error:
            logger.info("rankers are not replaced: %s", error)
            self.refused.append(str(error))
            return
        self.ranker.rankers = bundle
        if self.variant.first_pass == "prior":
            prior = PriorRankers().first
            self.ranker.rankers = _WithFirst(
                f"{bundle.version}-prior", prior, bundle.second, bundle.final, bundle.interest
            )


@dataclass(frozen=True, slots=True)
class _WithFirst:
    """Rankers with another first pass than the one distilled from them."""

    version: str
    first: Pass
    second: Pass
    final: Pass
    interest: Spread
