"""The rankers learn on: the work of the thread that trains, which alone imports torch.

New examples wait until there are newer ones: the newest are what candidates are judged on, so they
must not have been learned. What leaves that window is learned at once.

Choices among candidates are kept, the newest; the interest is trained on them from the beginning,
which takes seconds, whenever there are enough new ones. The newest share of them is never learned.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from infra.config import Settings
from infra.metrics import EXAMPLES_LEARNED
from models.evaluation.ranker_gate import RankerDecision, measurable
from models.examples.choices import ChoiceConfig, Choices
from models.examples.examples import CandidateSets, Examples
from models.rankers.bundle import RankerBundle
from models.rankers.final_pass import FinalPass
from models.rankers.interest import Interest
from streams.learning.ranker_judge import RankerJudge

if TYPE_CHECKING:
    from models.training.online import OnlineFinal
    from models.training.rankers import TrainingConfig

#: Newest examples that candidates are judged on, and the share of all while there are few: no
#: more than what a training from the beginning only measures on.
HOLDOUT: Final = 5_000
HOLDOUT_SHARE: Final = 0.15
#: The interest is trained again when so many choices are new, as a share of those kept.
CHOICES_GROWTH: Final = 0.1

logger = logging.getLogger(__name__)


def _of_interest(metric: str) -> bool:
    return metric == "choices" or metric.startswith("interest_")


class RankerLearning:
    """Trains rankers from the beginning, and learns on from the live ones.

    Its methods take seconds and are called in a thread, one at a time.

    Attributes:
        live: the rankers that candidates must not be worse than; None before the first.

    Args:
        live: what is live when learning begins.
        earlier: what was live before it, oldest first.
    """

    def __init__(
        self,
        settings: Settings,
        live: RankerBundle | None = None,
        earlier: Sequence[RankerBundle] = (),
    ) -> None:
        self._settings = settings
        self._judge = RankerJudge(settings.ranker_margin)
        self._choices = Choices.empty()
        self._choices_made = self._choices_trained = 0
        self._online: OnlineFinal | None = None
        self._waiting = Examples.empty()
        self._forgotten: set[int] = set()
        self._learned_ts = 0
        self._seen = 0
        self.live: RankerBundle | None = None
        if live is not None:
            self.replace(live, earlier)

    def replace(self, live: RankerBundle, earlier: Sequence[RankerBundle] = ()) -> None:
        """Somebody else made other rankers live: learn on from them.

        Args:
            earlier: what candidates are judged beside as well, oldest first; whatever that was
                until now is forgotten.
        """
        self._judge.replace(*earlier, live)
        self._begin(live)

    def _begin(self, live: RankerBundle) -> None:
        self.live = live
        self._online = None
        self._learned_ts = live.trained_ts

    @property
    def holdout(self) -> Examples:
        """The newest examples, of which nothing has been learned."""
        return self._waiting

    @property
    def choices(self) -> Choices:
        """The newest choices among candidates."""
        return self._choices

    @property
    def learns_on(self) -> bool:
        """Whether the live final pass learned from exposures, so that it can go on with others."""
        if self.live is None:
            return False
        untrained = FinalPass.untrained().embeddings.table_rd
        return not np.array_equal(self.live.final.embeddings.table_rd, untrained)

    @property
    def judgeable(self) -> bool:
        """Whether a candidate would have something new, and could be judged by it."""
        return measurable(self.holdout) or self._interest_is_due()

    def _interest_is_due(self) -> bool:
        new = self._choices_made - self._choices_trained
        return new > 0 and new >= CHOICES_GROWTH * len(self._choices)

    def judge(self, bundle: RankerBundle) -> RankerDecision:
        """Decide on a candidate, on examples and choices that nobody has learned from."""
        return self._judge.judge(bundle, self.holdout, self._choices)

    @property
    def learned(self) -> int:
        """Examples learned since the live rankers were trained or replaced."""
        return 0 if self._online is None else self._online.learned

    def train(self, examples: Examples, sets: CandidateSets) -> RankerBundle:
        """Train all passes and the interest from the beginning, on everything but the hold-out.

        Raises:
            TrainingDataError: there is too little to learn from.
            TrainingDeviceError: the device of the settings is not there.
            TrainingDivergedError: a loss is not finite.
        """
        from models.training.rankers import TrainingConfig, train_rankers

        config = TrainingConfig(
            threads=self._settings.training_threads, device=self._settings.training_device
        )
        self._choices_trained = self._choices_made
        return train_rankers(examples, sets, config, self._choices)

    def forget(self, groups: Collection[int]) -> None:
        """Forget examples that wait, by their groups, before the next are learned."""
        # Not here: a thread may be learning.
        self._forgotten.update(groups)

    def learn(self, parts: Sequence[Examples], choices: Sequence[Choices] = ()) -> None:
        """Take in new examples and choices; learn the examples that newer ones have come for.

        Raises:
            TrainingDivergedError: as it says; what was learned since the live rankers is gone.
        """
        if choices:
            self._choices_made += sum(map(len, choices))
            merged = Choices.concatenate([self._choices, *choices])
            self._choices = merged.newest(ChoiceConfig().keep)
        fresh = Examples.concatenate([self._waiting, *parts])
        if self._forgotten:
            fresh, self._forgotten = fresh.without(self._forgotten), set()
        fresh = fresh.take(np.argsort(fresh.ts_n, kind="stable"))
        self._seen += sum(map(len, parts))
        kept = min(HOLDOUT, int(self._seen * HOLDOUT_SHARE) + 1)
        self._waiting = fresh.take(np.arange(len(fresh))[-kept:])
        old = fresh.take(np.arange(max(len(fresh) - kept, 0)))
        # After a restart the log is read again from its beginning.
        old = old.take(np.flatnonzero(old.ts_n > self._learned_ts))
        if self.live is None or not self.learns_on or not len(old):
            return
        from models.training.loop import TrainingDivergedError, reproducible
        from models.training.online import OnlineFinal

        with reproducible(0, self._settings.training_threads):
            if self._online is None:
                self._online = OnlineFinal(self.live.final, now_ts=int(old.ts_n[0]))
            try:
                self._online.learn(old)
            except TrainingDivergedError:
                self._online = None
                raise
        EXAMPLES_LEARNED.inc(len(old))
        self._learned_ts = int(old.ts_n[-1])

    def candidate(self, sets: CandidateSets) -> RankerBundle | None:
        """What has been learned since the live rankers, with the earlier passes distilled anew.

        The final pass is the live one as long as nothing was learned that can be judged. The
        interest is trained again on the choices kept where enough of them are new.

        Returns:
            The candidate, None if nothing in it would be new.

        Raises:
            TrainingDataError: there are no candidate sets.
            TrainingDivergedError: a loss is not finite.
        """
        live = self.live
        if live is None:
            return None
        from models.training.interest import BELIEVED_NOW, InterestConfig
        from models.training.loop import reproducible
        from models.training.rankers import TrainingConfig, bundled

        # Whoever learns on replaces this one soon, too.
        config = TrainingConfig(
            threads=self._settings.training_threads, interest=InterestConfig(believed=BELIEVED_NOW)
        )
        metrics: dict[str, float] = {}
        final, trained_ts = live.final, live.trained_ts
        interest, told = self._new_interest(config)
        if self._online is not None and measurable(self.holdout):
            with reproducible(config.seed, config.threads):
                self._online.expire(self._learned_ts)
                final = self._online.candidate()
            metrics["learned_examples"] = float(self._online.learned)
            trained_ts = self._learned_ts
        elif interest is None:
            return None
        if interest is None:
            interest = live.interest
            told = {name: of for name, of in live.metrics.items() if _of_interest(name)}
        return bundled(final, sets, config, {**metrics, **told}, trained_ts, interest)

    def _new_interest(self, config: TrainingConfig) -> tuple[Interest | None, dict[str, float]]:
        """The interest trained on the choices kept; None where too few are new or there at all."""
        if not self._interest_is_due():
            return None, {}
        from models.training.rankers import interest_of

        self._choices_trained = self._choices_made
        return interest_of(self._choices, config)

    def promoted(self, bundle: RankerBundle, *, learned_on: bool) -> None:
        """A candidate went live; one that was learned on goes on with its optimiser's state."""
        self._judge.promoted(bundle)
        if not learned_on:
            self._choices_trained = self._choices_made
        if learned_on:
            self.live = bundle
            return
        self._begin(bundle)
        if len(self._waiting):
            # The training did not learn from the hold-out.
            self._learned_ts = min(self._learned_ts, int(self._waiting.ts_n[0]) - 1)
