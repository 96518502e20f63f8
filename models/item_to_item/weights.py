"""Fitted item-to-item weights as they serve: what a history says of every media, in microseconds.

A media's neighbours lie one after the other in flat arrays, so what a viewer's history adds up to
is one gather and one count, whatever its length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays.packed_ids import pack_ids, unpack_ids
from models.arrays.types import UNKNOWN, Rows

Weights = NDArray[np.float32]
#: From one neighbour to so many slots on, counting all slots costs less than looking them up.
_DENSE: Final = 4
#: More than a history has media.
_LAST: Final = (1 << 31) - 1


class ItemWeightsError(ValueError):
    """Arrays are no item weights."""


class ItemWeights:
    """Weights between media, by rows of a catalogue.

    Args:
        media_s: media row of each slot, all different.
        ends_s: where the neighbours of each slot end in the next two.
        near_e: slots of neighbours.
        weight_e: how much each belongs to the media whose neighbour it is, above 0.
        version: name of the fit, empty for one that is not stored.
    """

    def __init__(
        self,
        media_s: Rows,
        ends_s: NDArray[np.int64],
        near_e: NDArray[np.int32],
        weight_e: Weights,
        version: str = "",
    ) -> None:
        self.version = version
        self.media_s = media_s
        self._ends_s, self._near_e, self._weight_e = ends_s, near_e, weight_e
        self._starts_s = np.append(0, ends_s[:-1]).astype(np.int64)
        # The last place is for rows beyond the table.
        self._slot_m = np.full(int(media_s.max(initial=-1)) + 2, UNKNOWN, np.int32)
        self._slot_m[media_s] = np.arange(len(media_s), dtype=np.int32)
        # Room to work in: whoever owns the world asks from one thread. All 0 between calls.
        self._sum_s = np.zeros(len(media_s))
        self._place_s = np.zeros(len(media_s), np.int32)

    def __len__(self) -> int:
        """Media with weights."""
        return len(self.media_s)

    def slots_of(self, media_rows: Rows) -> NDArray[np.int32]:
        """Slots of media rows, −1 where a media has none."""
        last = len(self._slot_m) - 1
        inside_n = np.where((media_rows >= 0) & (media_rows < last), media_rows, last)
        slots_n: NDArray[np.int32] = self._slot_m.take(inside_n)
        return slots_n

    def neighbours_of(self, media_row: int) -> tuple[Rows, Weights]:
        """Media rows of one media's neighbours and their weights, both (k,); k = 0 without any."""
        near_k, weight_k = self._of(np.array([media_row], np.int32))
        return self.media_s[near_k], weight_k

    def summed(self, history: Rows) -> tuple[NDArray[np.int32], Weights]:
        """Slots that the media of a history have weights to, in no order, and the sums of these."""
        near_e, weight_e = self._of(history)
        if len(near_e) * _DENSE > len(self):
            # So many that the whole table is counted at once.
            sum_s = np.bincount(near_e, weight_e, minlength=len(self))
            slot_k = sum_s.nonzero()[0].astype(np.int32)
            return slot_k, sum_s[slot_k].astype(np.float32)
        # Of one type: adding is fast then.
        np.add.at(self._sum_s, near_e, weight_e.astype(np.float64))
        at_e = np.arange(len(near_e), dtype=np.int32)
        self._place_s[near_e] = at_e
        slot_k = near_e[self._place_s[near_e] == at_e]
        sum_k = self._sum_s[slot_k].astype(np.float32)
        self._sum_s[slot_k] = 0.0
        return slot_k, sum_k

    def likeness(self, history: Rows, slots: NDArray[np.int32]) -> tuple[Weights, float]:
        """Of each slot the sum of its weights from a history, and the highest of any slot.

        Args:
            slots: slots, or −1 for a media that has none: 0 is its sum.
        """
        slot_k, sum_k = self.summed(history)
        self._sum_s[slot_k] = sum_k
        found_n = self._sum_s.take(slots).astype(np.float32)
        found_n[slots == UNKNOWN] = 0.0
        self._sum_s[slot_k] = 0.0
        return found_n, float(sum_k.max(initial=0.0))

    def _of(self, history: Rows) -> tuple[NDArray[np.int32], Weights]:
        slot_h = self.slots_of(history)
        entries = self._entries(slot_h[slot_h != UNKNOWN])
        return self._near_e.take(entries), self._weight_e.take(entries)

    def closest(self, history: Rows, media_rows: Rows) -> NDArray[np.int64]:
        """Position in `history` of the media that adds most to each of `media_rows`, −1 for none.

        Of equal ones the first.

        Args:
            history: media rows; unknown ones add nothing.
            media_rows: all different.
        """
        slot_h, slot_n = self.slots_of(history), self.slots_of(media_rows)
        asked = np.flatnonzero(slot_n != UNKNOWN)
        self._sum_s[slot_n[asked]] = asked + 1
        known = np.flatnonzero(slot_h != UNKNOWN)
        entry_k = self._entries(slot_h[known])
        from_k = known.repeat(self._ends_s[slot_h[known]] - self._starts_s[slot_h[known]])
        at_k = self._sum_s.take(self._near_e.take(entry_k)).astype(np.int64) - 1
        self._sum_s[slot_n[asked]] = 0.0
        wanted = np.flatnonzero(at_k != UNKNOWN)
        at_k, from_k = at_k[wanted], from_k[wanted]
        # One whole number for both: the heaviest, and of equal ones the first.
        weight_k = self._weight_e.take(entry_k[wanted]).view(np.uint32).astype(np.int64)
        best_n = np.full(len(media_rows), UNKNOWN, np.int64)
        np.maximum.at(best_n, at_k, weight_k << 31 | (_LAST - from_k))
        found_n = best_n != UNKNOWN
        best_n[found_n] = _LAST - (best_n[found_n] & _LAST)
        return best_n

    def _entries(self, slot_h: NDArray[np.int32]) -> NDArray[np.int64]:
        size_h = self._ends_s[slot_h] - self._starts_s[slot_h]
        end_h = size_h.cumsum()
        entries: NDArray[np.int64] = np.arange(end_h[-1] if len(end_h) else 0)
        entries += (self._starts_s[slot_h] - end_h + size_h).repeat(size_h)
        return entries

    # Storage.

    def to_arrays(self, ids: Sequence[str]) -> dict[str, NDArray[Any]]:
        """The weights by name, as an artifact stores them; `ids` are those of :attr:`media_s`."""
        blob, ends = pack_ids(ids)
        return {
            "ids": blob,
            "id_ends": ends,
            "ends": self._ends_s,
            "near": self._near_e,
            "weight": self._weight_e.astype(np.float16),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], media_s: Rows, version: str) -> Self:
        """The weights that :meth:`to_arrays` wrote, for a catalogue in which the ids are `media_s`.

        Raises:
            ItemWeightsError: an array is missing or does not fit the others.
        """
        missing = [name for name in _ARRAYS if name not in arrays]
        if missing:
            raise ItemWeightsError(f"item weights have no {', '.join(missing)}; fit them anew")
        ends_s, near_e = arrays["ends"].astype(np.int64), arrays["near"].astype(np.int32)
        weight_e = arrays["weight"].astype(np.float32)
        fits = (
            ends_s.ndim == near_e.ndim == weight_e.ndim == 1
            and len(ends_s) == len(media_s)
            and len(near_e) == len(weight_e) == int(ends_s[-1] if len(ends_s) else 0)
            and (np.diff(ends_s, prepend=0) >= 0).all()
            and (near_e >= 0).all()
            and (near_e < len(media_s)).all()
            and np.isfinite(weight_e).all()
            # The bits of a weight are ordered as the weight is only where it is not negative.
            and (weight_e >= 0).all()
        )
        if not fits:
            raise ItemWeightsError(
                f"item weights of {len(media_s)} media with {len(near_e)} neighbours do not fit "
                "together; fit them anew"
            )
        return cls(media_s, ends_s, near_e, weight_e, version)


_ARRAYS: Final = ("ids", "id_ends", "ends", "near", "weight")


def stored_ids(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """Ids of the media that stored weights are of, in the order of their slots.

    Raises:
        ItemWeightsError: the arrays are no item weights.
    """
    try:
        return unpack_ids(arrays["ids"], arrays["id_ends"])
    except (KeyError, ValueError) as error:
        raise ItemWeightsError(f"item weights without ids ({error}); fit them anew") from error
