"""What learns, acted out: examples in a world of its own, ig2vec, item weights and the passes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from infra.config import Settings
from models.actions import Action
from models.events import MediaEvent
from models.examples.candidate_sets import DISTILLATION_VIEWERS
from models.examples.choices import Choices, finder
from models.examples.examples import CandidateSets, Examples
from models.examples.from_events import ExampleBuilder, ExampleConfig
from models.explore.treatment import Treatment
from models.ig2vec.config import Ig2VecConfig
from models.ig2vec.histories import Histories, Step
from models.ig2vec.model import Ig2Vec, Ig2VecError
from models.item_to_item.weights import ItemWeights
from models.rankers.bundle import RankerBundle
from models.rankers.prior import PriorRankers
from models.rankers.value import Weights
from models.world import World
from streams.acted.serving import Vectors, query_of, set_vectors, sets_of
from streams.learning.ranker_judge import RankerJudge
from streams.learning.ranker_learning import HOLDOUT, HOLDOUT_SHARE, RankerLearning

logger = logging.getLogger(__name__)

#: Likes, saves, see-fewers and long views that the first fit of ig2vec waits for.
FIRST_FIT: Final = 1_000


def train(
    examples: Examples, choices: Choices, sets: CandidateSets, settings: Settings, seed: int
) -> RankerBundle:
    """Train all passes, and judge them by the floors of the gate.

    Raises:
        ValueError: there is too little to learn from, or what was trained is refused.
        ArithmeticError: the training diverged.
    """
    # Imported here: what only serves needs no torch.
    from models.training.rankers import TrainingConfig, train_rankers

    config = TrainingConfig(
        seed=seed, threads=settings.training_threads, device=settings.training_device
    )
    bundle = train_rankers(examples, sets, config, choices)
    newest = np.argsort(examples.ts_n, kind="stable")[-round(len(examples) * HOLDOUT_SHARE) :]
    unseen = examples.take(newest[-HOLDOUT:])
    decision = RankerJudge(settings.ranker_margin).judge(bundle, unseen, choices)
    if not decision.promote:
        raise ValueError(f"rankers refused: {decision.reason}")
    logger.info("rankers passed: %s", decision.reason)
    return bundle


def served(
    bundle: RankerBundle, weights: Weights, sets: CandidateSets, settings: Settings, seed: int
) -> RankerBundle:
    """What is served of a bundle by other weights: they need other earlier passes.

    Raises:
        ValueError: there are no candidate sets.
        ArithmeticError: the training diverged.
    """
    if weights == Weights():
        return bundle
    from models.training.rankers import TrainingConfig, bundled

    config = TrainingConfig(seed=seed, threads=settings.training_threads, value=weights)
    return bundled(bundle.final, sets, config, bundle.metrics, bundle.trained_ts, bundle.interest)


class ActedLearner:
    """Learns: builds examples in a world of its own, fits ig2vec, trains the passes.

    Args:
        world: with what of the catalogue is there already; the learner alone changes it.
        choices: learn from choices among candidates, not from exposures alone.
    """

    def __init__(
        self, world: World, settings: Settings, seed: int, *, choices: bool = True
    ) -> None:
        self.world = world
        self.examples = Examples.empty()
        self.choices = Choices.empty()
        self.vectors: Vectors | None = None
        self._settings, self._seed = settings, seed
        self._query = query_of(settings)
        config = ExampleConfig(window_ms=settings.label_window_ms, fold=settings.fold_config())
        treatment = Treatment(rankers=PriorRankers(), weights=Weights(), query=self._query)
        find = finder(world, lambda: treatment) if choices else None
        self._builder = ExampleBuilder(world, config, find)
        self._sampled = config.choices
        # Not learned yet.
        self._fresh: tuple[list[Examples], list[Choices]] = ([], [])
        self._histories = Histories()
        self._learning = RankerLearning(settings)

    @property
    def trained(self) -> bool:
        """Whether there are rankers to learn on from."""
        return self._learning.live is not None

    def observe(self, events: Sequence[tuple[Action, MediaEvent]], now_ms: int) -> None:
        """Take events in; build the examples whose labels are known by then."""
        self._builder.observe(events, now_ms)

    def remember(self, viewer_id: str, steps: Sequence[Step]) -> None:
        """Take in steps of sessions that have closed, for ig2vec."""
        self._histories.add(viewer_id, steps)

    def finish(self) -> None:
        """Build the examples that still wait for their labels: nothing more comes."""
        self._builder.flush()
        self.collect()

    def item_weights(self) -> ItemWeights | None:
        """Item weights fitted on everything observed so far."""
        self._builder.items.refit()
        return self._builder.items.weights

    def fit_vectors(self, until_ms: int) -> None:
        """Fit ig2vec on what is remembered; where that is too little, what there was stays."""
        since_ms = until_ms - self._settings.embedding_window_ms
        try:
            model = Ig2Vec.fit(
                self._histories.corpus(since_ms),
                Ig2VecConfig(seed=self._seed),
                hard_negatives=self._histories.hard_negatives(since_ms),
                now_ms=until_ms,
            )
        except Ig2VecError as error:
            logger.info("ig2vec is not fitted: %s", error)
            return
        self.vectors = model.vectors()
        set_vectors(self.world, self.vectors)

    def train(self, now_ms: int) -> RankerBundle:
        """Train all passes on the examples so far; see :func:`train`."""
        sets = self.candidate_sets(now_ms)
        bundle = train(self.examples, self.choices, sets, self._settings, self._seed)
        self._learning.learn(*self._take_fresh())
        self._learning.promoted(bundle, learned_on=False)
        return bundle

    def learn_on(self, fresh: Examples, now_ms: int) -> tuple[RankerBundle | None, str]:
        """Learn new examples; the new bundle if it passes the gate, and why or why not."""
        self._learning.learn([fresh], self._take_fresh()[1])
        candidate = self._learning.candidate(self.candidate_sets(now_ms))
        if candidate is None:
            return None, "nothing new was learned"
        decision = self._learning.judge(candidate)
        if not decision.promote:
            return None, decision.reason
        self._learning.promoted(candidate, learned_on=True)
        return candidate, decision.reason

    def candidate_sets(self, now_ms: int) -> CandidateSets:
        """Candidates of the viewers who came last, and of some without history."""
        viewers = list(self._builder.viewers())[-DISTILLATION_VIEWERS:]
        treatment = Treatment(
            rankers=self._learning.live or PriorRankers(), weights=Weights(), query=self._query
        )
        return sets_of(viewers, self.world, treatment, now_ms, self._settings.fold_config())

    def collect(self) -> Examples:
        """Take in the examples built since; returns those."""
        chosen = self._builder.take_choices()
        self.choices = Choices.concatenate([self.choices, chosen]).newest(self._sampled.keep)
        fresh = self._builder.take()
        self._fresh[0].append(fresh)
        self._fresh[1].append(chosen)
        merged = Examples.concatenate([self.examples, fresh])
        newest = np.argsort(merged.ts_n, kind="stable")[-self._settings.keep_examples :]
        self.examples = merged.take(newest)
        return fresh

    def _take_fresh(self) -> tuple[list[Examples], list[Choices]]:
        taken, self._fresh = self._fresh, ([], [])
        return taken


def by_viewer(steps: Iterable[tuple[str, Step]]) -> dict[str, list[Step]]:
    """Steps of each viewer, in their order."""
    found: dict[str, list[Step]] = {}
    for viewer_id, step in steps:
        found.setdefault(viewer_id, []).append(step)
    return found
