"""Baselines tuned on the end of the training period, then run on the test period."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.actions import Action
from models.evaluation.baselines.protocol import (
    BATCH,
    Baseline,
    Exclusions,
    Fitted,
    Parameters,
    Scores,
    best,
    requests_of,
)
from models.evaluation.event_log import EventLog, Indices, Times
from models.evaluation.grid_metrics import Lists, list_figures
from models.evaluation.targets import Targets, static_targets, validation_from

#: Viewers that the sweep is judged on, at most.
VALIDATION_VIEWERS: Final = 2_000


@dataclass(frozen=True, slots=True)
class BaselineLists:
    """What a baseline gave for each grid.

    Attributes:
        seen_gk: best media that the viewer had not seen, `candidates` of them.
        grid_gk: under the grid's own exclusions, `candidates` of them.
        all_gk: with nothing excluded, `size` of them.
    """

    seen_gk: Lists
    grid_gk: Lists
    all_gk: Lists


def lists_of(
    scores_gm: Scores,
    exclusions: Exclusions,
    viewer_g: Indices,
    ts_g: Times,
    log: EventLog,
    size: int,
    candidates: int,
) -> BaselineLists:
    """The best media of each viewer under each kind of exclusions.

    Args:
        scores_gm: changed in place.
        size, candidates: media of a list with nothing excluded, and of the others.
    """
    all_gk = best(scores_gm, None, ts_g, log, size)
    seen_gk = best(scores_gm, exclusions.seen(viewer_g, ts_g), ts_g, log, candidates)
    grid_gk = best(scores_gm, exclusions.grid(viewer_g, ts_g), ts_g, log, candidates)
    return BaselineLists(seen_gk, grid_gk, all_gk)


class BaselineRuns:
    """Makes the lists of baselines.

    Args:
        log: everything; a baseline is given what is older than its time.
        actions: what counts as a positive of the task.
        size, candidates: media of a grid and before the first pass.
        seed: of the viewers that tune.
    """

    def __init__(
        self, log: EventLog, actions: tuple[Action, ...], size: int, candidates: int, seed: int
    ) -> None:
        self._log, self._actions = log, actions
        self._size, self._candidates, self._seed = size, candidates, seed
        self._positives = log.by_viewer(log.of())
        self._exclusions = Exclusions(log)

    def tuned(self, baseline: Baseline, split_ms: int, real_from_ms: int = 0) -> Parameters:
        """The parameters with the best NDCG on the end of the training period.

        Args:
            split_ms: the training period ends here.
            real_from_ms: what is older was not recorded in real time, so it is not judged on.
        """
        if len(baseline.sweep) == 1:
            return baseline.sweep[0]
        if not self._log.before(split_ms):
            return baseline.sweep[0]
        cut_ms = validation_from(self._log, split_ms, real_from_ms)
        targets = static_targets(self._log, self._actions, cut_ms, split_ms)
        targets = targets.take(targets.history_g > 0)
        if not len(targets):
            return baseline.sweep[0]
        if len(targets) > VALIDATION_VIEWERS:
            rng = np.random.default_rng(self._seed)
            targets = targets.take(np.sort(rng.permutation(len(targets))[:VALIDATION_VIEWERS]))
        found = []
        for parameters in baseline.sweep:
            fitted = baseline.fit(self._log, cut_ms, parameters)
            lists_gk = np.concatenate(
                [self._lists(fitted, targets, g, self._size) for g in _batches(len(targets))]
            )
            figures = list_figures(lists_gk, targets, self._size)
            found.append(float(np.nanmean(figures["ndcg"])))
        return baseline.sweep[int(np.argmax(found))]

    def static(
        self, baseline: Baseline, parameters: Parameters, targets: Targets, split_ms: int
    ) -> BaselineLists:
        """Lists of a baseline that has learned from everything before the split."""
        fitted = baseline.fit(self._log, split_ms, parameters)
        return self._all(fitted, targets, _batches(len(targets)))

    def prequential(
        self, baseline: Baseline, parameters: Parameters, targets: Targets
    ) -> BaselineLists:
        """Lists of a baseline that learns again at each full `refit_ms`; targets ascend in time."""
        period_g = targets.ts_g // baseline.refit_ms
        parts = []
        for start, stop in _runs(period_g):
            until_ms = int(period_g[start]) * baseline.refit_ms
            fitted = baseline.fit(self._log, until_ms, parameters)
            parts.append(self._all(fitted, targets, _batches(stop - start, start)))
        return _joined(parts)

    def _all(
        self, fitted: Fitted, targets: Targets, batches: Iterator[NDArray[np.int64]]
    ) -> BaselineLists:
        parts = []
        for g in batches:
            viewer_g, ts_g = targets.viewer_g[g], targets.ts_g[g]
            scores_gm = fitted.score(requests_of(self._positives, viewer_g, ts_g))
            parts.append(
                lists_of(
                    scores_gm, self._exclusions, viewer_g, ts_g, self._log, self._size,
                    self._candidates,
                )
            )  # fmt: skip
        return _joined(parts)

    def _lists(self, fitted: Fitted, targets: Targets, g: NDArray[np.int64], k: int) -> Lists:
        viewer_g, ts_g = targets.viewer_g[g], targets.ts_g[g]
        scores_gm = fitted.score(requests_of(self._positives, viewer_g, ts_g))
        return best(scores_gm, self._exclusions.seen(viewer_g, ts_g), ts_g, self._log, k)


def _batches(count: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
    for first in range(start, start + count, BATCH):
        yield np.arange(first, min(first + BATCH, start + count))


def _runs(value_g: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    cuts = (np.flatnonzero(np.diff(value_g)) + 1).tolist()
    yield from zip([0, *cuts], [*cuts, len(value_g)], strict=True)


def _joined(parts: list[BaselineLists]) -> BaselineLists:
    return BaselineLists(
        np.concatenate([part.seen_gk for part in parts]),
        np.concatenate([part.grid_gk for part in parts]),
        np.concatenate([part.all_gk for part in parts]),
    )
