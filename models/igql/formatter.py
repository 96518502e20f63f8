"""Tree → text, one call a line; reading it again gives the same tree."""

from __future__ import annotations

import json
from typing import Final

from models.igql.errors import IgqlLimitError
from models.igql.parser import MAX_DEPTH
from models.igql.tree import (
    AllOf,
    AnyOf,
    Argument,
    Blend,
    Call,
    Chain,
    Comparison,
    Flag,
    Name,
    Not,
    Number,
    Predicate,
    Text,
    Value,
)

_INDENT: Final = "  "


def format_query(query: Chain) -> str:
    """The canonical text of a tree, with a newline at its end.

    Raises:
        IgqlLimitError: the tree is nested deeper than the parser reads.
    """
    return _chain(query, "", 0) + "\n"


def format_call(call: Call) -> str:
    """One call without the point before it."""
    return f"{call.operator}({', '.join(_argument(argument) for argument in call.arguments)})"


def format_predicate(predicate: Predicate) -> str:
    """A predicate as ``filter`` takes it."""
    return _predicate(predicate, 0)


def _chain(query: Chain, indent: str, depth: int) -> str:
    _check(depth)
    if isinstance(query.head, Blend):
        inner = indent + _INDENT
        branches = "".join(
            f"{inner}{_number(branch.weight)}: {_chain(branch.query, inner, depth + 1)},\n"
            for branch in query.head.branches
        )
        head = f"blend(\n{branches}{indent})"
        of_calls = indent
    else:
        head = "user"
        # The calls of a branch stand below its weight, a little to the right.
        of_calls = indent + _INDENT if depth else indent
    return "\n".join([head, *(f"{of_calls}.{format_call(call)}" for call in query.calls)])


def _argument(argument: Argument) -> str:
    value = _value(argument.value)
    return value if argument.name is None else f"{argument.name}={value}"


def _value(value: Value) -> str:
    match value:
        case Number():
            return _number(value)
        case Text():
            return json.dumps(value.value, ensure_ascii=False)
        case Flag():
            return "true" if value.value else "false"
        case Name():
            return value.value
        case _:
            return _predicate(value, 0)


def _number(number: Number) -> str:
    return repr(number.value)


def _predicate(predicate: Predicate, depth: int) -> str:
    _check(depth)
    match predicate:
        case Comparison():
            return f"{predicate.left.value} {predicate.sign} {_value(predicate.right)}"
        case Not():
            return f"not {_inside(predicate.of, (AllOf, AnyOf), depth)}"
        case AllOf():
            parts = (_inside(part, (AllOf, AnyOf), depth) for part in predicate.parts)
            return " and ".join(parts)
        case AnyOf():
            return " or ".join(_inside(part, (AnyOf,), depth) for part in predicate.parts)


def _inside(part: Predicate, in_parentheses: tuple[type, ...], depth: int) -> str:
    written = _predicate(part, depth + 1)
    return f"({written})" if isinstance(part, in_parentheses) else written


def _check(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise IgqlLimitError(f"the query is nested deeper than {MAX_DEPTH}")
