"""Changed account vectors beside an immutable main: appended, never overwritten.

Who took a :class:`DeltaView` reads rows and vectors that no later change touches, so taking one
copies a byte per entry and no vectors, however fast changes come.
"""

from __future__ import annotations

from typing import Any, Final

import faiss as _faiss
import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Rows, Vectors

# The stubs of FAISS do not know all of it.
faiss: Any = _faiss

LEAST_CAPACITY: Final = 1024


class DeltaView(msgspec.Struct, frozen=True):
    """Entries at one moment: their account rows, vectors and which are no longer valid."""

    rows_e: Rows
    vectors_ed: Vectors
    dead_e: NDArray[np.bool_]

    def search(self, unit_qd: Vectors, k: int) -> tuple[Rows, Vectors] | None:
        """Rows and inner products (q, ≤ k) of the best, in no order; None where there is none.

        Dead entries have similarity −inf.
        """
        if not len(self.rows_e):
            return None
        # Not numpy's product, which starts as many threads as it likes for each small search.
        faiss.omp_set_num_threads(1)
        scores_qe = faiss.pairwise_distances(
            unit_qd, self.vectors_ed, metric=faiss.METRIC_INNER_PRODUCT
        )
        scores_qe[:, self.dead_e] = -np.inf
        if k < scores_qe.shape[1]:
            best_qk = np.argpartition(-scores_qe, k - 1, axis=1)[:, :k]
            return self.rows_e[best_qk], np.take_along_axis(scores_qe, best_qk, axis=1)
        return np.broadcast_to(self.rows_e, scores_qe.shape), scores_qe


class AccountDelta:
    """Entries of changed vectors; one account has at most one that is alive.

    Args:
        dimension: of the vectors.
        capacity: entries that fit, at least; more need :meth:`compacted`.
    """

    def __init__(self, dimension: int, capacity: int = 0) -> None:
        self.capacity = max(capacity, LEAST_CAPACITY)
        self._rows = np.empty(self.capacity, np.int32)
        self._vectors = np.empty((self.capacity, dimension), np.float32)
        self._dead = np.zeros(self.capacity, np.bool_)
        self._used = 0
        self.alive = 0

    @property
    def used(self) -> int:
        """Entries in use, dead ones included; the next one goes there."""
        return self._used

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, unused entries included."""
        return self._rows.nbytes + self._vectors.nbytes + self._dead.nbytes

    def append(self, rows_c: NDArray[np.int64], vectors_cd: Vectors) -> NDArray[np.int64]:
        """Add entries that fit; returns where they are."""
        entries_c = np.arange(self._used, self._used + len(rows_c))
        self._rows[entries_c] = rows_c
        self._vectors[entries_c] = vectors_cd
        self._used += len(rows_c)
        self.alive += len(rows_c)
        return entries_c

    def kill(self, entries: NDArray[np.integer[Any]]) -> None:
        """Mark entries as no longer valid; each must be alive."""
        self._dead[entries] = True
        self.alive -= len(entries)

    def vectors_of(self, entries: NDArray[np.integer[Any]]) -> Vectors:
        """The vectors of `entries`, copied, in their order."""
        vectors: Vectors = self._vectors[entries]
        return vectors

    def compacted(self, room: int) -> tuple[AccountDelta, Rows]:
        """A copy of the living entries with space for `room` more, and their rows in order."""
        living = np.flatnonzero(~self._dead[: self._used])
        rows_e = self._rows[living]
        copy = AccountDelta(self._vectors.shape[1], 2 * (len(living) + room))
        copy.append(rows_e.astype(np.int64), self._vectors[living])
        return copy, rows_e

    def view(self) -> DeltaView:
        """The entries as they are now."""
        used = self._used
        return DeltaView(self._rows[:used], self._vectors[:used], self._dead[:used].copy())
