"""Order and number: let, rank, take, diversify_by."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.packed_sort import Sorted
from models.igql.execution import Execution
from models.igql.library.registered import operators
from models.igql.predicates import assembly, column
from models.igql.registry import (
    Arguments,
    ColumnType,
    Cost,
    Kind,
    Parameter,
    SetType,
    choice,
    count,
    named,
    number,
)
from models.igql.sets import Bound, ColumnSet, best_first, places

#: Rankers by the name that a query gives: the first pass of the viewer's arm, or no model at all.
MODELS: Final = ("default", "source_score")
#: What rows may be grouped by; nearly every score is a group of its own.
_GROUPS: Final = (ColumnType.ID, ColumnType.TEXT)


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    parameters=(Parameter("bindings", Kind.BINDINGS, required=True),),
    cost=lambda rows, _: Cost(rows, 5.0),
    keeps=(SetType.VIEWER, SetType.ACCOUNTS),
)
def let(execution: Execution, rows: ColumnSet, arguments: Arguments) -> ColumnSet:
    """The same rows with columns bound to new names, which then ride along."""
    bound = dict(rows.columns)
    for name, of in arguments["bindings"]:
        means = rows.columns[of].means if of in rows.columns else of
        if rows.type is SetType.VIEWER and of == "user_id":
            means = "viewer"
        bound[name] = Bound(means, column(execution, rows, of))
    return replace(rows, columns=bound)


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    parameters=(count("count"),),
    cost=lambda rows, arguments: Cost(min(rows, arguments["count"]), 5.0),
    keeps=(SetType.ACCOUNTS,),
)
def take(execution: Execution, rows: ColumnSet, arguments: Arguments) -> ColumnSet:
    """The first ``count`` rows of each viewer."""
    return rows.first(arguments["count"], len(execution.viewers))


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    parameters=(named("ranking_model", "model"),),
    cost=lambda rows, _: Cost(rows, 400.0 + 1.5 * rows),
)
def rank(execution: Execution, media: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Media by score, highest first: of the first ranking pass, or their sources' own."""
    if arguments["ranking_model"] == "default" and len(media):
        first = execution.rankers.first
        features = assembly(execution, media).matrix(first.columns, sparse=False)
        score_n = first.score(features).astype(np.float32)
        np.nan_to_num(score_n, copy=False, nan=-1e30, posinf=1e30, neginf=-1e30)
        media = media.scored(score_n)
    return media.take(best_first(media.viewer_n, media.score_n)) if len(media) else media


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    parameters=(
        Parameter("column", Kind.COLUMN, required=True, column_types=_GROUPS),
        choice("method", ("round_robin", "penalty", "mmr"), default="round_robin"),
        number("strength", default=0.5, low=0.0, high=1.0),
    ),
    cost=lambda rows, arguments: Cost(
        rows, 40.0 + (20.0 if arguments["method"] == "mmr" else 0.1) * rows
    ),
)
def diversify_by(execution: Execution, media: ColumnSet, arguments: Arguments) -> ColumnSet:
    """The same media in an order that spreads the values of a column.

    ``round_robin``: the first of every value, then the second of every value, and so on, values
    in the order of their first media. ``penalty``: every earlier media of the same value puts one
    back by ``strength`` tenths of the number of media. ``mmr``: one after the other the media
    with the highest (1 − strength) · relevance − strength · likeness to those before it, where
    relevance falls evenly with the order, and likeness is 1 for equal values and the cosine of
    the authors otherwise (maximal marginal relevance, Carbonell and Goldstein, SIGIR 1998).
    """
    if len(media) < 2:
        return media
    value_n = column(execution, media, arguments["column"])
    if value_n.dtype.kind == "f":
        value_n = np.unique(value_n, return_inverse=True)[1]
    if arguments["method"] == "mmr":
        return media.take(_marginal(execution, media, value_n, arguments["strength"]))
    # Rows with the same value stand together here, and viewers still follow each other.
    by_value = Sorted(media.viewer_n, value_n + 1)
    order_n, place_n = by_value.order_n, np.arange(len(media))
    start_n = np.maximum.accumulate(np.where(by_value.begins(2), place_n, 0))
    turn_n = place_n - start_n
    if arguments["method"] == "round_robin":
        again = Sorted(media.viewer_n, turn_n, order_n.take(start_n))
    else:
        at_n = places(media.viewer_n).take(order_n)
        size_v = np.bincount(media.viewer_n)
        back_n = 0.1 * arguments["strength"] * size_v[media.viewer_n]
        # Positions are apart by 1, so whole steps of a thousandth keep their order.
        step_n = np.rint(1000.0 * (at_n + back_n * turn_n)).astype(np.int64)
        again = Sorted(media.viewer_n, step_n, order_n)
    return media.take(order_n.take(again.order_n))


def _marginal(
    execution: Execution, media: ColumnSet, value_n: NDArray[np.integer], strength: float
) -> NDArray[np.int64]:
    order: list[NDArray[np.int64]] = []
    for _, span in execution.each(media):
        rows = media.row_n[span]
        vectors_nd, _ = execution.world.vectors_of(execution.world.catalog.author_n[rows])
        n, values = len(rows), value_n[span]
        relevance_n = (1.0 - strength) * (1.0 - np.arange(n) / n)
        likeness_n = np.zeros(n)
        left_n = relevance_n.copy()
        picked = np.empty(n, np.int64)
        for step in range(n):
            best = int(np.argmax(left_n))
            picked[step] = best
            alike_n = np.where(values == values[best], 1.0, vectors_nd @ vectors_nd[best])
            np.maximum(likeness_n, alike_n, out=likeness_n)
            relevance_n[best] = -np.inf
            left_n = relevance_n - strength * likeness_n
        order.append(picked + span.start)
    return np.concatenate(order)
