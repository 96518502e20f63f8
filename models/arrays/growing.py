"""Growing columns: what the in-memory world is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays.stored import ANY, Arrays, StoredArraysError, copied, taken
from models.arrays.types import NO_ROWS, Rows


class GrowingColumns:
    """Arrays of one length that grow together, doubling (so appending is O(1) amortised).

    Each column is an attribute-like entry: ``columns["created_ts"]`` is a view of the rows in
    use; keep it only until the next ``grow``.

    Args:
        spec: name → (dtype, fill value of a new row) or (dtype, fill, width) for a matrix.
    """

    def __init__(self, **spec: tuple[Any, ...]) -> None:
        self._fill = {name: entry[1] for name, entry in spec.items()}
        self._arrays: dict[str, NDArray[Any]] = {
            name: np.full((16, *entry[2:]), entry[1], dtype=entry[0])
            for name, entry in spec.items()
        }
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name][: self._length]

    @property
    def bytes(self) -> int:
        """Memory of the arrays, what is held ready for new rows included."""
        return sum(array.nbytes for array in self._arrays.values())

    def grow(self, length: int) -> None:
        """Make at least `length` rows; new ones hold the fill values."""
        if length <= self._length:
            return
        capacity = len(next(iter(self._arrays.values())))
        if length > capacity:
            capacity = max(length, 2 * capacity)
            for name, old in self._arrays.items():
                new = np.full((capacity, *old.shape[1:]), self._fill[name], dtype=old.dtype)
                new[: self._length] = old[: self._length]
                self._arrays[name] = new
        self._length = length

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """A copy of each column, of the rows in use."""
        return {name: copied(self[name]) for name in self._arrays}

    def load(self, arrays: Arrays) -> None:
        """Hold these columns, of equal length, instead; the arrays are kept, not copied.

        Raises:
            StoredArraysError: a column is missing, or is of another type or length.
        """
        columns = {
            name: taken(arrays, name, old.dtype, *(ANY, *old.shape[1:]))
            for name, old in self._arrays.items()
        }
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise StoredArraysError(f"columns of one table have different lengths: {lengths}")
        self._arrays = columns
        self._length = next(iter(lengths.values()))


class TopRows:
    """The rows with the highest keys, exact under live updates without full scans.

    It keeps a pool of the best rows at the last scan and the rows touched since. An untouched
    row outside the pool has a key of at most the scan's threshold, so the best of pool and
    touched rows are the best of all while they stay at or above it.

    Args:
        pool: rows kept by a scan; asking for up to this many is cheap.
    """

    def __init__(self, pool: int = 4096) -> None:
        self._pool_size = pool
        self._pool: Rows = NO_ROWS
        self._touched: list[Rows] = []
        self._touched_count = 0
        self._threshold = -np.inf
        self._scanned = False
        self._cached: tuple[int, Rows] | None = None

    def touch(self, rows: Rows) -> None:
        """Tell that the keys of `rows` changed or that the rows are new."""
        self._cached = None
        if not self._scanned:
            return
        self._touched.append(rows)
        self._touched_count += len(rows)
        if self._touched_count > self._pool_size:
            # Cheaper to look at everything once, when somebody asks.
            self.rescale()

    def rescale(self) -> None:
        """Tell that all keys changed: the next question scans."""
        self._scanned = False
        self._touched, self._touched_count = [], 0
        self._cached = None

    def best(self, key_n: NDArray[np.float64], k: int) -> Rows:
        """Up to k rows with the highest finite keys above 0, best first (equal keys: lower row)."""
        if self._cached is not None and self._cached[0] >= k:
            return self._cached[1][:k]
        # Some more than asked for are kept, so that asking for those later costs nothing.
        k, wanted = max(k, self._pool_size // 4), k
        if not self._scanned or k > self._pool_size:
            self._scan(key_n, k)
        rows = self._select(key_n, k)
        short = len(rows) < k and self._threshold > 0.0
        if short or (len(rows) > 0 and key_n[rows[-1]] < self._threshold):
            self._scan(key_n, k)
            rows = self._select(key_n, k)
        self._cached = (k, rows)
        return rows[:wanted]

    def _select(self, key_n: NDArray[np.float64], k: int) -> Rows:
        rows = np.unique(np.concatenate([self._pool, *self._touched]))
        key = key_n[rows]
        order = np.argsort(-key, kind="stable")[:k]
        best: Rows = rows[order[key[order] > 0.0]]
        return best

    def _scan(self, key_n: NDArray[np.float64], k: int) -> None:
        size = max(self._pool_size, k)
        self._touched, self._touched_count, self._scanned = [], 0, True
        if len(key_n) <= size:
            self._pool = np.arange(len(key_n), dtype=np.int32)
            self._threshold = -np.inf
            return
        cut = len(key_n) - size
        threshold = float(np.partition(key_n, cut)[cut])
        # Rows equal to the threshold all stay, so that ties are always broken the same way.
        inside = key_n >= threshold if threshold > 0.0 else key_n > 0.0
        self._pool = np.flatnonzero(inside).astype(np.int32)
        self._threshold = threshold
