"""Fetching through filters: more than asked for, and again where too few are left.

A source with a limit gives a viewer the first so many media of its list that may stay, however
far down they stand. Of posts (`depth`) each author gives the newest so many that may stay among a
quarter more than that; while a viewer then has fewer media than asked for in the end, twice as
many are looked at, and so on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Mask, Rows
from models.igql.execution import Execution
from models.igql.planner import Filter, OperatorNode
from models.igql.registry import Arguments
from models.igql.sets import ColumnSet, concatenate

#: What is fetched beyond the number wanted, where filters follow.
OVER_FETCH: Final = 1.25
#: Each further fetch asks for so many times as much,
WIDEN: Final = 4
#: or looks so many times as deep.
DEEPEN: Final = 2
#: No further fetch asks for more than this of one viewer.
MOST: Final = 1_000_000

Kernel = Callable[[ColumnSet, Arguments], ColumnSet]


class Fetched(NamedTuple):
    """Rows that may stay, what each filter took out, and how many rows came."""

    rows: ColumnSet
    dropped: dict[str, int]
    came: int


def sift(
    execution: Execution, rows: ColumnSet, filters: Sequence[Filter]
) -> tuple[Mask, dict[str, int]]:
    """Which rows all filters let through, and how many each one took out that were still in.

    A filter that raises lets nothing through: what it keeps out must not be shown.
    """
    keep_n = np.ones(len(rows), np.bool_)
    dropped: dict[str, int] = {}
    before = len(rows)
    for one in filters:
        if not before:
            break
        name = one.operator.name
        try:
            keep_n &= one.operator.kernel(execution, rows, one.arguments)
        except Exception as error:  # Whatever user code raises.
            execution.fail(name, error)
            keep_n[:] = False
        after = int(np.count_nonzero(keep_n))
        if after < before:
            dropped[name] = dropped.get(name, 0) + before - after
        before = after
    return keep_n, dropped


def fetch(
    execution: Execution,
    step: OperatorNode,
    rows: ColumnSet,
    kernel: Kernel,
    may_go_on: Callable[[], bool],
) -> Fetched:
    """Run a step's kernel and filters until there is enough or nothing more.

    Args:
        rows: the step's input, some.
        kernel: of the step.
        may_go_on: whether there is time for a further fetch.
    """
    if step.operator.limit:
        return _limited(execution, step, rows, kernel, may_go_on)
    if step.operator.depth:
        return _deep(execution, step, rows, kernel, may_go_on)
    found = kernel(rows, step.arguments)
    if not step.filters and step.cut is None:
        return Fetched(found, {}, len(found))
    keep_n, dropped = sift(execution, found, step.filters)
    kept = found.kept(keep_n, step.cut, len(execution.viewers))
    return Fetched(kept, dropped, len(found))


def _limited(
    execution: Execution,
    step: OperatorNode,
    rows: ColumnSet,
    kernel: Kernel,
    may_go_on: Callable[[], bool],
) -> Fetched:
    name = step.operator.limit
    wanted = int(step.arguments[name])
    if step.cut is not None:
        wanted = min(wanted, step.cut)
    asked = wanted
    if step.filters:
        known = max(
            len(viewer.seen) + len(served)
            for viewer, served in zip(execution.viewers, execution.served, strict=True)
        )
        asked = int(OVER_FETCH * wanted) + known
    viewers = len(execution.viewers)
    gathered = _Gathered(execution, step.filters, wanted)
    while True:
        found = kernel(rows, {**step.arguments, name: asked})
        keep_n, dropped = sift(execution, found, step.filters)
        again_v = None
        if len(found) >= asked and asked < MOST:
            begin_v = found.bounds(viewers)
            kept_v = keep_n.nonzero()[0].searchsorted(begin_v)
            short_v = kept_v[1:] - kept_v[:-1] < wanted
            short_v &= begin_v[1:] - begin_v[:-1] >= asked
            again_v = short_v if short_v.any() and may_go_on() else None
        gathered.add(found, keep_n, dropped, again_v)
        if again_v is None:
            return gathered.fetched()
        rows = rows.take(again_v.take(rows.viewer_n))
        asked *= WIDEN


def _deep(
    execution: Execution,
    step: OperatorNode,
    rows: ColumnSet,
    kernel: Kernel,
    may_go_on: Callable[[], bool],
) -> Fetched:
    name = step.operator.depth
    each = depth = int(step.arguments[name])
    if step.filters:
        depth = math.ceil(OVER_FETCH * each)
    gathered = _Gathered(execution, step.filters, step.cut)
    while True:
        found = kernel(rows, {**step.arguments, name: depth})
        keep_n, dropped = sift(execution, found, step.filters)
        again_v = None
        if depth > each:
            posts = _Posts.of(found, execution.authors(found), keep_n)
            if step.asked is not None and dropped and depth < MOST:
                short_v = posts.short(each, depth, step.asked, len(execution.viewers))
                again_v = short_v if short_v.any() and may_go_on() else None
            keep_n &= posts.turn_n <= each
        gathered.add(found, keep_n, dropped, again_v)
        if again_v is None:
            return gathered.fetched()
        rows = rows.take(again_v.take(rows.viewer_n))
        depth *= DEEPEN


class _Gathered:
    """What the fetches of a step have brought so far.

    Args:
        most: rows of a viewer that are kept, None for all.
    """

    def __init__(self, execution: Execution, filters: Sequence[Filter], most: int | None) -> None:
        self._execution = execution
        self._filters = filters
        self._most = most
        self._parts: list[ColumnSet] = []
        self._dropped: Counter[str] = Counter()
        self._came = 0

    def add(
        self, found: ColumnSet, keep_n: Mask, dropped: dict[str, int], again_v: Mask | None
    ) -> None:
        """Add the rows that may stay; of viewers who fetch again, the further fetch brings all."""
        self._came += len(found)
        if again_v is not None:
            again_n = again_v.take(found.viewer_n)
            again = found.take(again_n)
            _, later = sift(self._execution, again, self._filters)
            dropped = {
                name: count - later.get(name, 0)
                for name, count in dropped.items()
                if count > later.get(name, 0)
            }
            keep_n &= ~again_n
            self._came -= len(again)
        self._parts.append(found.kept(keep_n, self._most, len(self._execution.viewers)))
        self._dropped.update(dropped)

    def fetched(self) -> Fetched:
        """All of it."""
        return Fetched(concatenate(self._parts), dict(self._dropped), self._came)


class _Posts(NamedTuple):
    """Posts, those of one author together, and how many of each may stay.

    Attributes:
        viewer_r: whose each author's posts are.
        found_r, kept_r: how many came of each author, and how many of these may stay.
        turn_n: how many of its author's posts up to this one may stay.
    """

    viewer_r: NDArray[np.int32]
    found_r: NDArray[np.int64]
    kept_r: NDArray[np.int64]
    turn_n: NDArray[np.int64]

    @classmethod
    def of(cls, media: ColumnSet, author_n: Rows, keep_n: Mask) -> _Posts:
        # Where an author's posts begin; the end is a beginning too.
        begin_n = np.ones(len(media) + 1, np.bool_)
        np.not_equal(author_n[1:], author_n[:-1], out=begin_n[1:-1])
        begin_n[1:-1] |= media.viewer_n[1:] != media.viewer_n[:-1]
        bound_r = begin_n.nonzero()[0]
        found_r = bound_r[1:] - bound_r[:-1]
        # How many may stay before each row, and at the end.
        before_n = np.zeros(len(media) + 1, np.int64)
        keep_n.cumsum(out=before_n[1:])
        before_r = before_n.take(bound_r)
        return cls(
            media.viewer_n.take(bound_r[:-1]),
            found_r,
            before_r[1:] - before_r[:-1],
            before_n[1:] - before_r[:-1].repeat(found_r),
        )

    def short(self, each: int, depth: int, asked: int, viewers: int) -> Mask:
        """Viewers with fewer media than asked for, and with an author who may have more to give."""
        kept_v = np.bincount(self.viewer_r, np.minimum(self.kept_r, each), viewers)
        more_r = (self.found_r == depth) & (self.kept_r < each)
        more_v = np.bincount(self.viewer_r, more_r, viewers) > 0
        short_v: Mask = (kept_v < asked) & more_v
        return short_v
