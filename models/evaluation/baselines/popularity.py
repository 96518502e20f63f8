"""Popularity: what everybody asked for more of, ever or of late."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models.actions import Action
from models.evaluation.baselines.protocol import (
    Baseline,
    Parameters,
    Requests,
    Scores,
    counts,
    tie_break,
)
from models.evaluation.event_log import EventLog
from models.events import DAY_MS, HOUR_MS


class Global:
    """The same scores for everybody."""

    def __init__(self, score_m: NDArray[np.float32]) -> None:
        self._score_m = score_m

    def score(self, requests: Requests) -> Scores:
        """Scores_gm of all media at each grid's time, higher is better."""
        return np.tile(self._score_m, (len(requests.viewer_g), 1))


class OwnAuthors:
    """Media of the authors that the viewer acted on, the most often acted on first."""

    def __init__(self, log: EventLog, until_ms: int) -> None:
        known = np.flatnonzero(log.author_m >= 0)
        self._author_ma = csr_matrix(
            (np.ones(len(known), np.float32), (known, log.author_m[known])),
            (log.media, max(log.authors, 1)),
        )
        popular_m = counts(log, 0, until_ms)
        self._weight_m = np.log1p(popular_m) + np.float32(1e-3)
        self._tie_m = tie_break(log, until_ms)

    def score(self, requests: Requests) -> Scores:
        """Scores_gm of all media at each grid's time, higher is better."""
        own_ga = requests.history_gm @ self._author_ma
        scores_gm: Scores = (own_ga @ self._author_ma.T).toarray().astype(np.float32)
        scores_gm *= self._weight_m
        scores_gm += self._tie_m
        return scores_gm


def _popularity(log: EventLog, until_ms: int, parameters: Parameters) -> Global:
    return Global(counts(log, 0, until_ms))


def _recent(log: EventLog, until_ms: int, parameters: Parameters) -> Global:
    since_ms = until_ms - round(parameters["days"] * DAY_MS)
    return Global(counts(log, since_ms, until_ms) + tie_break(log, until_ms))


def _own_authors(log: EventLog, until_ms: int, parameters: Parameters) -> OwnAuthors:
    return OwnAuthors(log, until_ms)


def popularity() -> Baseline:
    """Positives of each media since the log began."""
    return Baseline("popularity", _popularity, refit_ms=HOUR_MS)


def task_popularity(actions: tuple[Action, ...]) -> Baseline:
    """The task's own actions of all time."""

    def fit(log: EventLog, until_ms: int, parameters: Mapping[str, float]) -> Global:
        return Global(counts(log, 0, until_ms, actions) + tie_break(log, until_ms))

    return Baseline("popularity_of_task", fit, refit_ms=HOUR_MS)


def recent_popularity() -> Baseline:
    """Positives of the last seven days."""
    return Baseline("popularity_7d", _recent, ({"days": 7.0},), refit_ms=HOUR_MS)


def own_authors() -> Baseline:
    """Media of authors that the viewer acted on, most often first."""
    return Baseline("own_authors", _own_authors)
