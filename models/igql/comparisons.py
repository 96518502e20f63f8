"""Predicates against the columns that they compare."""

from __future__ import annotations

from collections.abc import Callable

from models.igql.environment import Column
from models.igql.errors import IgqlError, IgqlNameError, IgqlTypeError, nearest
from models.igql.registry import ColumnType
from models.igql.tree import AllOf, AnyOf, Comparison, Flag, Not, Number, Predicate, Span, Text
from models.igql.wording import shown

#: (class, message, place) → one mistake more.
Report = Callable[[type[IgqlError], str, Span | None], None]
#: The column of a name; ``None`` where that was reported already or nothing can be said.
FindColumn = Callable[[str, Span | None], Column | None]


def check_predicate(predicate: Predicate, find: FindColumn, report: Report) -> None:
    """Report comparisons that make no sense for their column."""
    match predicate:
        case Comparison():
            column = find(predicate.left.value, predicate.left.span)
            if column is not None:
                _check_comparison(column, predicate, report)
        case Not():
            check_predicate(predicate.of, find, report)
        case AllOf() | AnyOf():
            for part in predicate.parts:
                check_predicate(part, find, report)


def _check_comparison(column: Column, comparison: Comparison, report: Report) -> None:
    name, right = column.name, comparison.right
    is_a = f"{name} is {column.type.value}"
    if column.type is ColumnType.NUMBER:
        if not isinstance(right, Number):
            message = f"{is_a}: compare it with a number, not {shown(right)}"
            if isinstance(right, Flag):
                message += f"; write {name} {comparison.sign} {int(right.value)}"
            report(IgqlTypeError, message, right.span)
    elif not isinstance(right, Text):
        example = f'{name} == "…"'
        message = f"{is_a}: compare it with a text, as in {example}, not with {shown(right)}"
        report(IgqlTypeError, message, right.span)
    elif comparison.sign not in ("==", "!="):
        message = f"{is_a}: it has no order, only == and != compare it"
        report(IgqlTypeError, message, comparison.span)
    elif column.values and right.value not in column.values:
        close = nearest(right.value, column.values)
        known = ", ".join(f'"{value}"' for value in column.values[:12])
        message = f"no {name} is called {shown(right)}"
        message += f'; did you mean "{close}"?' if close else f"; choose among {known}"
        report(IgqlNameError, message, right.span)
