"""Predicates that nothing can pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from models.igql.environment import Column
from models.igql.formatter import format_predicate
from models.igql.tree import (
    AllOf,
    AnyOf,
    Comparison,
    ComparisonSign,
    Not,
    Number,
    Predicate,
    Span,
)

_HOLDS: Final = {"<": lt, "<=": le, ">": gt, ">=": ge, "==": eq, "!=": ne}
_OPPOSITE: Final[dict[ComparisonSign, ComparisonSign]] = {
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
    "==": "!=",
    "!=": "==",
}


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Why nothing passes, and the place to show."""

    reason: str
    span: Span | None


@dataclass(frozen=True, slots=True)
class Known:
    """What holds of one column: the tightest bounds, the value, the values it has not."""

    lower: Comparison | None = None
    upper: Comparison | None = None
    equal: Comparison | None = None
    excluded: Mapping[Any, Comparison] | None = None


Knowledge = dict[str, Known]


def contradiction(
    predicates: Iterable[Predicate], columns: Mapping[str, Column], known: Knowledge
) -> Contradiction | None:
    """Why no row passes all `predicates`, ``None`` if one may.

    Alternatives (``or``) are tried one by one against what must hold anyway, not in every
    combination: what is reported is certain, but not all that is impossible is found.

    Args:
        known: what earlier filters of the chain let through; added to.
    """
    alternatives: list[AnyOf] = []
    for part in _conjunction(predicates):
        if isinstance(part, AnyOf):
            alternatives.append(part)
            continue
        found = _outside(part, columns) or _add(part, known)
        if found is not None:
            return found
    for any_of in alternatives:
        reasons = [contradiction([part], columns, dict(known)) for part in any_of.parts]
        if all(reason is not None for reason in reasons):
            text = format_predicate(any_of)
            return Contradiction(f"nothing passes any side of {text}", any_of.span)
    return None


def _conjunction(predicates: Iterable[Predicate]) -> Iterable[Comparison | AnyOf]:
    """Everything that must hold, ``not`` pushed inwards to the comparisons."""
    for predicate in predicates:
        match predicate:
            case AllOf():
                yield from _conjunction(predicate.parts)
            case Not():
                opposite = _negated(predicate.of)
                yield from _conjunction((opposite,))
            case _:
                yield predicate


def _negated(predicate: Predicate) -> Predicate:
    match predicate:
        case Comparison():
            return replace(predicate, sign=_OPPOSITE[predicate.sign])
        case Not():
            return predicate.of
        case AllOf():
            return AnyOf(tuple(Not(part, part.span) for part in predicate.parts), predicate.span)
        case AnyOf():
            return AllOf(tuple(Not(part, part.span) for part in predicate.parts), predicate.span)


def _outside(comparison: Comparison, columns: Mapping[str, Column]) -> Contradiction | None:
    """Whether the whole range of the column fails."""
    column = columns.get(comparison.left.value)
    if column is None or not isinstance(comparison.right, Number):
        return None
    value, holds = comparison.right.value, _HOLDS[comparison.sign]
    if comparison.sign == "!=" or holds(column.low, value) or holds(column.high, value):
        return None
    if comparison.sign == "==" and column.low <= value <= column.high:
        return None
    between = (
        f"lies between {column.low:g} and {column.high:g}"
        if column.high < float("inf")
        else f"is never below {column.low:g}"
    )
    return Contradiction(
        f"nothing passes {format_predicate(comparison)}: {column.name} {between}", comparison.span
    )


def _add(comparison: Comparison, known: Knowledge) -> Contradiction | None:
    """Add what `comparison` says; the contradiction, if it does not go with what is known."""
    name, sign, value = comparison.left.value, comparison.sign, comparison.right.value
    now = known.get(name, Known())
    against: Comparison | None = None
    if now.equal is not None and not _HOLDS[sign](now.equal.right.value, value):
        against = now.equal
    match sign:
        case "==":
            bounds = (bound for bound in (now.lower, now.upper) if bound is not None)
            against = against or next((b for b in bounds if not _passes(value, b)), None)
            against = against or (now.excluded or {}).get(value)
            now = replace(now, equal=comparison)
        case "!=":
            now = replace(now, excluded={**(now.excluded or {}), value: comparison})
        case "<" | "<=":
            if now.lower is not None and not _overlap(now.lower, comparison):
                against = against or now.lower
            if now.upper is None or _tighter(value, sign == "<", now.upper, upper=True):
                now = replace(now, upper=comparison)
        case ">" | ">=":
            if now.upper is not None and not _overlap(comparison, now.upper):
                against = against or now.upper
            if now.lower is None or _tighter(value, sign == ">", now.lower, upper=False):
                now = replace(now, lower=comparison)
    known[name] = now
    if against is None:
        return None
    reason = f"nothing passes both {format_predicate(against)} and {format_predicate(comparison)}"
    return Contradiction(reason, comparison.span)


def _passes(value: Any, bound: Comparison) -> bool:
    passes: bool = _HOLDS[bound.sign](value, bound.right.value)
    return passes


def _overlap(lower: Comparison, upper: Comparison) -> bool:
    low, high = lower.right.value, upper.right.value
    open_end = lower.sign == ">" or upper.sign == "<"
    return bool(low < high if open_end else low <= high)  # type: ignore[operator]


def _tighter(value: Any, strict: bool, bound: Comparison, *, upper: bool) -> bool:
    other: Any = bound.right.value
    if value == other:
        return strict
    return bool(value < other if upper else value > other)
