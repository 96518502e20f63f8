"""The value of each of many keys, as long as memory allows: those named last are remembered.

Keys are 64-bit hashes, found a batch at a time, as :class:`models.arrays.id_table.Ids` finds ids.
Two tables hold them. What a batch names goes into the younger one; once that is full it becomes the
older one, and what stood in the older one and was not named since is forgotten. So the newest
`most` keys are remembered at least, but for one batch of them, and twice as many at most; nothing
is ever searched to make room. A table grows in few large steps, of which each takes half a
microsecond a key.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.stored import ANY, Arrays, StoredArraysError, taken
from models.arrays.types import Positions

Keys = NDArray[np.uint64]
Values = NDArray[np.int64]

#: The value of a key that is not remembered; no other is as low.
ABSENT: Final = np.iinfo(np.int64).min
#: Slots a key at least, so that few lookups need a second one.
_SPARSE: Final = 2
_LEAST_SLOTS: Final = 512
_GROWTH_BITS: Final = 3
#: Slots looked through at once.
_AT_ONCE: Final = 1 << 15
_HALF: Final = np.uint64(32)
_ODD: Final = np.uint64(1)


class RecentValues:
    """Key → the highest value told of it.

    Args:
        most: keys remembered at least, once there were so many; 64 bytes each when it is a power
            of two.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._old = _Table(self._slots_for(0))
        self._young = _Table(self._slots_for(0))

    @property
    def bytes(self) -> int:
        """Memory of both tables, free slots included."""
        return self._young.bytes + self._old.bytes

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Keys and values of both tables, in no order."""
        found: dict[str, NDArray[Any]] = {}
        for name, table in (("old", self._old), ("young", self._young)):
            found[f"{name}_key"], found[f"{name}_value"] = table.content()
        return found

    def load(self, arrays: Arrays) -> None:
        """Remember these keys instead.

        Raises:
            StoredArraysError: they are not what :meth:`to_arrays` gives.
        """
        tables = []
        for name in ("old", "young"):
            key_k = taken(arrays, f"{name}_key", np.uint64, ANY)
            value_k = taken(arrays, f"{name}_value", np.int64, len(key_k))
            if len(np.unique(key_k)) != len(key_k):
                raise StoredArraysError(f"keys of {name!r} come twice")
            tables.append(_Table(self._slots_for(len(key_k))))
            tables[-1].add(key_k, value_k)
        self._old, self._young = tables

    def raise_to(self, key_k: Keys, value_k: Values) -> Values:
        """Note values; a key keeps the highest. Returns what each had before, or `ABSENT`.

        Args:
            key_k: each once.
        """
        if len(self._young) + len(key_k) > self._most:
            self._old, self._young = self._young, _Table(self._young.slots)
        slot_k = self._young.find(key_k)
        before_k = self._young.values(slot_k)
        known_k, new_k = np.flatnonzero(slot_k >= 0), np.flatnonzero(slot_k < 0)
        before_k[new_k] = self._old.values(self._old.find(key_k[new_k]))
        highest_k = np.maximum(before_k, value_k)
        self._young.set(slot_k[known_k], highest_k[known_k])
        slots = self._slots_for(len(self._young) + len(new_k))
        if slots > self._young.slots:
            self._young = self._young.enlarged(slots)
        self._young.add(key_k[new_k], highest_k[new_k])
        return before_k

    def _slots_for(self, keys: int) -> int:
        """Slots of a table of so many keys; as a rule a power of 8 times fewer than at last."""
        slots = 1 << (_SPARSE * max(self._most, keys) - 1).bit_length()
        while (fewer := slots >> _GROWTH_BITS) >= max(_SPARSE * keys, _LEAST_SLOTS):
            slots = fewer
        return slots


class _Table:
    """Keys and values with open addressing and double hashing."""

    def __init__(self, slots: int) -> None:
        self._keys: Keys = np.zeros(slots, np.uint64)  # 0 where a slot is free
        self._values: Values = np.zeros(slots, np.int64)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def slots(self) -> int:
        """Number of slots, a power of two."""
        return len(self._keys)

    @property
    def bytes(self) -> int:
        """Memory of the slots."""
        return self._keys.nbytes + self._values.nbytes

    def find(self, key_k: Keys) -> Positions:
        """Slot of each key, −1 where it is not here."""
        key_k = _not_zero(key_k)
        slot_k = self._first(key_k)
        held_k = self._keys.take(slot_k)
        left = np.flatnonzero((held_k != key_k) & (held_k != 0))
        while len(left):
            slot_k[left] = self._next(slot_k[left], key_k[left])
            held_k[left] = held = self._keys.take(slot_k[left])
            left = left[(held != key_k[left]) & (held != 0)]
        slot_k[held_k == 0] = -1
        return slot_k

    def values(self, slot_k: Positions) -> Values:
        """What stands in slots, `ABSENT` for −1."""
        value_k: Values = self._values.take(slot_k)
        value_k[slot_k < 0] = ABSENT
        return value_k

    def set(self, slot_k: Positions, value_k: Values) -> None:
        """Replace what stands in slots."""
        self._values[slot_k] = value_k

    def content(self) -> tuple[Keys, Values]:
        """The keys that are here, and their values."""
        key_k, value_k = np.empty(self._length, np.uint64), np.empty(self._length, np.int64)
        end = 0
        # In steps between which other threads have their turn.
        for start in range(0, self.slots, _AT_ONCE):
            here = start + np.flatnonzero(self._keys[start : start + _AT_ONCE])
            begin, end = end, end + len(here)
            key_k[begin:end], value_k[begin:end] = self._keys[here], self._values[here]
        return key_k, value_k

    def enlarged(self, slots: int) -> _Table:
        """A table of so many slots with these keys."""
        larger = _Table(slots)
        larger.add(*self.content())
        return larger

    def add(self, key_k: Keys, value_k: Values) -> None:
        """Add keys that are not here, each once; half of the slots must stay free."""
        key_k = _not_zero(key_k)
        slot_k = self._first(key_k)
        self._length += len(key_k)
        while len(key_k):
            free_k = self._keys[slot_k] == 0
            self._keys[slot_k[free_k]] = key_k[free_k]
            # Of those that met in a free slot, one has it now.
            mine_k = self._keys[slot_k] == key_k
            self._values[slot_k[mine_k]] = value_k[mine_k]
            slot_k, key_k, value_k = slot_k[~mine_k], key_k[~mine_k], value_k[~mine_k]
            slot_k = self._next(slot_k, key_k)

    def _first(self, key_k: Keys) -> Positions:
        return (key_k & np.uint64(self.slots - 1)).view(np.int64)

    def _next(self, slot_k: Positions, key_k: Keys) -> Positions:
        """The next slot of each; an odd step reaches all of a power of two."""
        step_k = (key_k >> _HALF | _ODD).view(np.int64)
        return (slot_k + step_k) & (self.slots - 1)


def _not_zero(key_k: Keys) -> Keys:
    return np.where(key_k == 0, _ODD, key_k)
