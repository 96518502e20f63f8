"""From what the passes left to a grid's places: value, spread, and new media that are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import NO_POSITIONS, Positions
from models.arrays.viewer_pairs import pairs
from models.explore.diversity import DiversityConfig, diversify
from models.explore.exploration import ExplorationConfig, is_new, seeds_of
from models.explore.lottery import Drawn, Lottery
from models.explore.stage import Cut, Stage

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

    def order(self, left_at: slice, tickets_at: slice) -> Positions:
        """Positions of the grid's items, in its order, where the viewer's are at these."""
        shown: Positions = self.shown + left_at.start
        if self.drawn is None:
            return shown
        ordered: Positions = np.concatenate((shown, self.drawn.tickets + tickets_at.start))[
            self.drawn.order
        ]
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

    def lottery(self, candidates: Stage, first: Cut) -> Lottery:
        """Which new media may be drawn, given what the first pass kept."""
        rows, slots = candidates.assembly.rows, self._slots
        viewers = len(candidates.spans)
        if not slots:
            return Lottery.none(viewers, rows.world)
        enough_v = np.array([n.stop - n.start > self.size for n in candidates.spans], np.bool_)
        new_n = is_new(rows.media_n, rows.age_n, rows.world, rows.now_ms, self.exploration)
        new_n &= ~candidates.behind_n
        new_n &= enough_v[rows.viewer_n]
        passed = [at + span.start for at, span in zip(first.kept, candidates.spans, strict=True)]
        return Lottery(
            new_n.nonzero()[0], rows.viewer_n, rows.media_n, rows.author_n,
            np.concatenate([NO_POSITIONS, *passed]), slots,
            seeds_of(rows.batch.hash_v, rows.now_ms), rows.world,
        )  # fmt: skip

    def place(
        self, left: Stage, value_m: NDArray[np.float64], sizes_v: Positions, lottery: Lottery
    ) -> list[Slate]:
        """Choose what each viewer's grid shows, and where.

        Args:
            left: what the passes left.
            value_m: its values.
            sizes_v: candidates of each viewer.
            lottery: what may be drawn.
        """
        rows_m = left.assembly.rows
        author_m, group_m = rows_m.author_n, groups(left)

        def spread(at: int, size: int) -> Positions:
            m = left.spans[at]
            return diversify(
                value_m[m], author_m[m], group_m[m], size,
                self.diversity, left.personal_n[m], self.personal,
            )  # fmt: skip

        viewers, slots = range(len(left.spans)), self._slots
        if not slots:
            return [Slate(spread(at, self.size), None) for at in viewers]
        enough_v = sizes_v > self.size
        shown = [spread(at, self.size - slots if enough_v[at] else self.size) for at in viewers]
        certain = [
            pairs(rows_m.viewer_n[m][at], author_m[m][at])
            for m, at in zip(left.spans, shown, strict=True)
        ]
        drawn = lottery.settle(certain, self.exploration)
        return [
            Slate(
                spread(at, self.size) if enough_v[at] and drawn[at] is None else shown[at],
                drawn[at],
            )
            for at in viewers
        ]

    @property
    def _slots(self) -> int:
        return self.exploration.slots(self.size) if self.diversity.enabled else 0


def groups(left: Stage) -> NDArray[np.int64]:
    """What a grid is spread over: seeds, and where a media has none its topic."""
    rows = left.assembly.rows
    seed_m, topic_m = rows.candidates.seed_n, rows.world.catalog.topic_n[rows.media_n]
    return np.where(seed_m >= 0, seed_m, np.where(topic_m > 0, topic_m + _TOPIC_GROUP, -1))
