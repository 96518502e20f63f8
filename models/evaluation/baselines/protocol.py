"""The port of the baselines, and lists from their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models.actions import POSITIVE, STRONG_POSITIVE, WEAK_POSITIVE, Action
from models.arrays.packed_sort import falling
from models.evaluation.event_log import EventLog, Indices, Times, ViewerEvents
from models.evaluation.grid_metrics import Lists
from models.events import DAY_MS

Scores = NDArray[np.float32]
Parameters = Mapping[str, float]
#: Lists made at once: their scores are a dense matrix over the whole inventory.
BATCH: Final = 512
NEVER: Final = np.float32(-np.inf)


@dataclass(frozen=True, slots=True)
class Requests:
    """Lists to be made.

    Attributes:
        viewer_g, ts_g: for whom, and as of when.
        history_gm: ones where the viewer's positives before are, (g, media).
    """

    viewer_g: Indices
    ts_g: Times
    history_gm: csr_matrix


class Fitted(Protocol):
    """A baseline that has learned."""

    def score(self, requests: Requests) -> Scores:
        """Scores (g, media) over the whole inventory, higher is better, finite."""
        ...


Fit = Callable[[EventLog, int, Parameters], Fitted]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A way to make lists.

    Attributes:
        name: of the figures.
        fit: learns from what is older than a time.
        sweep: what is tried on the end of the training period; the first is taken where there is
            nothing to choose by.
        refit_ms: in the prequential protocol it learns again so often, at full multiples.
    """

    name: str
    fit: Fit
    sweep: Sequence[Parameters] = field(default_factory=lambda: ({},))
    refit_ms: int = DAY_MS


def positive_pairs(
    log: EventLog, until_ms: int, actions: tuple[Action, ...] = POSITIVE
) -> csr_matrix:
    """Ones (viewer, media) where a viewer did one of these before `until_ms`, float32."""
    wanted_n = log.of(actions)
    wanted_n[log.before(until_ms) :] = False
    viewer_n, media_n = log.viewer_n[wanted_n], log.media_n[wanted_n]
    ones_vm = csr_matrix(
        (np.ones(len(viewer_n), np.float32), (viewer_n, media_n)), (log.viewers, log.media)
    )
    ones_vm.sum_duplicates()
    ones_vm.data[:] = 1.0
    return ones_vm


def counts(
    log: EventLog, since_ms: int, until_ms: int, actions: tuple[Action, ...] = POSITIVE
) -> NDArray[np.float32]:
    """How often each media was acted on in a time, (media,)."""
    span = slice(log.before(since_ms), log.before(until_ms))
    wanted_n = np.isin(log.action_n[span], actions) & log.standing_n[span]
    counted_m = np.bincount(log.media_n[span][wanted_n], minlength=log.media)
    return counted_m.astype(np.float32)


def tie_break(log: EventLog, until_ms: int) -> NDArray[np.float32]:
    """Popularity, too small to matter where a score says anything, (media,)."""
    count_m = counts(log, 0, until_ms)
    small_m: NDArray[np.float32] = count_m * np.float32(1e-6) / max(float(count_m.max()), 1.0)
    return small_m


def best(
    scores_gm: Scores, excluded_gm: csr_matrix | None, ts_g: Times, log: EventLog, k: int
) -> Lists:
    """The best k of the inventory as it is then, best first; of equal ones the lower number.

    Args:
        scores_gm: changed in place.
        excluded_gm: what is left out, None for nothing.
    """
    if excluded_gm is not None:
        scores_gm[excluded_gm.nonzero()] = NEVER
    scores_gm[log.created_m[None, :] >= ts_g[:, None]] = NEVER
    k = min(k, log.media)
    # One whole number a media, all different: by score from its highest, then by number.
    key_gm = falling(scores_gm.ravel()).reshape(scores_gm.shape).astype(np.uint64) << np.uint64(32)
    key_gm |= np.arange(log.media, dtype=np.uint64)
    at_gk = np.argpartition(key_gm, k - 1, axis=1)[:, :k]
    order_gk = np.argsort(np.take_along_axis(key_gm, at_gk, 1), axis=1)
    lists_gk = np.take_along_axis(at_gk, order_gk, 1).astype(np.int32)
    lists_gk[np.take_along_axis(scores_gm, lists_gk, 1) == NEVER] = -1
    return lists_gk


class Exclusions:
    """What lists leave out.

    ``seen``: media that the viewer met before. ``grid``: also what the product's query leaves out,
    media of the accounts that the viewer acted on lately (the home feed's).
    """

    #: Likes and saves, and long views, that count as lately: what ``exclude_own_accounts`` takes.
    NEWEST: Final = 40

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._met = log.by_viewer(np.ones(len(log), np.bool_))
        self._strong = log.by_viewer(log.of(STRONG_POSITIVE))
        self._long = log.by_viewer(log.of(WEAK_POSITIVE))
        known = np.flatnonzero(log.author_m >= 0)
        self._author_ma = csr_matrix(
            (np.ones(len(known), np.float32), (known, log.author_m[known])),
            (log.media, max(log.authors, 1)),
        )

    def seen(self, viewer_g: Indices, ts_g: Times) -> csr_matrix:
        """Media met before, (g, media)."""
        return self._met.before(viewer_g, ts_g)

    def grid(self, viewer_g: Indices, ts_g: Times) -> csr_matrix:
        """Media met before, and those of the viewer's own accounts, (g, media)."""
        lately_gm = self._strong.before(viewer_g, ts_g, self.NEWEST)
        lately_gm = lately_gm + self._long.before(viewer_g, ts_g, self.NEWEST)
        own_gm = (lately_gm @ self._author_ma) @ self._author_ma.T
        return csr_matrix(self.seen(viewer_g, ts_g) + own_gm)


def requests_of(positives: ViewerEvents, viewer_g: Indices, ts_g: Times) -> Requests:
    """The lists of these viewers at these times."""
    return Requests(viewer_g, ts_g, positives.before(viewer_g, ts_g))
