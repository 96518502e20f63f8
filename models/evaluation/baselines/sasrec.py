"""SASRec: self-attention over what a viewer did last (Kang and McAuley, 2018), by ``cornac``.

Needs the extra ``evaluate``. Each positive after a viewer's first is learned to follow those before
it. To stay within minutes on one core, a fit sees :data:`SEEN` of them in all, so small logs are
read many times and large ones few.

The softmax that is learned goes over the batch and over media drawn by a root of their popularity,
which divides popularity out of the scores. How often a media stands there is known, so scores get
log q back (Bengio and Senécal, 2008).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from cornac.data.dataset import SequentialDataset
from cornac.models import SASRec
from numpy.typing import NDArray

from models.arrays.types import Mask
from models.evaluation.baselines.protocol import (
    Baseline,
    Parameters,
    Requests,
    Scores,
    tie_break,
)
from models.evaluation.event_log import EventLog

#: Newest positives of a viewer that are attended to, and that a viewer is learned from.
_LENGTH: Final = 20
_LEARNED: Final = 100
#: Positives that a fit learns to predict, one that is read again counted again.
SEEN: Final = 200_000
_EPOCHS: Final = 20
#: Positives learned at once, media drawn beside them, and by which power of popularity.
_BATCH: Final = 512
_DRAWN: Final = 512
_POWER: Final = 0.5
_SEED: Final = 7


class SasRec:
    """Products of media's embeddings with what attention makes of a viewer's newest positives."""

    def __init__(self, log: EventLog, until_ms: int, dimension: int, rate: float) -> None:
        self._history = log.by_viewer(_first_of_each(log))
        self._tie_m: NDArray[np.float32] = tie_break(log, until_ms)
        self._model: SASRec | None = None
        viewers = np.arange(log.viewers, dtype=np.int32)
        until_v = np.full(log.viewers, until_ms, np.int64)
        sequences = self._history.newest(viewers, until_v, _LEARNED)
        size_v = np.array([len(media) if len(media) > 1 else 0 for media in sequences])
        examples = int(np.maximum(size_v - 1, 0).sum())
        if not examples:
            return
        viewer_n = np.repeat(viewers.astype(np.int64), size_v)
        media_n = np.concatenate([media for media in sequences if len(media) > 1]).astype(np.int64)
        learned = SequentialDataset(
            log.viewers, log.viewers, log.media,
            uid_map={v: v for v in range(log.viewers)},
            sid_map={v: v for v in range(log.viewers)},
            iid_map={m: m for m in range(log.media)},
            uir_tuple=(viewer_n, media_n, np.ones(len(media_n))),
            session_indices=viewer_n,
        )  # fmt: skip
        self._model = SASRec(
            embedding_dim=dimension, learning_rate=rate, num_blocks=1, max_len=_LENGTH,
            n_epochs=min(max(SEEN // examples, 1), _EPOCHS), batch_size=_BATCH, n_sample=_DRAWN,
            sample_alpha=_POWER, seed=_SEED,
        )  # fmt: skip
        self._model.fit(learned)
        self._log_q_m = _log_q(np.bincount(media_n, minlength=log.media))

    def score(self, requests: Requests) -> Scores:
        """Scores_gm of all media as the next one after a viewer's history."""
        viewer_g = requests.viewer_g
        scores_gm: Scores = np.tile(self._tie_m, (len(viewer_g), 1))
        if self._model is None:
            return scores_gm
        newest = self._history.newest(viewer_g, requests.ts_g, _LENGTH)
        for g, media in enumerate(newest):
            # Without a history there is nothing to attend to: such viewers get what is popular.
            if len(media):
                scores_gm[g] += self._model.score(int(viewer_g[g]), media.tolist()) + self._log_q_m
        return scores_gm


def _log_q(count_m: NDArray[np.int64]) -> NDArray[np.float32]:
    """Log of how often each media stands in a softmax, (media,); little for one never seen."""
    drawn_m = count_m**_POWER
    q_m = _BATCH * count_m / count_m.sum() + _DRAWN * drawn_m / drawn_m.sum()
    log_q_m: NDArray[np.float32] = np.log(np.maximum(q_m, 1e-6)).astype(np.float32)
    return log_q_m


def _first_of_each(log: EventLog) -> Mask:
    """The first positive of each viewer and media."""
    wanted = np.flatnonzero(log.of())
    key_n = log.viewer_n[wanted].astype(np.int64) * log.media + log.media_n[wanted]
    first_n = np.zeros(len(log), np.bool_)
    first_n[wanted[np.unique(key_n, return_index=True)[1]]] = True
    return first_n


def _fit(log: EventLog, until_ms: int, parameters: Parameters) -> SasRec:
    return SasRec(log, until_ms, int(parameters["dimension"]), parameters["learning_rate"])


def sasrec() -> Baseline:
    """Self-attention over the newest positives (Kang and McAuley, ICDM 2018), by `cornac`."""
    sweep = [{"dimension": 64, "learning_rate": rate} for rate in (0.003, 0.001)]
    return Baseline("sasrec", _fit, sweep)
