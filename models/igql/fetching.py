"""Fetching through filters: more than asked for, and again where too few are left.

A source with a limit gives a viewer the first so many media of its list that may stay, however
far down they stand. Of posts (`depth`) each author gives the newest so many that may stay: as many
as that are looked at, and four times as many, and so on, while a viewer has fewer media than asked
for in the end, more authors' posts are found, and filters are what took them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from models.igql.execution import Execution
from models.igql.planner import Filter, Step
from models.igql.registry import Arguments
from models.igql.sets import ColumnSet, Mask, concatenate, turns

#: What is fetched beyond the number wanted, where filters follow.
OVER_FETCH: Final = 1.25
#: Each further fetch asks for so many times as much.
WIDEN: Final = 4
#: No further fetch asks for more than this of one viewer.
MOST: Final = 1_000_000

Kernel = Callable[[ColumnSet, Arguments], ColumnSet]


class Fetched(NamedTuple):
    """Rows that may stay, what each filter took out, and how many rows came."""

    rows: ColumnSet
    dropped: Counter[str]
    count: int


def sift(execution: Execution, rows: ColumnSet, filters: Sequence[Filter]) -> tuple[Mask, Counter[str]]:
    """Which rows all filters let through, and how many each one took out that were still in.

    A filter that raises lets nothing through: what it keeps out must not be shown.
    """
    keep_n = np.ones(len(rows), np.bool_)
    dropped: Counter[str] = Counter()
    for one in filters:
        before = int(np.count_nonzero(keep_n))
        if not before:
            break
        try:
            keep_n &= one.operator.kernel(execution, rows, one.arguments)
        except Exception as error:  # Whatever user code raises.
            execution.note(f"{one.operator.name} failed and let nothing through: {error!r}")
            keep_n[:] = False
        gone = before - int(np.count_nonzero(keep_n))
        if gone:
            dropped[one.operator.name] += gone
    return keep_n, dropped


def fetch(
    execution: Execution, step: Step, rows: ColumnSet, kernel: Kernel, may_go_on: Callable[[], bool]
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
    keep_n, dropped = sift(execution, found, step.filters)
    kept = found.where(keep_n)
    if step.cut is not None:
        kept = kept.first(step.cut, len(execution.viewers))
    return Fetched(kept, dropped, len(found))


def _limited(
    execution: Execution, step: Step, rows: ColumnSet, kernel: Kernel, may_go_on: Callable[[], bool]
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
    parts: list[ColumnSet] = []
    dropped: Counter[str] = Counter()
    count = 0
    while True:
        found = kernel(rows, {**step.arguments, name: asked})
        keep_n, taken_out = sift(execution, found, step.filters)
        kept = found.where(keep_n)
        kept_v = np.bincount(kept.viewer_n, minlength=viewers)
        short_v = (kept_v < wanted) & (np.bincount(found.viewer_n, minlength=viewers) >= asked)
        again = bool(short_v.any()) and asked < MOST and may_go_on()
        if not again:
            short_v[:] = False
        if again:
            # What those who fetch again lost is counted by the further fetch.
            done_n = ~short_v[found.viewer_n]
            _, taken_out = sift(execution, found.where(done_n), step.filters)
            kept = kept.where(~short_v[kept.viewer_n])
            found = found.where(done_n)
        parts.append(kept.first(wanted, viewers))
        dropped += taken_out
        count += len(found)
        if not again:
            return Fetched(concatenate(parts), dropped, count)
        rows = rows.where(short_v[rows.viewer_n])
        asked *= WIDEN


def _deep(
    execution: Execution, step: Step, rows: ColumnSet, kernel: Kernel, may_go_on: Callable[[], bool]
) -> Fetched:
    name = step.operator.depth
    each = depth = int(step.arguments[name])
    viewers = len(execution.viewers)
    before_v = np.zeros(viewers, np.int64)
    parts: list[ColumnSet] = []
    dropped: Counter[str] = Counter()
    count = 0
    while True:
        found = kernel(rows, {**step.arguments, name: depth})
        keep_n, taken_out = sift(execution, found, step.filters)
        kept = found.where(keep_n)
        if depth > each:
            kept = kept.where(_newest_of_author(execution, kept, each))
        found_v = np.bincount(found.viewer_n, minlength=viewers)
        kept_v = np.bincount(kept.viewer_n, minlength=viewers)
        short_v = (kept_v < (step.asked or 0)) & (found_v > before_v) & (found_v > kept_v)
        again = bool(short_v.any()) and depth < MOST and may_go_on()
        if again:
            done_n = ~short_v[found.viewer_n]
            _, taken_out = sift(execution, found.where(done_n), step.filters)
            kept = kept.where(~short_v[kept.viewer_n])
            found = found.where(done_n)
        parts.append(kept if step.cut is None else kept.first(step.cut, viewers))
        dropped += taken_out
        count += len(found)
        if not again:
            return Fetched(concatenate(parts), dropped, count)
        before_v = found_v
        rows = rows.where(short_v[rows.viewer_n])
        depth *= WIDEN


def _newest_of_author(execution: Execution, media: ColumnSet, each: int) -> Mask:
    """The first `each` media of each author; posts of one author stand together."""
    author_n = execution.authors(media).astype(np.int64)
    result: Mask = turns((media.viewer_n.astype(np.int64) << 32) | author_n) < each
    return result
