"""One embedding space of accounts, addressed by the catalogue's account rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.account_index.index import AccountIndex
from models.account_index.neighbour_cache import NeighbourCache
from models.arrays.growing import GrowingColumns
from models.arrays.stored import ANY, Arrays, StoredArraysError, taken
from models.arrays.types import UNKNOWN, Rows

#: Neighbours of an account that are kept from one question to the next.
NEIGHBOURS: Final = 64


class AccountSpace:
    """An :class:`AccountIndex` and the mapping between its rows and account rows.

    Vectors of accounts that are gone are withheld: they are in no index, and come back with
    their account, so the content does not depend on which of the two was told first.

    Args:
        name: names the fit whose vectors can be compared with each other.
        dimension: length of every vector.
    """

    def __init__(self, name: str, dimension: int) -> None:
        self.name = name
        self.dimension = dimension
        self.index = AccountIndex(dimension)
        self.neighbours = NeighbourCache(self.index, length=NEIGHBOURS)
        self._of_account = GrowingColumns(row=(np.int32, UNKNOWN))
        self._of_row = GrowingColumns(account=(np.int32, UNKNOWN))
        self._withheld: dict[str, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self.index)

    @property
    def told(self) -> int:
        """Accounts with a vector, those withheld included."""
        return len(self.index) + len(self._withheld)

    def account_ids(self) -> list[str]:
        """Accounts with a vector, those withheld included."""
        rows = self._of_account["row"]
        return [*self.index.ids_of(rows[rows != UNKNOWN]), *self._withheld]

    def upsert(
        self,
        ids: Sequence[str],
        account_rows: Rows,
        vectors_nd: NDArray[np.float32],
        gone_n: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add or change vectors; `account_rows` are the rows of `ids`, `gone_n` which to withhold.

        Raises:
            AccountIndexError: as :meth:`AccountIndex.upsert` does.
        """
        if gone_n is not None and gone_n.any():
            for at in np.flatnonzero(gone_n).tolist():
                self._withheld[ids[at]] = vectors_nd[at].copy()
            kept = np.flatnonzero(~gone_n)
            ids, account_rows, vectors_nd = (
                [ids[at] for at in kept.tolist()], account_rows[kept], vectors_nd[kept],
            )  # fmt: skip
        try:
            self.index.upsert(ids, vectors_nd)
        finally:
            # Also when some were rejected: all others were applied.
            rows = self.index.row_of(ids)
            found = rows != UNKNOWN
            account_rows, rows = account_rows[found], rows[found]
            if len(rows):
                self._of_account.grow(int(account_rows.max()) + 1)
                self._of_account["row"][account_rows] = rows
                self._of_row.grow(int(rows.max()) + 1)
                self._of_row["account"][rows] = account_rows

    def to_arrays(self, account_rows: Callable[[Sequence[str]], Rows]) -> dict[str, NDArray[Any]]:
        """Account row of each row of the index, those there with vectors, and who is withheld.

        Rows of accounts that went are kept: by rows equal similarities are told apart.

        Args:
            account_rows: rows of ids in the catalogue.
        """
        account_r = self._of_row["account"].copy()
        there_r = self._of_account["row"][account_r] == np.arange(len(account_r))
        withheld_n = account_rows(list(self._withheld))
        vectors_nd = np.stack(list(self._withheld.values())) if self._withheld else self._none()
        order = withheld_n.argsort()
        return {
            "account": account_r,
            "there": there_r,
            "vector": self.index.vectors_of(np.flatnonzero(there_r)),
            "withheld": withheld_n[order],
            "withheld_vector": vectors_nd[order],
        }

    def load(self, arrays: Arrays, account_ids: Callable[[Rows], list[str]], accounts: int) -> None:
        """Hold the vectors of :meth:`to_arrays`; to a space without any.

        Args:
            account_ids: ids of the catalogue's rows, of which there are `accounts`.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        account_r = taken(arrays, "account", np.int32, ANY, rows=accounts)
        there_r = taken(arrays, "there", np.bool_, len(account_r))
        count = int(there_r.sum())
        vectors_nd = taken(arrays, "vector", np.float32, count, self.dimension)
        withheld_n = taken(arrays, "withheld", np.int32, ANY, rows=accounts)
        aside_nd = taken(arrays, "withheld_vector", np.float32, len(withheld_n), self.dimension)
        for name, rows in (("account", account_r), ("withheld", withheld_n)):
            if (rows == UNKNOWN).any() or len(np.unique(rows)) != len(rows):
                raise StoredArraysError(f"accounts of {name!r} are unknown, or come twice")
        ids = account_ids(account_r)
        self.index.load(ids, there_r, vectors_nd)
        self._of_row.grow(len(account_r))
        self._of_row["account"][:] = account_r
        self._of_account.grow(int(account_r.max(initial=UNKNOWN)) + 1)
        self._of_account["row"][account_r[there_r]] = np.flatnonzero(there_r)
        self._withheld = dict(zip(account_ids(withheld_n), aside_nd, strict=True))

    def _none(self) -> NDArray[np.float32]:
        return np.empty((0, self.dimension), np.float32)

    def remove(self, ids: Sequence[str], account_rows: Rows) -> None:
        """Forget the vectors of accounts; ids without one are ignored."""
        for name in ids:
            self._withheld.pop(name, None)
        self._leave_index(ids, account_rows)

    def withhold(self, ids: Sequence[str], account_rows: Rows) -> None:
        """Take accounts that are gone out of the index; their vectors are kept aside."""
        vectors_nd, known_n = self.vectors_of(account_rows)
        for at in np.flatnonzero(known_n).tolist():
            self._withheld[ids[at]] = vectors_nd[at].copy()
        self._leave_index(ids, account_rows)

    def give_back(self, ids: Sequence[str], account_rows: Rows) -> None:
        """Undo :meth:`withhold`; ids that were not withheld are ignored."""
        back = [at for at, name in enumerate(ids) if name in self._withheld]
        if back:
            vectors_nd = np.stack([self._withheld.pop(ids[at]) for at in back])
            self.upsert([ids[at] for at in back], account_rows[back], vectors_nd)

    def _leave_index(self, ids: Sequence[str], account_rows: Rows) -> None:
        self.index.remove(ids)
        known = account_rows[(account_rows >= 0) & (account_rows < len(self._of_account))]
        self._of_account["row"][known] = UNKNOWN

    def vectors_of(self, account_rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Unit vectors_nd of accounts (zeros where there is none) and whether each has one."""
        rows = self._index_rows(account_rows)
        return self.index.vectors_of(rows), rows != UNKNOWN

    def nearest(
        self, vectors_qd: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Account rows_qk and cosines_qk nearest to each vector, best first, −1 padded."""
        rows_qk, cosines_qk = self.index.search(vectors_qd, k)
        return self._accounts(rows_qk), cosines_qk

    def neighbours_of(
        self, account_rows: Rows, k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Account rows_qk and cosines_qk of the nearest other accounts, best first, −1 padded.

        From a cache where nothing has changed that matters; an account without a vector has no
        neighbours.
        """
        rows_qk, cosines_qk = self.neighbours.neighbours_of(self._index_rows(account_rows), k)
        return self._accounts(rows_qk), cosines_qk

    def _index_rows(self, account_rows: Rows) -> Rows:
        of_account = self._of_account["row"]
        inside = (account_rows >= 0) & (account_rows < len(of_account))
        if inside.all():
            return of_account.take(account_rows)
        rows = np.full(len(account_rows), UNKNOWN, np.int32)
        rows[inside] = of_account[account_rows[inside]]
        return rows

    def _accounts(self, rows_qk: Rows) -> Rows:
        if not len(self._of_row):
            return np.full(rows_qk.shape, UNKNOWN, np.int32)
        accounts_qk = self._of_row["account"].take(rows_qk)
        accounts_qk[rows_qk < 0] = UNKNOWN
        return accounts_qk
