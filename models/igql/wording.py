"""How messages and the reference say what a parameter takes and what was given."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from models.igql.errors import shortened
from models.igql.formatter import format_predicate
from models.igql.registry import Kind, Parameter
from models.igql.tree import Flag, Name, Number, Predicate, Text, Value


def wanted(parameter: Parameter, choices: Iterable[str] = ()) -> str:
    """What a parameter accepts, as messages and the reference say it."""
    match parameter.kind:
        case Kind.CHOICE:
            return f"one of {', '.join(parameter.choices)}"
        case Kind.NAME:
            names = ", ".join(sorted(choices))
            return f"the name of {_article(parameter.names)}" + (f" ({names})" if names else "")
        case Kind.COLUMN:
            return "a column such as seed"
    of: str = parameter.kind.value
    if parameter.kind in (Kind.COUNT, Kind.NUMBER):
        of += _bounds(parameter)
    return of


def _bounds(parameter: Parameter) -> str:
    low, high = _figure(parameter.low), _figure(parameter.high)
    match isfinite(parameter.low), isfinite(parameter.high):
        case True, True:
            return f" from {low} to {high}"
        case True, False:
            return f" of at least {low}"
        case False, True:
            return f" of at most {high}"
    return ""


def _figure(bound: float) -> str:
    return f"{int(bound)}" if isfinite(bound) and bound == int(bound) else f"{bound:g}"


def _article(noun: str) -> str:
    return f"an {noun}" if noun[:1] in "aeiou" else f"a {noun}"


def within(parameter: Parameter, value: float) -> bool:
    """Whether a number is inside the bounds."""
    return parameter.low <= value <= parameter.high


def hint(parameter: Parameter, value: Value) -> str:
    """What to write instead, where the mistake is one of writing; begins with a semicolon."""
    match parameter.kind, value:
        case (Kind.COUNT, Number(value=float() as number)) if number.is_integer():
            return f"; write {int(number)}" if within(parameter, number) else ""
        case (Kind.COUNT | Kind.NUMBER, Text(value=text)) if text.strip().isdecimal():
            return f"; write {shortened(text.strip())} without quotes"
        case (Kind.CHOICE | Kind.NAME | Kind.COLUMN, Text(value=text)) if text.isidentifier():
            return f"; write {shortened(text)} without quotes"
        case (Kind.TEXT, Name(value=name)):
            return f'; write "{shortened(name)}"'
        case (Kind.FLAG, Name(value=("True" | "False") as name)):
            return f"; write {name.lower()}"
        case (Kind.FLAG, Number(value=(0 | 1) as number)):
            return f"; write {'true' if number else 'false'}"
    return ""


def shown(value: Value) -> str:
    """A value as it was written, cut where it is long."""
    match value:
        case Number():
            return repr(value.value)
        case Text():
            return f'"{shortened(value.value)}"'
        case Flag():
            return "true" if value.value else "false"
        case Name():
            return shortened(value.value)
        case _:
            return brief(value)


def brief(predicate: Predicate) -> str:
    """A predicate, cut where it is long."""
    return shortened(format_predicate(predicate), 60)
