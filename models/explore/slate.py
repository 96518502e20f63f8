"""From what the passes left to a grid's places: value, spread, and new media that are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import NO_POSITIONS, Mask, Positions
from models.explore.diversity import DiversityConfig, diversify
from models.explore.exploration import Drawn, ExplorationConfig, draw, is_new, seeds_of
from models.explore.stage import Stage

#: Added to topic codes so that they never meet a seed's account row.
_TOPIC_GROUP: Final = np.int64(1 << 40)


@dataclass(frozen=True, slots=True)
class Slate:
    """What one viewer's grid shows.

    Attributes:
        shown: positions within what the passes left of the viewer's, best first.
        drawn: new media that come between them, None for none.
    """

    shown: Positions
    drawn: Drawn | None

    @property
    def drawn_rows(self) -> Positions:
        """Positions among all candidates of the batch of what was drawn."""
        return NO_POSITIONS if self.drawn is None else self.drawn.rows

    def order(self, shown_n: Positions, drawn_n: Positions) -> Positions:
        """What comes at each position, given what stands for those shown and those drawn."""
        if self.drawn is None:
            return shown_n
        ordered: Positions = np.concatenate((shown_n, drawn_n))[self.drawn.order]
        return ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class SlateRules:
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

    def place(self, candidates: Stage, left: Stage, value_m: NDArray[np.float64]) -> list[Slate]:
        """Choose what each viewer's grid shows, and where.

        Args:
            candidates: of which new ones may be drawn.
            left: what the passes left.
            value_m: its values.
        """
        author_m, group_m = left.assembly.rows.author_n, _groups(left)

        def spread(at: int, size: int) -> Positions:
            m = left.spans[at]
            return diversify(
                value_m[m], author_m[m], group_m[m], size,
                self.diversity, left.personal_n[m], self.personal,
            )  # fmt: skip

        viewers = range(len(left.spans))
        slots = self.exploration.slots(self.size) if self.diversity.enabled else 0
        if not slots:
            return [Slate(spread(at, self.size), None) for at in viewers]
        enough = [n.stop - n.start > self.size for n in candidates.spans]
        shown = [spread(at, self.size - slots if enough[at] else self.size) for at in viewers]
        certain = [left.rows_n[m][at] for m, at in zip(left.spans, shown, strict=True)]
        drawn = self._draw(candidates, np.array(enough, np.bool_), certain, slots)
        return [
            Slate(
                spread(at, self.size) if enough[at] and drawn[at] is None else shown[at], drawn[at]
            )
            for at in viewers
        ]

    def _draw(
        self, candidates: Stage, enough_v: Mask, certain: list[Positions], slots: int
    ) -> list[Drawn | None]:
        rows = candidates.assembly.rows
        new_n = is_new(rows.media_n, rows.age_n, rows.world, rows.now_ms, self.exploration)
        new_n &= ~candidates.behind_n
        new_n &= enough_v[rows.viewer_n]
        return draw(
            new_n.nonzero()[0], rows.viewer_n, rows.media_n, rows.author_n, certain, slots,
            seeds_of(rows.batch.hash_v, rows.now_ms), rows.world, self.exploration,
        )  # fmt: skip


def _groups(left: Stage) -> NDArray[np.int64]:
    """What a grid is spread over: seeds, and where a media has none its topic."""
    rows = left.assembly.rows
    seed_m, topic_m = rows.candidates.seed_n, rows.world.catalog.topic_n[rows.media_n]
    return np.where(seed_m >= 0, seed_m, np.where(topic_m > 0, topic_m + _TOPIC_GROUP, -1))
