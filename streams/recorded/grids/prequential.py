"""The prequential protocol: a grid just before each positive, while everything learns on."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEAD_NAMES
from models.evaluation.shown import head_figures
from models.evaluation.targets import Targets, prequential_targets
from models.events import DAY_MS
from models.examples.examples import Examples
from streams.acted.learning import served
from streams.acted.serving import set_vectors
from streams.recorded.grids.figures import figures_of
from streams.recorded.grids.production import Made, Ranker
from streams.recorded.grids.run import Run, as_text
from streams.recorded.grids.stage_arrays import made_arrays, made_of, vectors_arrays, vectors_of
from streams.recorded.grids.stages import STREAM, Arrays


def prequential(run: Run) -> dict[str, Any]:
    """The figures of grids that each know everything older than their time.

    Raises:
        DatasetError: there is nothing to find after the split.
    """
    targets = run.targets(prequential_targets)
    ranker = Ranker(run.data, run.settings, run.task, np.unique(targets.viewer_g))
    settings = [run.options.task, run.options.seed]
    arrays = run.stage("stream", STREAM, settings, lambda: _Stream(run, ranker).read(targets))
    run.notes.update(msgspec.json.decode(str(arrays["notes"])))
    figures = figures_of(run, targets, made_of(arrays), ranker.sources, vectors_of(arrays))
    figures["shown"] = msgspec.json.decode(str(arrays["shown"]))
    return figures


class _Stream:
    """The test period as it goes by."""

    def __init__(self, run: Run, ranker: Ranker) -> None:
        self._run, self._ranker = run, ranker
        self._learner = run.learner_at_split()
        self._refused: list[str] = []
        # What was live said of examples before they were learned.
        self._scored: list[tuple[NDArray[np.floating], Examples]] = []

    def read(self, targets: Targets) -> Arrays:
        run, ranker = self._run, self._ranker
        self._learner.fit(run.split_ms - run.settings.session_gap_ms)
        live = self._learn(run.split_ms)
        ranker.advance(run.split_ms)
        self._set_learned()
        day = run.split_ms // DAY_MS
        parts, start = [], 0
        times = targets.ts_g
        while start < len(targets):
            now_ms = int(times[start])
            if now_ms // DAY_MS > day:
                day = now_ms // DAY_MS
                live = self._night(day * DAY_MS)
            stop = int(np.searchsorted(times, now_ms, side="right"))
            ranker.advance(now_ms)
            parts.append(ranker.make(targets.viewer_g[start:stop], now_ms))
            start = stop
            run.tell("grids", start, len(targets))
        notes = {"rankers": live, "refused": "; ".join(self._refused)}
        return {
            **made_arrays(Made.joined(parts)),
            **vectors_arrays(self._learner.vectors),
            "notes": np.array(as_text(notes)),
            "shown": np.array(as_text(self._progressive())),
        }

    def _night(self, midnight_ms: int) -> str:
        """Fit anew and learn on; says what is live."""
        self._ranker.advance(midnight_ms)
        self._learner.advance(midnight_ms)
        self._learner.fit(midnight_ms - self._run.settings.session_gap_ms)
        self._set_learned()
        return self._learn(midnight_ms)

    def _set_learned(self) -> None:
        set_vectors(self._ranker.world, self._learner.vectors)
        self._ranker.world.item_weights = self._learner.item_weights()

    def _learn(self, now_ms: int) -> str:
        """Train, or learn on where there are rankers; says what is live."""
        run, ranker, learner = self._run, self._ranker, self._learner
        try:
            if learner.trained:
                fresh = learner.collect()
                self._scored.append((ranker.rankers.final.score(fresh.features), fresh))
                bundle, reason = learner.learn_on(fresh, now_ms)
                if bundle is None:
                    self._refused.append(reason)
            else:
                learner.collect()
                bundle = learner.train(now_ms)
            if bundle is not None:
                sets, seed = learner.candidate_sets(now_ms), run.options.seed
                ranker.rankers = served(bundle, run.task.weights, sets, run.settings, seed)
        except (ValueError, ArithmeticError) as error:
            self._refused.append(str(error))
            if not learner.trained:
                return f"prior: {error}"
        return ranker.rankers.version

    def _progressive(self) -> dict[str, Any]:
        """The heads on each day's examples, by the rankers that were live before they were."""
        if not any(len(fresh) for _, fresh in self._scored):
            return {}
        examples = Examples.concatenate([fresh for _, fresh in self._scored])
        probability_nh = np.concatenate([scored_nh for scored_nh, _ in self._scored])
        order_n = np.argsort(examples.groups_n, kind="stable")
        examples, probability_nh = examples.take(order_n), probability_nh[order_n]
        return {
            head: head_figures(
                examples.label(head) > 0, probability_nh[:, h], examples.groups_n,
                examples.weights_n,
            )
            for h, head in enumerate(HEAD_NAMES)
        }  # fmt: skip
