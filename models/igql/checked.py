"""A query that is right: what the checker gives the planner.

Names are resolved to operators, every parameter has its value, types fit and coercions stand in
the chain as calls of their own, so the planner asks nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.igql.registry import Arguments, Cost, Operator, SetType
from models.igql.tree import Chain, Span, User


@dataclass(frozen=True, slots=True)
class CheckedCall:
    """One operator with all that it needs.

    Attributes:
        arguments: every parameter by name, defaults filled in. A count is an int, a number a float
            or ``None``, a flag a bool; texts, choices, names and columns are str; predicates are
            one :data:`~models.igql.tree.Predicate` (several joined by ``and``) or ``None``;
            bindings are a tuple of (new name, column) pairs.
        cost: of this call alone; its rows are what it gives at most.
        span: where the operator's name stands in the text.
        inserted: the checker put it there to turn media into their authors.
    """

    operator: Operator
    arguments: Arguments
    takes: SetType
    gives: SetType
    cost: Cost
    span: Span | None
    inserted: bool = False


@dataclass(frozen=True, slots=True)
class CheckedBranch:
    """A branch of a blend; the weights of one blend sum to 1."""

    weight: float
    query: CheckedChain


@dataclass(frozen=True, slots=True)
class CheckedBlend:
    """Branches that all give media, each with its weight."""

    branches: tuple[CheckedBranch, ...]


@dataclass(frozen=True, slots=True)
class CheckedChain:
    """A head and the calls on it.

    Attributes:
        gives: the type of the set at the end.
        cost: of the head and all calls; its rows are those of the end.
    """

    head: User | CheckedBlend
    calls: tuple[CheckedCall, ...]
    gives: SetType
    cost: Cost


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """A query that may run.

    Attributes:
        tree: as it was written.
        text: what spans refer to.
        warnings: what runs but is hardly meant, each located like an error.
    """

    chain: CheckedChain
    tree: Chain
    text: str
    warnings: tuple[str, ...] = ()
