"""What flows between operators: viewers, accounts or media of many viewers at once, as columns.

Rows are ordered by viewer and, within a viewer, best first. Whatever an operator does, it does to
each viewer's rows alone, so a batch gives what its viewers would give one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays.packed_sort import Sorted, falling
from models.arrays.types import NO_ROWS, UNKNOWN, Mask, Positions, Rows
from models.igql.registry import SetType


class Bound(NamedTuple):
    """A column that ``let`` bound.

    Attributes:
        means: what its values are: the name of a column, or "viewer".
    """

    means: str
    value_n: NDArray[Any]


Columns = Mapping[str, Bound]
_NO_COLUMNS: Final[Columns] = {}


@dataclass(frozen=True, slots=True)
class ColumnSet:
    """A set of one type, with its provenance.

    Attributes:
        type: what `row_n` are rows of.
        viewer_n: position of the viewer in the batch, ascending.
        row_n: account rows or media rows; of viewers their position again.
        source_n: which source brought the row in, a code of the plan.
        seed_n: account row of the seed, −1 for none.
        score_n: the source's own score, comparable within one source only, or a ranker's.
        rank_n: position at the source, from 0.
        columns: bound by ``let``.
    """

    type: SetType
    viewer_n: NDArray[np.int32]
    row_n: Rows
    source_n: NDArray[np.int16]
    seed_n: Rows
    score_n: NDArray[np.float32]
    rank_n: NDArray[np.int32]
    columns: Columns = field(default_factory=lambda: _NO_COLUMNS)

    def __len__(self) -> int:
        return len(self.row_n)

    @classmethod
    def viewers(cls, count: int) -> ColumnSet:
        """The viewers of a batch."""
        viewer_n = np.arange(count, dtype=np.int32)
        none_n = np.full(count, UNKNOWN, np.int32)
        zero_n = np.zeros(count, np.int32)
        return cls(
            SetType.VIEWER, viewer_n, viewer_n, zero_n.astype(np.int16), none_n,
            zero_n.astype(np.float32), zero_n,
        )  # fmt: skip

    @classmethod
    def empty(cls, of: SetType) -> ColumnSet:
        """A set of the type `of` without rows."""
        return _EMPTY[of]

    def take(self, rows: Positions | Mask) -> ColumnSet:
        """These rows, or those where a mask is true."""
        if rows.dtype == np.bool_:
            rows = rows.nonzero()[0]
        return ColumnSet(
            self.type,
            self.viewer_n.take(rows),
            self.row_n.take(rows),
            self.source_n.take(rows),
            self.seed_n.take(rows),
            self.score_n.take(rows),
            self.rank_n.take(rows),
            _at(self.columns, rows),
        )

    def where(self, keep_n: Mask) -> ColumnSet:
        """The rows where `keep_n` is true."""
        return self if keep_n.all() else self.take(keep_n)

    def kept(self, keep_n: Mask, most: int | None, viewers: int) -> ColumnSet:
        """The rows where `keep_n` is true, of each viewer the first `most` of them."""
        rows = keep_n.nonzero()[0]
        if most is not None:
            if viewers == 1:
                rows = rows[:most]
            else:
                rows = rows.take(first_of_runs(rows.searchsorted(self.bounds(viewers)), most))
        return self if len(rows) == len(self) else self.take(rows)

    def scored(self, score_n: NDArray[np.float32]) -> ColumnSet:
        """The same rows with other scores."""
        return replace(self, score_n=score_n)

    def ranked(self) -> ColumnSet:
        """The same rows, ranked in their present order."""
        return ColumnSet(
            self.type, self.viewer_n, self.row_n, self.source_n, self.seed_n, self.score_n,
            places(self.viewer_n), self.columns,
        )  # fmt: skip

    def from_source(self, code: int) -> ColumnSet:
        """The same rows, all brought in by one source."""
        source_n = np.full(len(self), code, np.int16)
        return ColumnSet(
            self.type, self.viewer_n, self.row_n, source_n, self.seed_n, self.score_n,
            self.rank_n, self.columns,
        )  # fmt: skip

    def derive(
        self,
        at_n: Positions,
        to: SetType,
        row_n: Rows,
        *,
        seed_n: Rows | None = None,
        score_n: NDArray[np.floating] | None = None,
    ) -> ColumnSet:
        """New rows, each from a row of this set whose viewer, source and bound columns it takes.

        Args:
            at_n: position of the row that each new one comes from; their viewers must ascend.
            row_n: rows of the new set.
            seed_n, score_n: those of the row it comes from where left out.
        """
        viewer_n = self.viewer_n.take(at_n)
        return ColumnSet(
            to,
            viewer_n,
            row_n,
            self.source_n.take(at_n),
            self.seed_n.take(at_n) if seed_n is None else seed_n,
            self.score_n.take(at_n) if score_n is None else score_n.astype(np.float32, copy=False),
            places(viewer_n),
            _at(self.columns, at_n),
        )

    def to_each(
        self, to: SetType, row_k: Rows, score_k: NDArray[np.floating] | None = None
    ) -> ColumnSet:
        """The same rows for each row of this set, without a seed: what a global source gives."""
        n, k = len(self), len(row_k)
        rank_k = np.arange(k, dtype=np.int32)
        score_k = np.zeros(k, np.float32) if score_k is None else score_k.astype(np.float32)
        row_k = row_k.astype(np.int32, copy=False)
        return ColumnSet(
            to,
            self.viewer_n.repeat(k),
            row_k if n == 1 else np.tile(row_k, n),
            np.zeros(n * k, np.int16),
            np.full(n * k, UNKNOWN, np.int32),
            score_k if n == 1 else np.tile(score_k, n),
            rank_k if n == 1 else np.tile(rank_k, n),
            _at(self.columns, np.repeat(np.arange(n), k)) if self.columns else _NO_COLUMNS,
        )

    def bounds(self, viewers: int) -> NDArray[np.int64]:
        """Where each viewer's rows begin, and at the end their number; (viewers + 1)."""
        if viewers == 1:
            return np.array([0, len(self)])
        return self.viewer_n.searchsorted(np.arange(viewers + 1))

    def first(self, most: int, viewers: int) -> ColumnSet:
        """The first `most` rows of each viewer."""
        if viewers == 1:
            return self if len(self) <= most else self.take(np.arange(most))
        begin_v = self.bounds(viewers)
        few = np.diff(begin_v).max(initial=0) <= most
        return self if few else self.take(first_of_runs(begin_v, most))


