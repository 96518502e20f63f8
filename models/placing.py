"""From what the passes left to a grid's places: value, spread, and new media that are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.diversity import DiversityConfig, diversify
from models.exploration import Drawn, ExplorationConfig, draw, is_new, seed_of
from models.passes import Mask, Positions, Stage

#: Added to topic codes so that they never meet a seed's account row.
_TOPIC_GROUP: Final = np.int64(1 << 40)
_NONE: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Placed:
    """What one viewer's grid shows.

    Attributes:
        shown: positions within what the passes left of the viewer's, best first.
        drawn: new media that come between them, None for none.
    """

    shown: Positions
    drawn: Drawn | None

    @property
    def drawn_rows(self) -> Positions:
        """Positions within the viewer's candidates of what was drawn."""
        return _NONE if self.drawn is None else self.drawn.rows

    def order(self, shown_n: Positions, drawn_n: Positions) -> Positions:
        """What comes at each position, given what stands for those shown and those drawn."""
        if self.drawn is None:
            return shown_n
        ordered: Positions = np.append(shown_n, drawn_n)[self.drawn.order]
        return ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """Rules of a batch.

    Attributes:
        size: items of a grid.
        personal: of them at least so many are personal, where there are any.
        diversity: where it is off, value alone decides and nothing is drawn.
        exploration: how many new media are drawn.
    """

    size: int
    personal: int
    diversity: DiversityConfig
    exploration: ExplorationConfig

    def place(self, candidates: Stage, left: Stage, value_m: NDArray[np.float64]) -> list[Placed]:
        """Choose what each viewer's grid shows, and where.

        Args:
            candidates: of which new ones may be drawn.
            left: what the passes left.
            value_m: its values.
        """
        slots = self.exploration.slots(self.size) if self.diversity.enabled else 0
        new_n = self._new(candidates) if slots else None
        author_m, group_m = left.assembly.rows.author_n, _groups(left)
        placed = []
        for at, (n, m) in enumerate(zip(candidates.spans, left.spans, strict=True)):
            grouped, personal_m = (value_m[m], author_m[m], group_m[m]), left.personal_n[m]
            drawn = None
            if new_n is not None and n.stop - n.start > self.size:
                shown = self._spread(grouped, self.size - slots, personal_m)
                certain = left.rows_n[m][shown] - n.start
                drawn = self._draw(candidates, at, new_n[n], certain, slots)
            if drawn is None:
                shown = self._spread(grouped, self.size, personal_m)
            placed.append(Placed(shown, drawn))
        return placed

    def _spread(
        self,
        grouped: tuple[NDArray[np.float64], NDArray[np.integer], NDArray[np.integer]],
        size: int,
        personal_m: Mask,
    ) -> Positions:
        return diversify(*grouped, size, self.diversity, personal_m, self.personal)

    def _new(self, candidates: Stage) -> Mask:
        rows = candidates.assembly.rows
        new_n = is_new(rows.media_n, rows.world, rows.now_ms, self.exploration)
        return new_n & ~candidates.behind_n

    def _draw(
        self, candidates: Stage, at: int, new_n: Mask, certain: Positions, slots: int
    ) -> Drawn | None:
        rows, span = candidates.assembly.rows, candidates.spans[at]
        return draw(
            new_n.nonzero()[0], rows.media_n[span], rows.author_n[span], certain, slots,
            seed_of(rows.viewers[at].viewer_hash, rows.now_ms), rows.world, self.exploration,
        )  # fmt: skip


def _groups(left: Stage) -> NDArray[np.int64]:
    """What a grid is spread over: seeds, and where a media has none its topic."""
    rows = left.assembly.rows
    seed_m, topic_m = rows.candidates.seed_n, rows.world.catalog.topic_n[rows.media_n]
    return np.where(seed_m >= 0, seed_m, np.where(topic_m > 0, topic_m + _TOPIC_GROUP, -1))
