"""Predicates and texts for the builder: ``(column("media_age_hours") < 72) & ~(…)``."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

from models.igql.errors import IgqlArgumentError
from models.igql.tree import (
    AllOf,
    AnyOf,
    Comparison,
    ComparisonSign,
    Flag,
    Name,
    Not,
    Number,
    Predicate,
    Text,
)


@dataclass(frozen=True, slots=True)
class Condition:
    """A predicate; join two by ``&`` or ``|`` in parentheses, turn one round by ``~``."""

    predicate: Predicate

    def __and__(self, other: Condition) -> Condition:
        left, right = self.predicate, other.predicate
        return Condition(AllOf((*(left.parts if isinstance(left, AllOf) else (left,)), right)))

    def __or__(self, other: Condition) -> Condition:
        left, right = self.predicate, other.predicate
        return Condition(AnyOf((*(left.parts if isinstance(left, AnyOf) else (left,)), right)))

    def __invert__(self) -> Condition:
        return Condition(Not(self.predicate))

    def __bool__(self) -> bool:
        raise IgqlArgumentError(
            "a condition is asked for its truth before there are media: join conditions by & | ~ "
            "and parentheses, not by and, or, not or a chain such as 0 < x < 1"
        )


class column:  # noqa: N801 - reads as a word of the language
    """A column or feature by name, to be compared: ``column("language") == "en"``."""

    def __init__(self, name: str) -> None:
        self._name = Name(identifier(name))

    def __lt__(self, other: float) -> Condition:
        return self._compared("<", other)

    def __le__(self, other: float) -> Condition:
        return self._compared("<=", other)

    def __gt__(self, other: float) -> Condition:
        return self._compared(">", other)

    def __ge__(self, other: float) -> Condition:
        return self._compared(">=", other)

    def __eq__(self, other: float | str) -> Condition:  # type: ignore[override]
        return self._compared("==", other)

    def __ne__(self, other: float | str) -> Condition:  # type: ignore[override]
        return self._compared("!=", other)

    __hash__ = None  # type: ignore[assignment]

    def _compared(self, sign: ComparisonSign, other: float | str) -> Condition:
        right = Text(other) if isinstance(other, str) else literal(other)
        return Condition(Comparison(self._name, sign, right))


def text(value: str) -> Text:
    """A quoted text; a plain str is a name where the builder takes values."""
    return Text(value)


def literal(value: object) -> Number | Flag:
    """A number, NumPy's included, or a flag.

    Raises:
        IgqlArgumentError: it is neither.
    """
    if isinstance(value, bool):
        return Flag(value)
    if isinstance(value, Integral):
        return Number(int(value))
    if isinstance(value, Real):
        return Number(float(value))
    kind = type(value).__name__
    raise IgqlArgumentError(f"{value!r} is a {kind}: an argument is a number, a bool or a str")


def identifier(name: object) -> str:
    """A name as the text could have it.

    Raises:
        IgqlArgumentError: the text could not.
    """
    if isinstance(name, str) and name.isidentifier() and name.isascii():
        return name
    raise IgqlArgumentError(f"{name!r} is no name: names are a–z, A–Z, 0–9 and _")
