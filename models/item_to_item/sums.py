"""What the weights from whole histories add up to, of many viewers at once.

A link leads from a media of a viewer's history to one of its neighbours. Links of few media are
sorted, so that all viewers' are added up by a handful of operations; where a viewer has so many
that they reach most of the table, the whole table is counted instead.

Weights are added in float64, which holds sums of so few float32 exactly: both ways and every
order give the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays.packed_sort import Sorted
from models.arrays.types import NO_ROWS, Float, Positions, Rows

#: More than histories have media.
_LAST: Final = (1 << 31) - 1


class Histories(NamedTuple):
    """What viewers liked.

    Attributes:
        media_h: media rows, one viewer's after the other's.
        viewer_h: position of each one's viewer, ascending.
    """

    media_h: Rows
    viewer_h: NDArray[np.int32]

    @classmethod
    def of(cls, media_v: Sequence[Rows]) -> Self:
        """The histories of these viewers."""
        viewer_h = np.arange(len(media_v), dtype=np.int32).repeat([len(media) for media in media_v])
        return cls(np.concatenate([NO_ROWS, *media_v]), viewer_h)


class Links(NamedTuple):
    """From media of histories to their neighbours, in the order of the histories.

    Attributes:
        viewer_e: whose each is, ascending.
        from_e: position in the histories of the media that it leads from.
        near_e: slot of the neighbour.
        weight_e: above 0.
    """

    viewer_e: NDArray[np.int32]
    from_e: Positions
    near_e: NDArray[np.int32]
    weight_e: Float

    def of_each(self) -> list[Links]:
        """Those of each viewer who has any."""
        begin_v = np.flatnonzero(np.diff(self.viewer_e, prepend=-1)).tolist()
        spans = map(slice, begin_v, [*begin_v[1:], len(self.viewer_e)])
        return [
            Links(self.viewer_e[e], self.from_e[e], self.near_e[e], self.weight_e[e]) for e in spans
        ]


class Sums(NamedTuple):
    """Of each viewer and each slot that links lead to, by viewer and then by slot.

    Attributes:
        viewer_k, slot_k: of which.
        sum_k: of the weights.
        closest_k: position in the histories of the media that adds most, of equal ones the first.
    """

    viewer_k: NDArray[np.int32]
    slot_k: NDArray[np.int32]
    sum_k: Float
    closest_k: Positions

    @classmethod
    def concatenate(cls, parts: Sequence[Sums]) -> Self:
        """The sums of one part behind those of the other."""
        return cls(
            np.concatenate([part.viewer_k for part in parts]),
            np.concatenate([part.slot_k for part in parts]),
            np.concatenate([part.sum_k for part in parts]),
            np.concatenate([part.closest_k for part in parts]),
        )


def by_sorting(links: Links) -> Sums:
    """The sums of all viewers' links."""
    by_slot = Sorted(links.viewer_e, links.near_e)
    order_e, first_k = by_slot.order_n, by_slot.begins(2).nonzero()[0]
    weight_e = links.weight_e.take(order_e)
    sum_k = np.add.reduceat(weight_e, first_k, dtype=np.float64).astype(np.float32)
    heaviest_k = np.maximum.reduceat(_heaviness(weight_e, links.from_e.take(order_e)), first_k)
    at_k = order_e.take(first_k)
    return Sums(links.viewer_e.take(at_k), links.near_e.take(at_k), sum_k, _from(heaviest_k))


def by_counting(links: Links, slots: int) -> Sums:
    """The sums of one viewer's links, by looking at all slots."""
    sum_s = np.bincount(links.near_e, links.weight_e, minlength=slots)
    slot_k = sum_s.nonzero()[0].astype(np.int32)
    heaviest_s = np.zeros(slots, np.int64)
    np.maximum.at(heaviest_s, links.near_e, _heaviness(links.weight_e, links.from_e))
    return Sums(
        links.viewer_e[:1].repeat(len(slot_k)),
        slot_k,
        sum_s.take(slot_k).astype(np.float32),
        _from(heaviest_s.take(slot_k)),
    )


def _heaviness(weight_e: Float, from_e: Positions) -> NDArray[np.int64]:
    """One whole number for both: the heaviest is the highest, of equal ones the first."""
    # The bits of numbers above 0 are ordered as they are.
    heaviness_e: NDArray[np.int64] = weight_e.view(np.uint32).astype(np.int64) << 31
    heaviness_e |= _LAST - from_e
    return heaviness_e


def _from(heaviness_k: NDArray[np.int64]) -> Positions:
    return _LAST - (heaviness_k & _LAST)
