"""Nearest accounts by cosine, with live changes: immutable main + exact delta + tombstones.

The main is a FAISS index that is never written to. Accounts changed since it was built are
searched exactly in the delta; their old vectors, and removed accounts, are masked inside the main
search, so no result is lost and none appears twice. A new main is built from a snapshot while
lookups and changes go on (:meth:`AccountIndex.build_main`), or another process built it
(:meth:`AccountIndex.bind_main`); then it is put in place in one step (:meth:`AccountIndex.swap`)
and what changed meanwhile stays in the delta. The log-structured merge of Bigtable, applied to
vectors, because FAISS HNSW cannot delete and adding an id again doubles it.

A vector is held once: in the main, whose memory several processes may share, or in the delta.
A change costs the same however many accounts there are.

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

import numpy as np
from numpy.typing import NDArray

from models.account_index.ann_main import AnnMain, MainConfig
from models.account_index.change_log import ChangeLog
from models.account_index.delta import AccountDelta
from models.account_index.view import NOT_FOUND, IndexView, Main, normalised
from models.arrays.types import Rows, Vectors

_FIRST_CAPACITY: Final = 1024
# Where the vector of a row is: nowhere, at a position of the main, or (downwards from here) in an
# entry of the delta.
_NOWHERE: Final = -1
_FIRST_ENTRY: Final = -2
#: Vectors copied or compared while nobody else may change the index: about a millisecond.
_AT_ONCE: Final = 4096


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
        self._place = np.full(_FIRST_CAPACITY, _NOWHERE, dtype=np.int32)
        self._changed_at = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._size = 0
        self._main: Main | None = None
        # One bit per position of the main, and how many are not set.
        self._alive = np.zeros(0, dtype=np.uint8)
        self._dead = 0
        self._delta = AccountDelta(dimension)
        self._changes = ChangeLog()
        self._view: IndexView | None = None

    @property
    def version(self) -> int:
        """Grows with every change of content; a rebuild changes no content."""
        # Under the lock: a change that has this version is complete.
        with self._lock:
            return self._version

    @property
    def delta_size(self) -> int:
        """Accounts searched exactly beside the main; rebuild when it grows large."""
        return self._delta.alive

    def nbytes(self) -> dict[str, int]:
        """Bytes held in arrays, by part; the ids come on top.

        ``codes`` and ``vectors`` are the main's, which processes may share.
        """
        main, mask = self._main, self._alive.nbytes
        return {
            "codes": 0 if main is None else main.ann.code_bytes(),
            "vectors": 0 if main is None else main.ann.vectors_md.nbytes,
            "rows": self._place.nbytes + self._changed_at.nbytes + mask,
            "delta": self._delta.nbytes,
        }

    def __len__(self) -> int:
        return self._size

    def __contains__(self, account: str) -> bool:
        row = self._row_of.get(account)
        return row is not None and bool(self._place[row] != _NOWHERE)

    def upsert(self, ids: Sequence[str], vectors_nd: NDArray[Any]) -> int:
        """Add accounts or replace their vectors; of an id given twice the last valid one stays.

        Returns:
            How many accounts are new or have another vector than before.

        Raises:
            VectorShapeError: `vectors_nd` is not (len(ids), dimension); nothing was applied.
            RejectedVectorsError: some vectors are NaN, infinite or zero; all others were applied.
        """
        vectors_nd = self._checked(vectors_nd, len(ids), ids[0] if ids else "")
        unit_nd, usable_n = normalised(vectors_nd)
        rejected = {
            ids[n]: "has length zero" if np.isfinite(vectors_nd[n]).all() else "is not finite"
            for n in np.flatnonzero(~usable_n).tolist()
        }
        last = {ids[n]: n for n in np.flatnonzero(usable_n).tolist()}
        picked_u = np.fromiter(last.values(), dtype=np.int64, count=len(last))
        with self._lock:
            rows_u = self._rows_for(last)
            there_u = self._place[rows_u] != _NOWHERE
            same_u = there_u & (self._stored(rows_u) == unit_nd[picked_u]).all(axis=1)
            rows_c = rows_u[~same_u]
            if len(rows_c):
                self._size += int((~there_u).sum())
                self._vacate(rows_c)
                self._append(rows_c, unit_nd[picked_u[~same_u]])
                self._changed(rows_c)
        if rejected:
            raise RejectedVectorsError(rejected)
        return len(rows_c)

    def load(self, ids: Sequence[str], there_r: NDArray[np.bool_], unit_nd: Vectors) -> None:
        """Fill an empty index as another one was, to the bit.

        Args:
            ids: by row, each once.
            there_r: which rows have a vector; the others are those of accounts that went.
            unit_nd: the unit vectors of those that have one.
        """
        with self._lock:
            rows = self._rows_for(dict.fromkeys(ids, 0))[there_r]
            if len(rows):
                self._size += len(rows)
                self._append(rows, unit_nd)
                self._changed(rows)

    def remove(self, ids: Sequence[str]) -> int:
        """Take accounts out; unknown ones are no error. Returns how many were there."""
        with self._lock:
            rows_n = np.array(
                sorted({self._row_of[a] for a in ids if a in self._row_of}), dtype=np.int64
            )
            rows_n = rows_n[self._place[rows_n] != _NOWHERE]
            if len(rows_n):
                self._size -= len(rows_n)
                self._vacate(rows_n)
                self._place[rows_n] = _NOWHERE
                self._changed(rows_n)
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
        unit_qd, usable_q = normalised(queries_qd)
        rows_qk, similarities_qk = self._current_view().search(unit_qd, k)
        rows_qk[~usable_q] = NOT_FOUND
        similarities_qk[~usable_q] = -np.inf
        return rows_qk, similarities_qk

    def row_of(self, ids: Sequence[str]) -> Rows:
        """Rows of the accounts, −1 for those not in the index now."""
        with self._lock:
            rows_n = np.array([self._row_of.get(account, -1) for account in ids], dtype=np.int32)
            known_n = rows_n >= 0
            known_n[known_n] = self._place[rows_n[known_n]] != _NOWHERE
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
            known = ((rows >= 0) & (rows < len(self._ids))).ravel()
            if known.all():
                vectors = self._stored(rows.ravel())
            else:
                vectors = np.zeros((rows.size, self.dimension), dtype=np.float32)
                vectors[known] = self._stored(rows.ravel()[known])
        return vectors.reshape(*rows.shape, self.dimension)

    def changed_at(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """The version that last changed each row: its vector is another, it came or it went."""
        changed: NDArray[np.int64] = self._changed_at[rows]
        return changed

    def changed_since(self, version: int) -> Rows | None:
        """Distinct rows that changed after a version; None where that is too long ago to tell."""
        with self._lock:
            return self._changes.since(version)

    def snapshot(self) -> tuple[Rows, Vectors, int]:
        """Rows_m with a vector, the vectors_md and a version.

        Changes may go on meanwhile: a row that changes after the version has its old vector, its
        new one or zeros.
        """
        with self._lock:
            rows_m = np.flatnonzero(self._place[: len(self._ids)] != _NOWHERE).astype(np.int32)
            version = self._version
        vectors_md = np.empty((len(rows_m), self.dimension), dtype=np.float32)
        for at in _slices(len(rows_m)):
            with self._lock:
                vectors_md[at] = self._stored(rows_m[at])
        return rows_m, vectors_md, version

    def build_main(self) -> Main:
        """Build a main from a snapshot; may take long and may run in any thread."""
        rows_m, vectors_md, version = self.snapshot()
        ann = AnnMain.build(vectors_md, self.config)
        return Main(ann, rows_m, np.ones(len(rows_m), np.bool_), version, self._owner)

    def bind_main(self, ann: AnnMain, ids: Sequence[str]) -> Main:
        """A main that was built elsewhere, of the accounts `ids`, made usable here.

        It brings no content: accounts that are not here, or have another vector here, are masked.

        Raises:
            VectorShapeError: its vectors have another dimension, or are not one per account.
        """
        if ann.vectors_md.shape != (len(ids), self.dimension):
            raise VectorShapeError(
                f"a main of shape {ann.vectors_md.shape} for {len(ids)} accounts where "
                f"dimension {self.dimension} is expected: build it anew"
            )
        with self._lock:
            version = self._version
        rows_m = np.empty(len(ids), dtype=np.int32)
        valid_m = np.empty(len(ids), dtype=np.bool_)
        for at in _slices(len(ids)):
            with self._lock:
                rows_m[at] = rows = self.row_of(ids[at])
                same = (self._stored(rows) == ann.vectors_md[at]).all(axis=1)
                valid_m[at] = same & (rows != NOT_FOUND)
        return Main(ann, rows_m, valid_m, version, self._owner)

    def swap(self, main: Main) -> None:
        """Put a main in place in one step; changes since its snapshot stay in the delta.

        Raises:
            ForeignMainError: `main` belongs to another index.
        """
        if main.owner is not self._owner:
            raise ForeignMainError("this main belongs to another index; build it with this one")
        with self._lock:
            valid_m = main.valid_m & (self._changed_at[main.rows_m] <= main.built_at)
            positions = np.flatnonzero(valid_m)
            covered_n = np.zeros(len(self._place), dtype=np.bool_)
            covered_n[main.rows_m[positions]] = True
            rows_e = np.flatnonzero((self._place != _NOWHERE) & ~covered_n)
            delta = AccountDelta(self.dimension, 2 * len(rows_e))
            entries = delta.append(rows_e, self._stored(rows_e))
            self._place[main.rows_m[positions]] = positions
            self._place[rows_e] = _FIRST_ENTRY - entries
            self._main, self._delta = main, delta
            self._alive = np.packbits(valid_m, bitorder="little")
            self._dead = len(valid_m) - len(positions)
            self._view = None

    def rebuild(self) -> None:
        """Build and swap in one go."""
        self.swap(self.build_main())

    def state_hash(self) -> str:
        """Hash of accounts and vectors; equal content gives equal hashes whatever came before."""
        with self._lock:
            rows = np.flatnonzero(self._place[: len(self._ids)] != _NOWHERE).tolist()
            rows.sort(key=self._ids.__getitem__)
            vectors_nd = self._stored(np.array(rows, dtype=np.int64))
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
        if len(self._ids) > len(self._place):
            more = max(len(self._ids), 2 * len(self._place)) - len(self._place)
            self._place = np.pad(self._place, (0, more), constant_values=_NOWHERE)
            self._changed_at = np.pad(self._changed_at, (0, more))
        return rows_u

    def _stored(self, rows: NDArray[Any]) -> Vectors:
        """Vectors of one-dimensional rows, zeros where there is none; under the lock."""
        places = self._place[rows]
        in_main = places >= 0
        if self._main is not None and in_main.all():
            of_main: Vectors = np.asarray(self._main.ann.vectors_md).take(places, axis=0)
            return of_main
        vectors = np.zeros((len(rows), self.dimension), dtype=np.float32)
        if self._main is not None and in_main.any():
            vectors[in_main] = self._main.ann.vectors_md[places[in_main]]
        in_delta = places <= _FIRST_ENTRY
        if in_delta.any():
            vectors[in_delta] = self._delta.vectors_of(_FIRST_ENTRY - places[in_delta])
        return vectors

    def _vacate(self, rows_c: NDArray[np.int64]) -> None:
        """Mask the vectors that rows have now; the caller says where the rows are next."""
        places = self._place[rows_c]
        positions = places[places >= 0]
        if len(positions):
            bits = np.left_shift(1, positions & 7, dtype=np.int64).astype(np.uint8)
            np.bitwise_and.at(self._alive, positions >> 3, ~bits)
            self._dead += len(positions)
        self._delta.kill(_FIRST_ENTRY - places[places <= _FIRST_ENTRY])

    def _append(self, rows_c: NDArray[np.int64], vectors_cd: Vectors) -> None:
        if self._delta.used + len(rows_c) > self._delta.capacity:
            self._delta, rows_e = self._delta.compacted(len(rows_c))
            self._place[rows_e] = _FIRST_ENTRY - np.arange(len(rows_e))
        self._place[rows_c] = _FIRST_ENTRY - self._delta.append(rows_c, vectors_cd)

    def _changed(self, rows_c: NDArray[np.int64]) -> None:
        self._version += 1
        self._changed_at[rows_c] = self._version
        self._changes.add(self._version, rows_c)
        self._view = None

    def _current_view(self) -> IndexView:
        view = self._view
        if view is not None:
            return view
        with self._lock:
            alive = self._alive.copy() if self._dead else None
            self._view = view = IndexView(self._main, alive, self._delta.view())
            return view


def _slices(length: int) -> list[slice]:
    return [slice(at, at + _AT_ONCE) for at in range(0, length, _AT_ONCE)]
