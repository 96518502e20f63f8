"""The rankers learn on: the work of the thread that trains, which alone imports torch.

New examples wait until there are newer ones: the newest are what candidates are judged on, so they
must not have been learned. What leaves that window is learned at once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from infra.config import Settings
from infra.metrics import EXAMPLES_LEARNED
from models.examples.examples import CandidateSets, Examples
from models.rankers.bundle import RankerBundle

if TYPE_CHECKING:
    from models.training.online import OnlineFinal

#: Newest examples that candidates are judged on, and the share of all while there are few: no
#: more than what a training from the beginning only measures on.
HOLDOUT: Final = 5_000
HOLDOUT_SHARE: Final = 0.15

logger = logging.getLogger(__name__)


class RankerLearning:
    """Trains rankers from the beginning, and learns on from the live ones.

    Its methods take seconds and are called in a thread, one at a time.

    Attributes:
        live: the rankers that candidates must not be worse than; None before the first.
    """

    def __init__(self, settings: Settings, live: RankerBundle | None = None) -> None:
        self._settings = settings
        self._online: OnlineFinal | None = None
        self._waiting = Examples.empty()
        self._learned_ts = 0
        self._seen = 0
        self.live: RankerBundle | None = None
        if live is not None:
            self.replace(live)

    def replace(self, live: RankerBundle) -> None:
        """Other rankers are live: learn on from them."""
        self.live = live
        self._online = None
        self._learned_ts = live.trained_ts

    @property
    def holdout(self) -> Examples:
        """The newest examples, of which nothing has been learned."""
        return self._waiting

    @property
    def learned(self) -> int:
        """Examples learned since the live rankers were trained or replaced."""
        return 0 if self._online is None else self._online.learned

    def train(self, examples: Examples, sets: CandidateSets) -> RankerBundle:
        """Train all three passes from the beginning, on everything but the hold-out.

        Raises:
            TrainingDataError: there is too little to learn from.
            TrainingDeviceError: the device of the settings is not there.
            TrainingDivergedError: a loss is not finite.
        """
        from models.training.rankers import TrainingConfig, train_rankers

        config = TrainingConfig(
            threads=self._settings.training_threads, device=self._settings.training_device
        )
        return train_rankers(examples, sets, config)

    def learn(self, parts: Sequence[Examples]) -> None:
        """Take in new examples and learn what newer ones have come for.

        Raises:
            TrainingDivergedError: as it says; what was learned since the live rankers is gone.
        """
        fresh = Examples.concatenate([self._waiting, *parts])
        fresh = fresh.take(np.argsort(fresh.ts_n, kind="stable"))
        self._seen += sum(map(len, parts))
        kept = min(HOLDOUT, int(self._seen * HOLDOUT_SHARE) + 1)
        self._waiting = fresh.take(np.arange(len(fresh))[-kept:])
        old = fresh.take(np.arange(max(len(fresh) - kept, 0)))
        # After a restart the log is read again from its beginning.
        old = old.take(np.flatnonzero(old.ts_n > self._learned_ts))
        if self.live is None or not len(old):
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

        Raises:
            TrainingDataError: there are no candidate sets.
            TrainingDivergedError: a loss is not finite.
        """
        if self._online is None:
            return None
        from models.training.loop import reproducible
        from models.training.rankers import TrainingConfig, bundled

        config = TrainingConfig(threads=self._settings.training_threads)
        with reproducible(config.seed, config.threads):
            self._online.expire(self._learned_ts)
            final = self._online.candidate()
        learned = {"learned_examples": float(self._online.learned)}
        return bundled(final, sets, config, learned, self._learned_ts)

    def promoted(self, bundle: RankerBundle, *, learned_on: bool) -> None:
        """A candidate went live; one that was learned on goes on with its optimiser's state."""
        if learned_on:
            self.live = bundle
            return
        self.replace(bundle)
        if len(self._waiting):
            # The training did not learn from the hold-out.
            self._learned_ts = min(self._learned_ts, int(self._waiting.ts_n[0]) - 1)
