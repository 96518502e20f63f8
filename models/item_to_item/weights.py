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
        slot_1 = self.slots_of(np.array([media_row], np.int32))
        entry_k = self._entries(slot_1[slot_1 != UNKNOWN])
        return self.media_s[self._near_e.take(entry_k)], self._weight_e.take(entry_k)

    def likeness(self, history: Rows) -> Weights:
        """For each slot the sum of its weights from the media of a history, (slots,)."""
        slot_h = self.slots_of(history)
        slot_h = slot_h[slot_h != UNKNOWN]
        if not len(slot_h):
            return np.zeros(len(self), np.float32)
        entry_n = self._entries(slot_h)
        summed_s = np.bincount(
            self._near_e.take(entry_n), self._weight_e.take(entry_n), minlength=len(self)
        )
        return summed_s.astype(np.float32)

    def closest(self, history: Rows, media_rows: Rows) -> NDArray[np.int64]:
        """Position in `history` of the media that adds most to each of `media_rows`, −1 for none.

        Of equal ones the first.

        Args:
            history: media rows; unknown ones add nothing.
            media_rows: all different.
        """
        slot_h, slot_n = self.slots_of(history), self.slots_of(media_rows)
        asked_s = np.full(len(self) + 1, UNKNOWN, np.int64)
        asked_s[slot_n] = np.arange(len(slot_n))
        asked_s[UNKNOWN] = UNKNOWN
        known = np.flatnonzero(slot_h != UNKNOWN)
        entry_k = self._entries(slot_h[known])
        from_k = known.repeat(self._ends_s[slot_h[known]] - self._starts_s[slot_h[known]])
        at_k = asked_s[self._near_e.take(entry_k)]
        wanted = np.flatnonzero(at_k != UNKNOWN)
        at_k, from_k = at_k[wanted], from_k[wanted]
        # One whole number for both: the heaviest, and of equal ones the first.
        weight_k = self._weight_e.take(entry_k[wanted]).view(np.uint32).astype(np.int64)
        best_n = np.full(len(media_rows), UNKNOWN, np.int64)
        np.maximum.at(best_n, at_k, weight_k << 31 | (_LAST - from_k))
        return np.where(best_n == UNKNOWN, UNKNOWN, _LAST - (best_n & _LAST))

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
