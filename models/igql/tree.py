"""The tree of a query: what text and builder both make, immutable and comparable.

Two trees are equal when they say the same, wherever their text stood: spans are not compared.
Weights, counts and thresholds are plain numbers; what they may be is the checker's business.

A query is a chain: a head and the calls on it, left to right::

    user.liked(max_num_to_retrieve=30).account_nn()          Chain(User, (Call, Call))
    blend(0.7: user.popular(), 0.3: user.fresh()).take(50)   Chain(Blend(…), (Call,))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

ComparisonSign = Literal["<", "<=", ">", ">=", "==", "!="]


@dataclass(frozen=True, slots=True)
class Span:
    """Where something stands in the text: lines and columns from 1, the end not included."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Number:
    """A number; an integer keeps being one."""

    value: int | float
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A text that was written in quotes, without them."""

    value: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Flag:
    """A truth value, written ``true`` or ``false``."""

    value: bool
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Name:
    """A bare word: a column, a feature, an embedding, a model, a method."""

    value: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A predicate on one column or feature, e.g. ``media_age_hours < 72``."""

    left: Name
    sign: ComparisonSign
    right: Number | Text | Flag
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a predicate."""

    of: Predicate
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AllOf:
    """Predicates joined by ``and``; two or more."""

    parts: tuple[Predicate, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Predicates joined by ``or``; two or more."""

    parts: tuple[Predicate, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument; without a name it takes its place from the operator's parameters."""

    name: str | None
    value: Value
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """An operator applied to what stands before it."""

    operator: str
    arguments: tuple[Argument, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class User:
    """The viewer whom the query is for."""

    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Branch:
    """A subquery of a blend and its weight."""

    weight: Number
    query: Chain
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Blend:
    """Subqueries interleaved by weight; one or more."""

    branches: tuple[Branch, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Chain:
    """A head and the calls on it; a whole query is one chain."""

    head: User | Blend
    calls: tuple[Call, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


Predicate: TypeAlias = Comparison | Not | AllOf | AnyOf
Value: TypeAlias = Number | Text | Flag | Name | Predicate
