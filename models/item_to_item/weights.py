"""Fitted item-to-item weights as they serve: what a history says of every media, in microseconds.

A media's neighbours lie one after the other in flat arrays, so what viewers' histories add up to
is one gather, whatever their lengths, and what :mod:`models.item_to_item.sums` makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays.packed_ids import pack_ids, unpack_ids
from models.arrays.stored import ANY, StoredArraysError, taken
from models.arrays.types import UNKNOWN, Rows
from models.item_to_item.appeal import USUAL, Appeal
from models.item_to_item.sums import Histories, Links, Sums, by_counting, by_sorting

Weights = NDArray[np.float32]
#: From one neighbour to so many slots on, counting all slots costs less than looking them up.
_DENSE: Final = 4
#: Links of all viewers that are sorted at once; more outgrow the cache.
_AT_ONCE: Final = 1 << 17


class ItemWeightsError(ValueError):
    """Arrays are no item weights."""


class Likeness(NamedTuple):
    """What histories say of slots, 0 where nothing.

    Attributes:
        sum_n: sum of the weights to each slot from its viewer's history.
        recent_n: of those from the recent part of it.
        highest_v: of each viewer the highest sum of any slot.
    """

    sum_n: NDArray[np.float64]
    recent_n: NDArray[np.float64]
    highest_v: Weights


class ItemWeights:
    """Weights between media, by rows of a catalogue.

    Args:
        media_s: media row of each slot, all different.
        ends_s: where the neighbours of each slot end in the next two.
        near_e: slots of neighbours.
        weight_e: how much each belongs to the media whose neighbour it is, above 0.
        appeal: how likeness and what everybody likes are weighed; None where nobody knows.
        version: name of the fit, empty for one that is not stored.
    """

    def __init__(
        self,
        media_s: Rows,
        ends_s: NDArray[np.int64],
        near_e: NDArray[np.int32],
        weight_e: Weights,
        appeal: Appeal | None = None,
        version: str = "",
    ) -> None:
        self.version = version
        self.appeal = appeal
        self.media_s = media_s
        self._ends_s, self._near_e, self._weight_e = ends_s, near_e, weight_e
        self._starts_s = np.append(0, ends_s[:-1]).astype(np.int64)
        self._sizes_s = ends_s - self._starts_s
        # The first and the last place are for rows before and beyond the table.
        self._slot_m = np.full(int(media_s.max(initial=-1)) + 3, UNKNOWN, np.int32)
        self._slot_m[media_s + 1] = np.arange(len(media_s), dtype=np.int32)
        # Room to work in: whoever owns the world asks from one thread. All 0 between calls, and
        # the last place, which is that of slot −1, always.
        self._sum_s = np.zeros(len(media_s) + 1)

    def with_appeal(self, appeal: Appeal) -> ItemWeights:
        """The same weights with another appeal."""
        found = copy(self)
        found.appeal = appeal
        return found

    def __len__(self) -> int:
        """Media with weights."""
        return len(self.media_s)

    def slots_of(self, media_rows: Rows) -> NDArray[np.int32]:
        """Slots of media rows, −1 where a media has none."""
        slots_n: NDArray[np.int32] = self._slot_m.take(media_rows + 1, mode="clip")
        return slots_n

    def neighbours_of(self, media_row: int) -> tuple[Rows, Weights]:
        """Media rows of one media's neighbours and their weights, both (k,); k = 0 without any."""
        links = self.links(Histories.of([np.array([media_row], np.int32)]))
        return self.media_s[links.near_e], links.weight_e

    def summed(self, histories: Histories) -> Sums:
        """What each viewer's history adds up to; unknown media of it add nothing."""
        links = self.links(histories)
        viewer_e = links.viewer_e
        viewers = int(viewer_e[-1]) - int(viewer_e[0]) + 1 if len(viewer_e) else 0
        if len(viewer_e) * _DENSE <= len(self) * viewers and len(viewer_e) <= _AT_ONCE:
            return by_sorting(links)
        return Sums.concatenate(
            [
                by_counting(one, len(self))
                if len(one.near_e) * _DENSE > len(self)
                else by_sorting(one)
                for one in links.of_each()
            ]
        )

    def likeness(
        self,
        histories: Histories,
        slot_n: NDArray[np.int32],
        spans: Sequence[slice],
        recent: int = 0,
    ) -> Likeness:
        """What each viewer's history says of the viewer's slots.

        Args:
            slot_n: slots, or −1 for a media that has none: 0 is its sum.
            spans: where each viewer's are.
            recent: first media of each history that are added up apart, too.
        """
        links = self.links(histories)
        # Links stand as the histories do, so the recent ones come first.
        bounds_v = histories.viewer_h.searchsorted(np.arange(len(spans) + 1))
        recent_v = np.minimum(bounds_v[:-1] + recent, bounds_v[1:])
        bounds = links.from_e.searchsorted(bounds_v).tolist()
        middles = links.from_e.searchsorted(recent_v).tolist()
        found = Likeness(
            np.zeros(len(slot_n)), np.zeros(len(slot_n)), np.zeros(len(spans), np.float32)
        )
        weight_e = links.weight_e.astype(np.float64)  # Of the sums' type: adding is fast then.
        sum_s = self._sum_s
        for at, (span, start, middle, end) in enumerate(
            zip(spans, bounds, middles, bounds[1:], strict=False)
        ):
            if start == end:
                continue
            near_e = links.near_e[start:end]
            if start < middle:
                np.add.at(sum_s, near_e[: middle - start], weight_e[start:middle])
                # −1 wraps around to the last place.
                sum_s.take(slot_n[span], out=found.recent_n[span], mode="wrap")
            np.add.at(sum_s, near_e[middle - start :], weight_e[middle:end])
            sum_s.take(slot_n[span], out=found.sum_n[span], mode="wrap")
            found.highest_v[at] = sum_s.take(near_e).max()
            sum_s[near_e] = 0.0
        return found

    def links(self, histories: Histories) -> Links:
        """All links from the known media of histories."""
        slot_h = self.slots_of(histories.media_h)
        known = (slot_h != UNKNOWN).nonzero()[0]
        slot_h = slot_h.take(known)
        size_h = self._sizes_s.take(slot_h)
        end_h = size_h.cumsum()
        entry_e: NDArray[np.int64] = np.arange(end_h[-1] if len(end_h) else 0)
        entry_e += (self._starts_s.take(slot_h) - end_h + size_h).repeat(size_h)
        from_e = known.repeat(size_h)
        return Links(
            histories.viewer_h.take(from_e),
            from_e,
            self._near_e.take(entry_e),
            self._weight_e.take(entry_e),
        )

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
            "appeal": np.zeros(0) if self.appeal is None else self.appeal.weights,
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
        # Weights that were stored before there was an appeal have none.
        appeal_f = arrays.get("appeal", np.zeros(0))
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
            and appeal_f.shape in ((0,), USUAL.weights.shape)
            and np.isfinite(appeal_f).all()
        )
        if not fits:
            raise ItemWeightsError(
                f"item weights of {len(media_s)} media with {len(near_e)} neighbours do not fit "
                "together; fit them anew"
            )
        appeal = Appeal.of_weights(appeal_f) if len(appeal_f) else None
        return cls(media_s, ends_s, near_e, weight_e, appeal, version)

    def to_columns(self) -> dict[str, NDArray[Any]]:
        """All of it by rows of this catalogue and to the bit, unlike :meth:`to_arrays`."""
        return {
            "media": self.media_s,
            "ends": self._ends_s,
            "near": self._near_e,
            "weight": self._weight_e,
            "appeal": np.zeros(0) if self.appeal is None else self.appeal.weights,
        }

    @classmethod
    def from_columns(cls, columns: Mapping[str, NDArray[Any]], media: int) -> Self:
        """What :meth:`to_columns` gave, of a catalogue with so many media.

        Raises:
            StoredArraysError: these are not such columns.
        """
        media_s = taken(columns, "media", np.int32, ANY, rows=media)
        for name, dtype in (("ends", np.int64), ("near", np.int32), ("weight", np.float32)):
            taken(columns, name, dtype, ANY)
        taken(columns, "appeal", np.float64, ANY)
        try:
            # Rows are known here, so that no ids are.
            return cls.from_arrays({**columns, "ids": media_s, "id_ends": media_s}, media_s, "")
        except ItemWeightsError as error:
            raise StoredArraysError(str(error)) from error


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
