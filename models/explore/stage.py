"""Candidates of a batch of viewers on their way through the passes: scored, in order, cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.packed_sort import falling
from models.arrays.types import NO_POSITIONS, Mask, Positions, Rows
from models.arrays.viewer_pairs import spans_of
from models.explore.valuation import see_fewer_likelihood
from models.features.assembly import Assembly
from models.rankers.protocol import Pass

Scores = NDArray[np.floating]

#: Larger than any score that means something, and still a float32.
_LARGE: Final = 1e30


@dataclass(frozen=True, slots=True)
class Stage:
    """What is left of all viewers' candidates, one viewer's after the other's.

    Attributes:
        assembly: their features.
        rows_n: their positions among all candidates of the batch.
        from_n: their positions in the stage before this one.
        spans: where each viewer's are, but for
        tickets: where those of each viewer are that no pass cuts, behind the others: media that may
            be drawn (:mod:`models.explore.lottery`).
        behind_n: whether one comes after all others of its viewer, for a see-fewer on its author.
        personal_n: whether one was found through the viewer's own accounts.
    """

    assembly: Assembly
    rows_n: Positions
    from_n: Positions
    spans: list[slice]
    tickets: list[slice]
    behind_n: Mask
    personal_n: Mask

    @classmethod
    def of(cls, assembly: Assembly, sizes_v: NDArray[np.integer], demote_from: float) -> Stage:
        """All candidates, `sizes_v` of each viewer.

        Args:
            demote_from: likelihood of a further see-fewer from which on a media comes behind.
        """
        likelihood_n = see_fewer_likelihood(assembly)
        rows_n = np.arange(len(assembly))
        spans = spans_of(sizes_v.tolist())
        return cls(
            assembly=assembly,
            rows_n=rows_n,
            from_n=rows_n,
            spans=spans,
            tickets=[slice(span.stop, span.stop) for span in spans],
            behind_n=likelihood_n >= demote_from,
            personal_n=(assembly.rows.candidates.seed_n >= 0) & (likelihood_n < demote_from / 2),
        )

    def take(self, kept: Sequence[Positions], tickets: Sequence[Positions]) -> Stage:
        """What is left when each viewer's rows at these positions are kept, in this order.

        Args:
            tickets: positions among all rows of each viewer's tickets; see :attr:`tickets`.
        """
        parts = [NO_POSITIONS]
        for at, span, beside in zip(kept, self.spans, tickets, strict=True):
            parts += (at + span.start, beside)
        spans = spans_of(map(len, parts[1:]))
        rows = np.concatenate(parts)
        return Stage(
            assembly=self.assembly.take(rows),
            rows_n=self.rows_n[rows],
            from_n=rows,
            spans=spans[::2],
            tickets=spans[1::2],
            behind_n=self.behind_n[rows],
            personal_n=self.personal_n[rows],
        )

    def go_on(self, kept: Sequence[Positions]) -> Stage:
        """What is left when these are kept, and all tickets."""
        return self.take(kept, [np.arange(span.start, span.stop) for span in self.tickets])

    def score(self, one: Pass) -> Scores:
        """What a pass gives each row, always finite."""
        return finite(one.score(self.assembly.matrix(one.columns, sparse=False)))

    def rank(self, one: Pass, keep: int, share: float) -> Cut:
        """Score all rows at once, then put each viewer's in order and cut them.

        Args:
            keep: media kept of each viewer.
            share: of them that are personal at least, where there are any.
        """
        score_n = self.score(one)
        key_n = _keys(score_n, self.assembly.rows.media_n, self.behind_n)
        orders = [key_n[span].argsort() for span in self.spans]
        kept = [
            cut(order, keep, self.personal_n[span], share)
            for order, span in zip(orders, self.spans, strict=True)
        ]
        return Cut(score_n, orders, kept)


@dataclass(frozen=True, slots=True)
class Cut:
    """What a pass did with a stage.

    Attributes:
        score_n: of all rows.
        orders: of each viewer the positions within its rows, from the best to the worst.
        kept: of each viewer those that go on, in that order.
    """

    score_n: Scores
    orders: list[Positions]
    kept: list[Positions]


def finite(score_n: Scores) -> Scores:
    """The scores with NaN and infinities replaced: a pass that diverged must not take the grid."""
    if np.isfinite(score_n).all():
        return score_n
    found_n: Scores = np.nan_to_num(score_n, nan=-_LARGE, posinf=_LARGE, neginf=-_LARGE)
    return found_n


def top(score_n: Scores, media_n: Rows, behind_n: Mask) -> Positions:
    """Positions from the highest score to the lowest; the order of the input decides nothing.

    Args:
        score_n: without NaN.
        media_n: breaks ties.
        behind_n: rows that come after all others, whatever their score.
    """
    return np.argsort(_keys(score_n, media_n, behind_n))


def _keys(score_n: Scores, media_n: Rows, behind_n: Mask) -> NDArray[np.uint64]:
    """One whole number a row to sort by: behind, then the score from its highest, then media."""
    key_n = behind_n.astype(np.uint64) << np.uint64(63)
    key_n |= falling(score_n.astype(np.float32, copy=False)).astype(np.uint64) << np.uint64(31)
    key_n |= media_n.astype(np.uint64)
    return key_n


def cut(ranked: Positions, k: int, personal_n: Mask, share: float) -> Positions:
    """The first k of `ranked`, except that at least `share` of k are personal where there are any.

    The best personal ones take the places of the last others; the order stays.
    """
    if len(ranked) <= k:
        return ranked
    personal_r, owed = personal_n[ranked], int(share * k)
    if np.count_nonzero(personal_r[:k]) >= owed:
        return ranked[:k]
    kept_r = np.zeros(len(ranked), np.bool_)
    kept_r[personal_r.nonzero()[0][:owed]] = True
    others = (~kept_r).nonzero()[0]
    kept_r[others[: k - np.count_nonzero(kept_r)]] = True
    return ranked[kept_r]
