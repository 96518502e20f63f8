"""What one search of an account index works on: main, mask and delta at one moment."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.account_index.ann_main import AnnMain
from models.account_index.delta import DeltaView
from models.arrays.types import Rows, Vectors

NOT_FOUND: Final = np.int32(-1)
_TINY: Final = 1e-12


class Main(msgspec.Struct, frozen=True):
    """A main for one index.

    Attributes:
        ann: position p holds a vector of row ``rows_m[p]``.
        valid_m: where it is the vector that the row had at version `built_at`.
        owner: the index that the rows belong to.
    """

    ann: AnnMain
    rows_m: Rows
    valid_m: NDArray[np.bool_]
    built_at: int
    owner: object


class IndexView(msgspec.Struct, frozen=True):
    """Never changed after it was made.

    Attributes:
        alive: one bit per position of the main, lowest first; None when all are.
    """

    main: Main | None
    alive: NDArray[np.uint8] | None
    delta: DeltaView

    def search(self, unit_qd: Vectors, k: int) -> tuple[Rows, Vectors]:
        """Rows and inner products (q, k), best first; row −1 and −inf where there are no more."""
        rows_qk = np.full((len(unit_qd), max(k, 0)), NOT_FOUND, dtype=np.int32)
        similarities_qk = np.full(rows_qk.shape, -np.inf, dtype=np.float32)
        parts = [self._search_main(unit_qd, k), self.delta.search(unit_qd, k)] if k > 0 else []
        found = [part for part in parts if part is not None]
        if found:
            all_rows = np.concatenate([rows for rows, _ in found], axis=1)
            all_similarities = np.concatenate([scores for _, scores in found], axis=1)
            # Equal similarities in the order of their rows: the same answer every time.
            order = np.lexsort((all_rows, -all_similarities), axis=1)[:, :k]
            width, at_q1 = order.shape[1], np.arange(len(unit_qd))[:, None]
            rows_qk[:, :width] = all_rows[at_q1, order]
            similarities_qk[:, :width] = all_similarities[at_q1, order]
            rows_qk[np.isneginf(similarities_qk)] = NOT_FOUND
        return rows_qk, similarities_qk

    def _search_main(self, unit_qd: Vectors, k: int) -> tuple[Rows, Vectors] | None:
        main = self.main
        if main is None or not main.ann.size or not len(unit_qd):
            return None
        positions_qk, scores_qk = main.ann.search(unit_qd, k, self.alive)
        found_qk = positions_qk >= 0
        rows_qk = np.where(found_qk, main.rows_m[positions_qk], NOT_FOUND)
        return rows_qk, np.where(found_qk, scores_qk, np.float32(-np.inf))


def normalised(vectors_nd: Vectors) -> tuple[Vectors, NDArray[np.bool_]]:
    """Unit vectors, and which of them have a direction; the others are zero."""
    # In double precision: the squares of large float32 values overflow.
    norms_n = np.sqrt(np.einsum("nd,nd->n", vectors_nd, vectors_nd, dtype=np.float64))
    usable_n = np.isfinite(norms_n) & (norms_n > _TINY)
    unit_nd = vectors_nd / np.where(usable_n, norms_n, 1.0)[:, None]
    unit_nd[~usable_n] = 0.0
    return unit_nd.astype(np.float32), usable_n