_EMPTY: Final = {
    of: ColumnSet(
        of, NO_ROWS, NO_ROWS, np.empty(0, np.int16), NO_ROWS, np.empty(0, np.float32), NO_ROWS
    )
    for of in SetType
}


def concatenate(parts: Sequence[ColumnSet]) -> ColumnSet:
    """All rows of all parts (one type), ordered by viewer and then by part."""
    rows = joined(parts)
    order_n = by_viewer(rows.viewer_n)
    return rows if order_n is None else rows.take(order_n)


def joined(parts: Sequence[ColumnSet]) -> ColumnSet:
    """The rows of one part behind those of the other, in no order of viewers.

    A column bound in some parts only is missing, as −1, in the others' rows.
    """
    if len(parts) == 1:
        return parts[0]
    return ColumnSet(
        parts[0].type,
        np.concatenate([part.viewer_n for part in parts]),
        np.concatenate([part.row_n for part in parts]),
        np.concatenate([part.source_n for part in parts]),
        np.concatenate([part.seed_n for part in parts]),
        np.concatenate([part.score_n for part in parts]),
        np.concatenate([part.rank_n for part in parts]),
        _joined(parts),
    )


def _at(columns: Columns, rows: Positions | Mask) -> Columns:
    if not columns:
        return _NO_COLUMNS
    return {name: Bound(means, value_n[rows]) for name, (means, value_n) in columns.items()}


def _joined(parts: Sequence[ColumnSet]) -> Columns:
    means = {name: bound.means for part in parts for name, bound in part.columns.items()}
    return {
        name: Bound(
            of,
            np.concatenate(
                [
                    part.columns[name].value_n
                    if name in part.columns
                    else np.full(len(part), UNKNOWN, np.int64)
                    for part in parts
                ]
            ),
        )
        for name, of in means.items()
    }


def by_viewer(viewer_n: NDArray[np.int32]) -> Positions | None:
    """The order that sorts rows by viewer and leaves the rest, None where they are sorted."""
    if len(viewer_n) < 2 or (viewer_n[1:] >= viewer_n[:-1]).all():
        return None
    # Small integers are sorted by counting.
    return np.argsort(viewer_n.astype(np.uint16), kind="stable")


def places(viewer_n: NDArray[np.int32]) -> NDArray[np.int32]:
    """Position of each row among its viewer's, from 0; viewers ascend."""
    at_n = np.arange(len(viewer_n), dtype=np.int32)
    if not len(at_n) or viewer_n[0] == viewer_n[-1]:
        return at_n
    begin_v = viewer_n.searchsorted(np.arange(viewer_n[-1] + 1)).astype(np.int32)
    at_n -= begin_v.take(viewer_n)
    return at_n


def best_first(viewer_n: NDArray[np.int32], score_n: NDArray[np.float32]) -> Positions:
    """The order by viewer and then by score, highest first; equal scores stay as they stand."""
    return Sorted(viewer_n, falling(score_n)).order_n


def first_of_each(
    viewer_n: NDArray[np.int32], row_n: Rows, later_n: Mask | None = None
) -> Positions:
    """Positions, ascending, of the rows of a viewer that are the first with their value.

    Args:
        later_n: rows that are the first only where no other is.
    """
    by_row = Sorted(viewer_n, row_n) if later_n is None else Sorted(viewer_n, row_n, later_n)
    again_n = np.zeros(len(row_n), np.bool_)
    again_n[by_row.order_n.take((~by_row.begins(2)).nonzero()[0])] = True
    first_n: Positions = (~again_n).nonzero()[0]
    return first_n


def first_of_runs(begin_r: NDArray[np.int64], most: int) -> Positions:
    """Positions of the first `most` of each run; `begin_r` ends with the end of the last."""
    size_r = np.minimum(begin_r[1:] - begin_r[:-1], most)
    end_r = size_r.cumsum()
    offset_r = begin_r[:-1] - end_r + size_r
    rows: Positions = np.arange(end_r[-1]) + offset_r.repeat(size_r)
    return rows


def best_of_each(
    viewer_n: NDArray[np.int32],
    row_n: Rows,
    score_n: NDArray[np.float32],
    most: int,
    viewers: int,
) -> Positions:
    """Of each viewer the `most` best rows, the highest score first, each where it is best."""
    order_n = best_first(viewer_n, score_n)
    # Viewers ascend, so theirs are the same places as before.
    first_n = first_of_each(viewer_n, row_n.take(order_n))
    if viewers == 1:
        return order_n.take(first_n[:most])
    begin_v = first_n.searchsorted(viewer_n.searchsorted(np.arange(viewers + 1)))
    return order_n.take(first_n.take(first_of_runs(begin_v, most)))
