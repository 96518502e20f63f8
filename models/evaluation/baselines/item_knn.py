"""Item-kNN: cosine of media by who acted on them, shrunk where few did (Sarwar et al., 2001)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models.evaluation.baselines.protocol import (
    Baseline,
    Parameters,
    Requests,
    Scores,
    positive_pairs,
    tie_break,
)
from models.evaluation.event_log import EventLog


class ItemKnn:
    """Sums over a viewer's history of the likeness of each media to it.

    Likeness of two media is common / (√(one · other) + shrink), of each media to its `neighbours`
    nearest ones only; 0 for all of them.
    """

    def __init__(self, log: EventLog, until_ms: int, shrink: float, neighbours: int) -> None:
        ones_vm = positive_pairs(log, until_ms)
        count_m = np.asarray(ones_vm.sum(axis=0)).ravel()
        both = (ones_vm.T @ ones_vm).tocoo()
        apart_n = both.row != both.col
        row_n, column_n, data_n = both.row[apart_n], both.col[apart_n], both.data[apart_n]
        likeness_n = data_n / (np.sqrt(count_m[row_n] * count_m[column_n]) + shrink)
        if neighbours:
            order_n = np.lexsort((column_n, -likeness_n, row_n))
            row_n, column_n, likeness_n = row_n[order_n], column_n[order_n], likeness_n[order_n]
            begin_m = np.searchsorted(row_n, np.arange(log.media))
            near_n = np.arange(len(row_n)) - begin_m[row_n] < neighbours
            row_n, column_n, likeness_n = row_n[near_n], column_n[near_n], likeness_n[near_n]
        self._likeness_mm = csr_matrix(
            (likeness_n.astype(np.float32), (row_n, column_n)), (log.media, log.media)
        )
        self._tie_m: NDArray[np.float32] = tie_break(log, until_ms)

    def score(self, requests: Requests) -> Scores:
        """Scores_gm of all media: shrunk cosines summed over a viewer's history."""
        scores_gm: Scores = (requests.history_gm @ self._likeness_mm).toarray()
        scores_gm += self._tie_m
        return scores_gm


def _fit(log: EventLog, until_ms: int, parameters: Parameters) -> ItemKnn:
    return ItemKnn(log, until_ms, parameters["shrink"], int(parameters["neighbours"]))


def item_knn() -> Baseline:
    """Shrunk cosine over the whole history."""
    sweep = [
        {"shrink": shrink, "neighbours": neighbours}
        for shrink in (20.0, 0.0, 100.0)
        for neighbours in (0, 200)
    ]
    return Baseline("item_knn", _fit, sweep)
