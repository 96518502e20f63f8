"""Ids and their rows, looked up by the thousand.

A dict finds one id after the other, and in a large one each waits several times for memory: about
a microsecond an id. Here ids are found by a 64-bit hash in a table with open addressing and double
hashing (Knuth, The Art of Computer Programming, vol. 3, 6.4), all ids of a question at once, so
that the waiting overlaps.

Two ids of the same hash would be taken for one. Python's hash of a string is keyed anew by each
process, so nobody can make such ids, and by chance it befalls one catalogue of 10⁷ million-row
ones.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models.arrays.stored import StoredArraysError
from models.arrays.types import NO_ROWS, UNKNOWN, Rows

Hashes = NDArray[np.int64]

#: Slots an id at least, so that few lookups need a second place.
_SPARSE: Final = 4


def hash_id(name: str) -> int:
    """A 31-bit hash of an id, equal in every process; feature buckets are cut from it."""
    return crc32(name.encode()) & 0x7FFFFFFF


class Ids:
    """Ids with stable rows: a row is given once and never reused."""

    def __init__(self) -> None:
        self._length = 0
        # Objects in an array: many at once are read with overlapping waits here, too.
        self._ids = np.empty(16, object)
        self._hash_n: Hashes = np.empty(len(self._ids), np.int64)
        self._slots: Rows = np.full(_SPARSE * len(self._hash_n), UNKNOWN, np.int32)

    @classmethod
    def of(cls, names: Sequence[str]) -> Self:
        """A table of ids, each once, in the order of their rows.

        Raises:
            StoredArraysError: an id comes twice.
        """
        ids = cls()
        ids.intern(names)
        if len(ids) != len(names):
            raise StoredArraysError(f"of {len(names)} ids only {len(ids)} are different")
        return ids

    def __len__(self) -> int:
        return self._length

    @property
    def all_names(self) -> NDArray[Any]:
        """All ids by row, as objects; no later change touches what was taken."""
        return self._ids[: self._length]

    def __getitem__(self, row: int) -> str:
        name: str = self._ids[row]
        return name

    def rows(self, ids: Collection[str]) -> Rows:
        """Rows of `ids`, −1 for an unknown one."""
        if not ids:
            return NO_ROWS
        hash_n = _hashes(ids)
        slot_n = hash_n & (len(self._slots) - 1)
        rows_n = self._slots.take(slot_n)
        left = self._others(rows_n, hash_n).nonzero()[0]
        while len(left):
            slot_n[left] = self._next(slot_n[left], hash_n[left])
            rows_n[left] = found = self._slots.take(slot_n[left])
            left = left[self._others(found, hash_n[left])]
        return rows_n

    def row(self, name: str) -> int:
        """Row of one id, −1 if unknown."""
        return int(self.rows((name,))[0])

    def intern(self, ids: Sequence[str]) -> Rows:
        """Rows of `ids`, new ones for those not known."""
        rows_n = self.rows(ids)
        unknown = (rows_n == UNKNOWN).nonzero()[0]
        if len(unknown):
            names = [ids[at] for at in unknown.tolist()]
            self._append(list(dict.fromkeys(names)))
            rows_n[unknown] = self.rows(names)
        return rows_n

    def names(self, rows: Rows) -> list[str]:
        """The ids at `rows`, all of which must be known."""
        names: list[str] = self._ids.take(rows).tolist()
        return names

    def _append(self, new: list[str]) -> None:
        known, length = self._length, self._length + len(new)
        if length > len(self._ids):
            spare = (1 << (length - 1).bit_length()) - known
            self._ids = np.concatenate((self._ids[:known], np.empty(spare, object)))
            self._hash_n = np.concatenate((self._hash_n[:known], np.empty(spare, np.int64)))
            self._slots = np.full(_SPARSE * len(self._ids), UNKNOWN, np.int32)
            self._put(0, known)
        self._ids[known:length] = new
        self._hash_n[known:length] = _hashes(new)
        self._length = length
        self._put(known, length)

    def _put(self, start: int, end: int) -> None:
        """Give each of these rows a slot."""
        row_n = np.arange(start, end, dtype=np.int32)
        hash_n = self._hash_n[start:end]
        slot_n = hash_n & (len(self._slots) - 1)
        while len(row_n):
            free_n = self._slots[slot_n] == UNKNOWN
            self._slots[slot_n[free_n]] = row_n[free_n]
            # Of those that met in a free slot, one has it now.
            left_n = self._slots[slot_n] != row_n
            row_n, hash_n = row_n[left_n], hash_n[left_n]
            slot_n = self._next(slot_n[left_n], hash_n)

    def _others(self, rows_n: Rows, hash_n: Hashes) -> NDArray[np.bool_]:
        """Where a slot holds something else than what was asked for."""
        others_n: NDArray[np.bool_] = self._hash_n.take(rows_n, mode="clip") != hash_n
        others_n &= rows_n != UNKNOWN
        return others_n

    def _next(self, slot_n: Hashes, hash_n: Hashes) -> Hashes:
        """The next slot of each; an odd step reaches all of a power of two."""
        return (slot_n + (hash_n >> 32 | 1)) & (len(self._slots) - 1)


def _hashes(ids: Collection[str]) -> Hashes:
    return np.fromiter(map(hash, ids), np.int64, len(ids))
