"""The draw of new media for grids: authors with equal chances, then one media of each.

So an author gains nothing by posting often. Authors of what a grid shows for certain are left out,
and what is certain is known last, when all passes have scored. Few can be drawn all the same: in
the order of the draw, those up to the first whose authors did not even pass the first pass. They
are the *tickets*; they go through the passes beside what passes, and so cost no scoring of
their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.arrays.mixing import mix
from models.arrays.types import NO_POSITIONS, Mask, Positions, Rows
from models.arrays.viewer_pairs import Pairs, PairSet, pairs, rows_in
from models.explore.exploration import AUTHOR, MEDIA, PLACE, ExplorationConfig, Seeds
from models.world import World


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn for a grid of which some items are certain.

    Attributes:
        tickets: positions of those drawn among the viewer's tickets.
        propensity_n: probability of each to be drawn, over all draws.
        order: of the certain items and behind them the drawn ones, which comes at each position.
    """

    tickets: Positions
    propensity_n: NDArray[np.float64]
    order: list[int]


class Lottery:
    """New media of a batch of viewers, in the order in which their authors are drawn.

    Suffixes: p for the pool, g for each author of a viewer in the order of the draw, w for the
    viewers who are drawn for.

    Args:
        pool: candidates of all viewers that may be drawn.
        viewer_n, media_n, author_n: of all candidates.
        passed: candidates that passed the first pass; only such are ever certain.
        slots: media that are drawn for each viewer.
        seed_v: decide; see :func:`models.explore.exploration.seeds_of`.
    """

    def __init__(
        self,
        pool: Positions,
        viewer_n: NDArray[np.int64],
        media_n: Rows,
        author_n: Rows,
        passed: Positions,
        slots: int,
        seed_v: Seeds,
        world: World,
    ) -> None:
        self._slots, self._seed_v = slots, seed_v
        pair_p = pairs(viewer_n[pool], author_n[pool])
        order = pair_p.argsort()
        pool, pair_p = pool[order], pair_p[order]
        first_p = np.ones(len(pool), np.bool_)
        np.not_equal(pair_p[1:], pair_p[:-1], out=first_p[1:])
        start_g = first_p.nonzero()[0]
        size_g = np.diff(start_g, append=len(pool))
        pair_g = pair_p[start_g]
        viewer_g = pair_g >> 32
        author_hash_g = world.catalog.account_hash_a[rows_in(pair_g)].astype(np.uint64)
        by_key = np.lexsort((mix(author_hash_g ^ seed_v[viewer_g], AUTHOR), viewer_g))
        start_g, size_g = start_g[by_key], size_g[by_key]
        self._pair_g, self._viewer_g, self._size_g = pair_g[by_key], viewer_g[by_key], size_g
        self._begin_v = self._viewer_g.searchsorted(np.arange(len(seed_v) + 1))

        # An author who did not pass is in no grid for certain, so none is drawn behind `slots` of
        # them.
        stranger_g = ~_among(self._pair_g, pairs(viewer_n[passed], author_n[passed]))
        self._ticket_g = (self._before(stranger_g) < slots).nonzero()[0]
        start_t, size_t = start_g[self._ticket_g], size_g[self._ticket_g]
        seed_t = seed_v[self._viewer_g[self._ticket_g]]
        # Of the media of each ticket's author, the one with the lowest key.
        first_t = size_t.cumsum() - size_t
        group_m = np.arange(len(start_t)).repeat(size_t)
        member_m = pool[np.arange(len(group_m)) + (start_t - first_t)[group_m]]
        media_hash_m = world.catalog.media_hash_n[media_n[member_m]].astype(np.uint64)
        key_m = mix(media_hash_m ^ seed_t[group_m], MEDIA)
        self._row_t = member_m[np.lexsort((member_m, key_m, group_m))[first_t]]

    @classmethod
    def none(cls, viewers: int, world: World) -> Self:
        """One in which nobody has a ticket."""
        return cls(
            NO_POSITIONS, NO_POSITIONS, NO_POSITIONS.astype(np.int32),
            NO_POSITIONS.astype(np.int32), NO_POSITIONS, 0, np.zeros(viewers, np.uint64), world,
        )  # fmt: skip

    @property
    def tickets(self) -> list[Positions]:
        """Of each viewer the candidates that may be drawn, in the order of the draw."""
        bounds_v = self._ticket_g.searchsorted(self._begin_v)
        return [self._row_t[start:end] for start, end in pairwise(bounds_v.tolist())]

    def settle(self, certain_v: Sequence[Pairs], config: ExplorationConfig) -> list[Drawn | None]:
        """Draw, now that it is known what each grid shows for certain.

        Args:
            certain_v: viewer and author of each item that is in the grid already.

        Returns:
            None for a viewer who has not more authors than slots: nothing is left to chance then,
            and the places are better filled by value.
        """
        viewers, slots = len(certain_v), self._slots
        free_g = ~_among(self._pair_g, np.concatenate(certain_v))
        before_g = self._before(free_g)
        authors_v = np.bincount(self._viewer_g[free_g], minlength=viewers)
        drawing = (authors_v > slots).nonzero()[0] if slots else NO_POSITIONS
        drawn: list[Drawn | None] = [None] * viewers
        if not len(drawing):
            return drawn
        drawn_g = free_g & (before_g < slots)
        ticket_of_g = np.zeros(len(drawn_g), np.int64)
        ticket_of_g[self._ticket_g] = np.arange(len(self._ticket_g))
        first_ticket_v = self._ticket_g.searchsorted(self._begin_v)
        base_w = np.array([len(certain_v[at]) for at in drawing.tolist()])
        first_w = (config.first_position * (base_w + slots)).astype(np.int64)
        places_ws = mix(np.arange(slots, dtype=np.uint64) ^ self._seed_v[drawing, None], PLACE)
        room_w = (base_w - first_w + 1).astype(np.uint64)
        at_ws = first_w[:, None] + (places_ws % room_w[:, None]).astype(np.int64)
        for at, base, places in zip(drawing.tolist(), base_w.tolist(), at_ws.tolist(), strict=True):
            mine = slice(self._begin_v[at], self._begin_v[at + 1])
            g = drawn_g[mine].nonzero()[0] + mine.start
            propensity_n = slots / authors_v[at] / self._size_g[g]
            drawn[at] = Drawn(
                ticket_of_g[g] - first_ticket_v[at], propensity_n, _inserted(base, places)
            )
        return drawn

    def _before(self, marked_g: Mask) -> NDArray[np.int64]:
        """How many marked authors of the same viewer come before each."""
        before_g = marked_g.cumsum() - marked_g
        begin_v = self._begin_v[:-1]
        base_v = before_g[np.minimum(begin_v, max(len(before_g) - 1, 0))] if len(before_g) else None
        return before_g if base_v is None else before_g - base_v[self._viewer_g]


def _among(pair_g: Pairs, others: Pairs) -> Mask:
    found_g = np.zeros(len(pair_g), np.bool_)
    found_g[PairSet(np.sort(others)).find(pair_g)[0]] = True
    return found_g


def _inserted(base: int, places: list[int]) -> list[int]:
    """Numbers below `base` in order, and the next ones before those at `places`."""
    order = list(range(base))
    for place, number in sorted(zip(places, range(base, base + len(places)), strict=True))[::-1]:
        order.insert(place, number)
    return order
