"""What every operator keeps to, whoever wrote it.

To hold your own to it, register it in the registry of :mod:`tests.igql_sources`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from models.arrays.types import UNKNOWN, Rows
from models.igql.execution import Execution
from models.igql.fetching import OVER_FETCH
from models.igql.registry import Kind, Operator, Parameter, SetType
from models.igql.sets import ColumnSet, concatenate
from models.igql.tree import Comparison, Name, Number
from models.rankers.prior import PriorRankers
from tests.igql_sources import REGISTRY
from tests.igql_worlds import NOW, random_viewers, random_world

WORLD = random_world(5, 120, 25, 10)
VIEWERS = random_viewers(WORLD, 11, 6)
SOURCES = tuple(op.name for op in REGISTRY)


def arguments_of(operator: Operator) -> Mapping[str, Any]:
    return {parameter.name: _value(parameter) for parameter in operator.parameters}


def _value(parameter: Parameter) -> Any:
    match parameter.kind:
        case Kind.COUNT:
            return parameter.default or 5
        case Kind.COLUMN:
            return "seed"
        case Kind.BINDINGS:
            return (("mine", "user_id"),)
        case Kind.PREDICATES:
            return Comparison(Name("nsfw"), "<", Number(0.1))
    return parameter.default


def execution(viewers: list[Any]) -> Execution:
    served: list[Rows] = [np.empty(0, np.int32)] * len(viewers)
    return Execution(WORLD, viewers, PriorRankers(), NOW, served, SOURCES)


def input_of(of: SetType, viewers: int, seed: int = 3) -> ColumnSet:
    """Rows of each viewer, the same for viewer i whoever else is there."""
    everyone = ColumnSet.viewers(viewers)
    if of is SetType.VIEWER:
        return everyone
    parts = []
    most = WORLD.catalog.media_count if of is SetType.MEDIA else WORLD.catalog.account_count
    for at in range(viewers):
        rng = np.random.default_rng(seed + at)
        rows = rng.permutation(most)[: 3 * at].astype(np.int32)
        if of is SetType.MEDIA:
            rows = rows[WORLD.catalog.author_n[rows] != UNKNOWN]
        seeds = rng.integers(-1, WORLD.catalog.account_count, len(rows)).astype(np.int32)
        scores = np.sort(rng.random(len(rows)))[::-1]
        at_n = np.full(len(rows), at)
        parts.append(everyone.derive(at_n, of, rows, seed_n=seeds, score_n=scores))
    return concatenate(parts)


def run(operator: Operator, rows: ColumnSet, viewers: list[Any], **other: Any) -> ColumnSet:
    given = {**arguments_of(operator), **other}
    found = operator.kernel(execution(viewers), rows, given)
    return rows.where(found) if operator.removes_only else found


def listed(rows: ColumnSet, viewer: int) -> list[tuple[Any, ...]]:
    mine = rows.take(rows.viewer_n == viewer)
    columns: list[Any] = [mine.row_n, mine.source_n, mine.seed_n, mine.score_n, mine.rank_n]
    columns += [bound.value_n for bound in mine.columns.values()]
    return list(zip(*(column.tolist() for column in columns), strict=True))


every = pytest.mark.parametrize(
    ("operator", "of"),
    [
        pytest.param(operator, of, id=f"{operator.name}-{of.value}")
        for operator in REGISTRY
        for of in (operator.takes, *operator.keeps)
    ],
)


@every
def test_of_nothing_comes_nothing(operator: Operator, of: SetType) -> None:
    assert len(run(operator, ColumnSet.empty(of), VIEWERS)) == 0


@every
def test_types_are_as_declared_and_rows_exist(operator: Operator, of: SetType) -> None:
    found = run(operator, input_of(of, len(VIEWERS)), VIEWERS)
    assert found.type is operator.given(of)
    sizes = {
        SetType.VIEWER: len(VIEWERS),
        SetType.ACCOUNTS: WORLD.catalog.account_count,
        SetType.MEDIA: WORLD.catalog.media_count,
    }
    assert ((found.row_n >= 0) & (found.row_n < sizes[found.type])).all()
    assert (np.diff(found.viewer_n) >= 0).all()
    assert np.isfinite(found.score_n).all()
    lengths = {
        len(column)
        for column in (
            found.viewer_n, found.row_n, found.source_n, found.seed_n, found.score_n,
            found.rank_n, *(bound.value_n for bound in found.columns.values()),
        )
    }  # fmt: skip
    assert lengths == {len(found)}
    assert found.score_n.dtype == np.float32
    assert found.row_n.dtype == found.seed_n.dtype == found.rank_n.dtype == np.int32


@every
def test_no_viewer_gets_anything_twice(operator: Operator, of: SetType) -> None:
    found = run(operator, input_of(of, len(VIEWERS)), VIEWERS)
    pairs = list(zip(found.viewer_n.tolist(), found.row_n.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))


@every
def test_many_viewers_are_each_viewer_alone(operator: Operator, of: SetType) -> None:
    everybody = input_of(of, len(VIEWERS))
    together = run(operator, everybody, VIEWERS)
    for at, viewer in enumerate(VIEWERS):
        mine = everybody.take(everybody.viewer_n == at)
        zeros_n = np.zeros_like(mine.viewer_n)
        row_n = zeros_n if of is SetType.VIEWER else mine.row_n
        alone = ColumnSet(of, zeros_n, row_n, mine.source_n, mine.seed_n, mine.score_n, mine.rank_n)
        mine_alone = listed(run(operator, alone, [viewer]), 0)
        if operator.given(of) is SetType.VIEWER:
            # Rows of viewers are their positions, which differ.
            assert [row[1:] for row in mine_alone] == [row[1:] for row in listed(together, at)]
        else:
            assert mine_alone == listed(together, at)


@every
def test_rows_stay_within_the_declared_cost(operator: Operator, of: SetType) -> None:
    rows = input_of(of, len(VIEWERS))
    found = run(operator, rows, VIEWERS)
    for at in range(len(VIEWERS)):
        given = int((rows.viewer_n == at).sum())
        cost = operator.cost(given, arguments_of(operator))
        assert (found.viewer_n == at).sum() <= cost.rows
        assert cost.microseconds > 0


@every
def test_the_same_again(operator: Operator, of: SetType) -> None:
    rows = input_of(of, len(VIEWERS))
    first, again = (run(operator, rows, VIEWERS) for _ in range(2))
    for at in range(len(VIEWERS)):
        assert listed(first, at) == listed(again, at)


limited = [operator for operator in REGISTRY if operator.limit or operator.depth]


@pytest.mark.parametrize("operator", limited, ids=lambda operator: str(operator.name))
def test_asked_for_more_the_same_comes_first(operator: Operator) -> None:
    rows, name = input_of(operator.takes, len(VIEWERS)), operator.limit or operator.depth
    few = run(operator, rows, VIEWERS, **{name: 4})
    more = run(operator, rows, VIEWERS, **{name: int(4 * OVER_FETCH) + 20})
    for at in range(len(VIEWERS)):
        less, all_of = few.row_n[few.viewer_n == at], more.row_n[more.viewer_n == at]
        if operator.limit:
            assert less.tolist() == all_of[: len(less)].tolist()
        else:
            assert set(less.tolist()) <= set(all_of.tolist())


removing = [operator for operator in REGISTRY if operator.removes_only]


@pytest.mark.parametrize("operator", removing, ids=lambda operator: str(operator.name))
def test_a_filter_judges_each_row_for_itself(operator: Operator) -> None:
    rows = input_of(SetType.MEDIA, len(VIEWERS))
    keep_n = operator.kernel(execution(VIEWERS), rows, arguments_of(operator))
    assert keep_n.dtype == np.bool_ and len(keep_n) == len(rows)
    half = rows.take(np.arange(0, len(rows), 2))
    again_n = operator.kernel(execution(VIEWERS), half, arguments_of(operator))
    np.testing.assert_array_equal(again_n, keep_n[::2])
