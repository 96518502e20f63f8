"""item2vec: word2vec over the media of each viewer's history (Barkan and Koenigstein, 2016)."""

from __future__ import annotations

from typing import Final

import numpy as np
from gensim.models import Word2Vec
from numpy.typing import NDArray

from models.evaluation.baselines.protocol import (
    Baseline,
    Parameters,
    Requests,
    Scores,
    tie_break,
)
from models.evaluation.event_log import EventLog

_DIMENSION: Final = 32
_EPOCHS: Final = 10
_SEED: Final = 7


class Item2Vec:
    """Cosine of media to the mean of a viewer's newest history."""

    def __init__(self, log: EventLog, until_ms: int, window: int, minimum: int) -> None:
        wanted = np.flatnonzero(log.of()[: log.before(until_ms)])
        wanted = wanted[np.argsort(log.viewer_n[wanted], kind="stable")]
        cuts = np.flatnonzero(np.diff(log.viewer_n[wanted])) + 1
        sentences = [part.tolist() for part in np.split(log.media_n[wanted], cuts) if len(part) > 1]
        self._vectors_md: NDArray[np.float32] = np.zeros((log.media, _DIMENSION), np.float32)
        self._tie_m: NDArray[np.float32] = tie_break(log, until_ms)
        if not sentences:
            return
        if max(np.bincount(np.concatenate(sentences))) < minimum:
            return
        model = Word2Vec(
            sentences, vector_size=_DIMENSION, window=window, min_count=minimum, sg=1, negative=5,
            epochs=_EPOCHS, sample=1e-3, workers=1, seed=_SEED,
        )  # fmt: skip
        at = np.array(model.wv.index_to_key, np.int64)
        if len(at):
            vectors_kd = model.wv.vectors
            self._vectors_md[at] = vectors_kd / np.linalg.norm(vectors_kd, axis=1, keepdims=True)

    def score(self, requests: Requests) -> Scores:
        """Scores_gm of all media: cosines to the mean of a viewer's history."""
        viewers_gd = requests.history_gm @ self._vectors_md
        length_g1 = np.linalg.norm(viewers_gd, axis=1, keepdims=True)
        scores_gm: Scores = (viewers_gd / np.maximum(length_g1, 1e-9)) @ self._vectors_md.T
        scores_gm += self._tie_m
        return scores_gm


def _fit(log: EventLog, until_ms: int, parameters: Parameters) -> Item2Vec:
    return Item2Vec(log, until_ms, int(parameters["window"]), int(parameters["minimum"]))


def item2vec() -> Baseline:
    """Skip-gram with each viewer's whole history as one sentence."""
    # Media that few acted on lie anywhere, and so next to somebody.
    sweep = [
        {"window": window, "minimum": minimum} for window, minimum in ((20.0, 5.0), (5.0, 30.0))
    ]
    return Baseline("item2vec", _fit, sweep)
