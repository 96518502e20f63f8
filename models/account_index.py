"""Nearest accounts by cosine, with live changes: immutable main + exact delta + tombstones.

The main is a FAISS index that is never written to. Accounts changed since it was built are
searched exactly in the delta; their old vectors, and removed accounts, are masked inside the main
search, so no result is lost and none appears twice. A new main is built from a snapshot while
lookups and changes go on (:meth:`AccountIndex.build_main`), then put in place in one step
(:meth:`AccountIndex.swap`); what changed meanwhile stays in the delta. The log-structured merge of
Bigtable, applied to vectors, because FAISS HNSW cannot delete and adding an id again doubles it.

Threads: any number may search while others change, build and swap. A search sees the state at one
moment; one that begins after ``remove`` returned does not find the account.

Errors::

    ValueError
    └── AccountIndexError
        ├── VectorShapeError        wrong dimension or length: nothing was applied
        ├── RejectedVectorsError    NaN or zero vectors; all others were applied
        └── ForeignMainError        a main that another index built
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from threading import RLock
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.ann_main import AnnMain, MainConfig

Vectors = NDArray[np.float32]
Rows = NDArray[np.int32]

NOT_FOUND: Final = np.int32(-1)
_FIRST_CAPACITY: Final = 1024
_TINY: Final = 1e-12


class AccountIndexError(ValueError):
    """Something an account index cannot accept."""


class VectorShapeError(AccountIndexError):
    """Vectors of another dimension than the index has, or not one per account."""


class RejectedVectorsError(AccountIndexError):
    """Vectors without a direction; the other accounts of the batch were applied.

    Attributes:
        rejected: account → what is wrong with its vector; the account keeps what it had before.
    """

    def __init__(self, rejected: dict[str, str]) -> None:
        self.rejected = rejected
        account, reason = next(iter(rejected.items()))
        more = f" and {len(rejected) - 1} more" if len(rejected) > 1 else ""
        super().__init__(
            f"vector of account {account!r}{more} {reason}: leave it out or send a finite, "
            "non-zero one; the rest of the batch was applied"
        )


class ForeignMainError(AccountIndexError):
    """A main whose rows mean other accounts here."""


class Main(msgspec.Struct, frozen=True):
    """A built main: position p holds the vector that row ``rows_m[p]`` had at `built_at`."""

    ann: AnnMain
    rows_m: Rows
    built_at: int
    owner: object


class _View(msgspec.Struct, frozen=True):
    """What one search works on; never changed after it was made."""

    main: Main | None
    # One bit per position of the main, None when all are alive.
    alive: NDArray[np.uint8] | None
    delta_rows_e: Rows
    delta_ed: Vectors


class AccountIndex:
    """Unit vectors of accounts, searched by cosine similarity.

    An account's row is an int32 that never changes, not even when the account is removed and
    comes back, so rows may be kept in other tables.

    Args:
        dimension: of all vectors.
        config: of the main, defaults to ``MainConfig()``.

    >>> index = AccountIndex(2)
    >>> index.upsert(["a", "b"], np.array([[1, 0], [1, 1]], dtype=np.float32))
    2
    >>> rows_qk, _ = index.search(np.array([[2, 0]], dtype=np.float32), 2)
    >>> index.ids_of(rows_qk[0])
    ['a', 'b']
    """

    def __init__(self, dimension: int, config: MainConfig | None = None) -> None:
        if dimension < 1:
            raise VectorShapeError(f"dimension {dimension} is not positive")
        self.dimension = dimension
        self.config = config or MainConfig()
        self._lock = RLock()
        self._owner = object()
        self._version = 0
        self._row_of: dict[str, int] = {}
        self._ids: list[str] = []
        self._vectors: Vectors = np.zeros((_FIRST_CAPACITY, dimension), dtype=np.float32)
        self._present = np.zeros(_FIRST_CAPACITY, dtype=np.bool_)
        self._changed_at = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._in_main = np.zeros(_FIRST_CAPACITY, dtype=np.bool_)
        self._size = 0
        self._main: Main | None = None
        self._view: _View | None = None

    @property
    def version(self) -> int:
        """Grows with every change of content; a rebuild changes no content."""
        return self._version

    @property
    def delta_size(self) -> int:
        """Accounts searched exactly beside the main; rebuild when it grows large."""
        with self._lock:
            return int((self._present & ~self._in_main).sum())

    @property
    def main_size(self) -> int:
        """Vectors in the main, dead ones included."""
        main = self._main
        return 0 if main is None else main.ann.size

    def __len__(self) -> int:
        return self._size

    def __contains__(self, account: str) -> bool:
        row = self._row_of.get(account)
        return row is not None and bool(self._present[row])

    def upsert(self, ids: Sequence[str], vectors_nd: NDArray[Any]) -> int:
        """Add accounts or replace their vectors; of an id given twice the last valid one stays.

        Returns:
            How many accounts are new or have another vector than before.

        Raises:
            VectorShapeError: `vectors_nd` is not (len(ids), dimension); nothing was applied.
            RejectedVectorsError: some vectors are NaN, infinite or zero; all others were applied.
        """
        vectors_nd = self._checked(vectors_nd, len(ids), ids[0] if ids else "")
        unit_nd, usable_n = _normalised(vectors_nd)
        rejected = {
            ids[n]: "has length zero" if np.isfinite(vectors_nd[n]).all() else "is not finite"
            for n in np.flatnonzero(~usable_n).tolist()
        }
        last = {ids[n]: n for n in np.flatnonzero(usable_n).tolist()}
        picked_u = np.fromiter(last.values(), dtype=np.int64, count=len(last))
        with self._lock:
            rows_u = self._rows_for(last)
            same_u = (self._vectors[rows_u] == unit_nd[picked_u]).all(axis=1)
            changed_u = ~(same_u & self._present[rows_u])
            rows_c = rows_u[changed_u]
            if len(rows_c):
                self._vectors[rows_c] = unit_nd[picked_u[changed_u]]
                self._size += int((~self._present[rows_c]).sum())
                self._present[rows_c] = True
                self._touch(rows_c)
        if rejected:
            raise RejectedVectorsError(rejected)
        return len(rows_c)

    def remove(self, ids: Sequence[str]) -> int:
        """Take accounts out; unknown ones are no error. Returns how many were there."""
        with self._lock:
            rows_n = np.array(
                sorted({self._row_of[a] for a in ids if a in self._row_of}), dtype=np.int64
            )
            rows_n = rows_n[self._present[rows_n]]
            if len(rows_n):
                self._present[rows_n] = False
                self._vectors[rows_n] = 0.0
                self._size -= len(rows_n)
                self._touch(rows_n)
            return len(rows_n)

    def search(self, queries_qd: NDArray[Any], k: int) -> tuple[Rows, Vectors]:
        """The `k` most similar accounts of each query, best first.

        Args:
            queries_qd: need not be unit vectors; a zero query has no neighbours.
            k: where fewer accounts exist, the rest is row −1 with similarity −inf.

        Returns:
            Rows and cosine similarities, both (q, k).

        Raises:
            VectorShapeError: wrong dimension, or a query that is not finite.
        """
        queries_qd = self._checked(queries_qd, None, "query")
        if not np.isfinite(queries_qd).all():
            raise VectorShapeError("a query is not finite: check the vectors it was made from")
        unit_qd, usable_q = _normalised(queries_qd)
        rows_qk = np.full((len(unit_qd), max(k, 0)), NOT_FOUND, dtype=np.int32)
        similarities_qk = np.full(rows_qk.shape, -np.inf, dtype=np.float32)
        view = self._current_view()
        parts = [_search_main(view, unit_qd, k), _search_delta(view, unit_qd, k)] if k > 0 else []
        found = [part for part in parts if part is not None]
        if found:
            all_rows = np.concatenate([rows for rows, _ in found], axis=1)
            all_similarities = np.concatenate([scores for _, scores in found], axis=1)
            # Equal similarities in the order of their rows: the same answer every time.
            order = np.lexsort((all_rows, -all_similarities), axis=1)[:, :k]
            width = order.shape[1]
            rows_qk[:, :width] = np.take_along_axis(all_rows, order, axis=1)
            similarities_qk[:, :width] = np.take_along_axis(all_similarities, order, axis=1)
            similarities_qk[rows_qk == NOT_FOUND] = -np.inf
        rows_qk[~usable_q] = NOT_FOUND
        similarities_qk[~usable_q] = -np.inf
        return rows_qk, similarities_qk

    def row_of(self, ids: Sequence[str]) -> Rows:
        """Rows of the accounts, −1 for those not in the index now."""
        with self._lock:
            rows_n = np.array([self._row_of.get(account, -1) for account in ids], dtype=np.int32)
            known_n = rows_n >= 0
            known_n[known_n] = self._present[rows_n[known_n]]
            rows_n[~known_n] = NOT_FOUND
            return rows_n

    def ids_of(self, rows: NDArray[Any]) -> list[str]:
        """Account ids of the rows; a removed account's row still names it.

        Raises:
            AccountIndexError: a row that no account ever had; filter −1 out before.
        """
        known = len(self._ids)
        for row in rows.tolist():
            if not 0 <= row < known:
                raise AccountIndexError(f"row {row} is no account; rows are 0 to {known - 1}")
        return [self._ids[row] for row in rows.tolist()]

    def vectors_of(self, rows: NDArray[Any]) -> Vectors:
        """Unit vectors of the rows, (…, dimension); zeros for −1 and for removed accounts."""
        with self._lock:
            known = (rows >= 0) & (rows < len(self._ids))
            vectors: Vectors = self._vectors[np.where(known, rows, 0)]
        vectors[~known] = 0.0
        return vectors

    def build_main(self) -> Main:
        """Build a main from a snapshot; may take long and may run in any thread."""
        with self._lock:
            rows_m = np.flatnonzero(self._present).astype(np.int32)
            vectors_md = self._vectors[rows_m]
            built_at = self._version
        return Main(AnnMain(vectors_md, self.config), rows_m, built_at, self._owner)

    def swap(self, main: Main) -> None:
        """Put a main in place in one step; changes since its snapshot stay in the delta.

        Raises:
            ForeignMainError: `main` was built by another index.
        """
        if main.owner is not self._owner:
            raise ForeignMainError("this main was built by another index; build it with this one")
        with self._lock:
            unchanged_m = self._changed_at[main.rows_m] <= main.built_at
            self._in_main[:] = False
            self._in_main[main.rows_m[unchanged_m]] = True
            self._main = main
            self._view = None

    def rebuild(self) -> None:
        """Build and swap in one go."""
        self.swap(self.build_main())

    def state_hash(self) -> str:
        """Hash of accounts and vectors; equal content gives equal hashes whatever came before."""
        with self._lock:
            rows = np.flatnonzero(self._present).tolist()
            rows.sort(key=self._ids.__getitem__)
            vectors_nd = self._vectors[np.array(rows, dtype=np.int64)]
            names = [self._ids[row].encode() for row in rows]
        digest = blake2b(self.dimension.to_bytes(4, "big"), digest_size=32)
        digest.update(np.array([len(name) for name in names], dtype="<u4").tobytes())
        digest.update(b"".join(names))
        digest.update(vectors_nd.astype("<f4").tobytes())
        return digest.hexdigest()

    def _checked(self, vectors: NDArray[Any], count: int | None, first: str) -> Vectors:
        array = np.ascontiguousarray(vectors, dtype=np.float32)
        rows = len(array) if count is None and array.ndim == 2 else count
        if count == 0 and array.size == 0:
            return np.zeros((0, self.dimension), dtype=np.float32)
        if array.shape != (rows, self.dimension):
            raise VectorShapeError(
                f"vectors of shape {array.shape} (first: {first!r}) where "
                f"({'n' if rows is None else rows}, {self.dimension}) is expected: vectors of "
                "another embedding version need an index of their own"
            )
        return array

    def _rows_for(self, ids: dict[str, int]) -> NDArray[np.int64]:
        rows_u = np.empty(len(ids), dtype=np.int64)
        for n, account in enumerate(ids):
            row = self._row_of.get(account)
            if row is None:
                row = self._row_of[account] = len(self._ids)
                self._ids.append(account)
            rows_u[n] = row
        if len(self._ids) > len(self._present):
            self._grow(max(len(self._ids), 2 * len(self._present)))
        return rows_u

    def _grow(self, capacity: int) -> None:
        more = capacity - len(self._present)
        self._vectors = np.pad(self._vectors, ((0, more), (0, 0)))
        self._present = np.pad(self._present, (0, more))
        self._changed_at = np.pad(self._changed_at, (0, more))
        self._in_main = np.pad(self._in_main, (0, more))

    def _touch(self, rows_c: NDArray[np.int64]) -> None:
        self._version += 1
        self._changed_at[rows_c] = self._version
        self._in_main[rows_c] = False
        self._view = None

    def _current_view(self) -> _View:
        view = self._view
        if view is not None:
            return view
        with self._lock:
            delta_rows_e = np.flatnonzero(self._present & ~self._in_main).astype(np.int32)
            alive = None
            if self._main is not None:
                alive_m = self._in_main[self._main.rows_m]
                if not alive_m.all():
                    alive = np.packbits(alive_m, bitorder="little")
            self._view = _View(self._main, alive, delta_rows_e, self._vectors[delta_rows_e])
            return self._view


def _normalised(vectors_nd: Vectors) -> tuple[Vectors, NDArray[np.bool_]]:
    """Unit vectors, and which of them have a direction; the others are zero."""
    # In double precision: the squares of large float32 values overflow.
    norms_n = np.sqrt(np.einsum("nd,nd->n", vectors_nd, vectors_nd, dtype=np.float64))
    usable_n = np.isfinite(norms_n) & (norms_n > _TINY)
    unit_nd = vectors_nd / np.where(usable_n, norms_n, 1.0)[:, None]
    unit_nd[~usable_n] = 0.0
    return unit_nd.astype(np.float32), usable_n


def _search_main(view: _View, unit_qd: Vectors, k: int) -> tuple[Rows, Vectors] | None:
    main = view.main
    if main is None or not main.ann.size or not len(unit_qd):
        return None
    positions_qk, scores_qk = main.ann.search(unit_qd, k, view.alive)
    found_qk = positions_qk >= 0
    rows_qk = np.where(found_qk, main.rows_m[positions_qk], NOT_FOUND)
    return rows_qk, np.where(found_qk, scores_qk, np.float32(-np.inf))


def _search_delta(view: _View, unit_qd: Vectors, k: int) -> tuple[Rows, Vectors] | None:
    if not len(view.delta_rows_e):
        return None
    scores_qe = unit_qd @ view.delta_ed.T
    if k < scores_qe.shape[1]:
        best_qk = np.argpartition(-scores_qe, k - 1, axis=1)[:, :k]
        return view.delta_rows_e[best_qk], np.take_along_axis(scores_qe, best_qk, axis=1)
    rows_qe = np.broadcast_to(view.delta_rows_e, scores_qe.shape)
    return rows_qe, scores_qe
