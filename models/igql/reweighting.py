"""Other weights for the blend of a query, in its text: comments and layout stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

from models.igql.parser import parse
from models.igql.tree import Blend, Chain


def outer_blend(query: Chain) -> Blend | None:
    """The blend that a query begins with, None where it begins with the viewer."""
    return query.head if isinstance(query.head, Blend) else None


def reweighted(text: str, weights: Sequence[float]) -> str:
    """The text with these weights in the blend that it begins with.

    Args:
        text: a query without mistakes.
        weights: of the branches in order.

    Raises:
        ValueError: there is no such blend, or it has another number of branches.
        IgqlSyntaxError, IgqlLimitError: the text is no query.
    """
    blend = outer_blend(parse(text))
    if blend is None or len(blend.branches) != len(weights):
        branches = 0 if blend is None else len(blend.branches)
        raise ValueError(
            f"{len(weights)} weights for a blend of {branches} branches; give one for each branch"
        )
    lines = text.split("\n")
    for branch, weight in reversed(list(zip(blend.branches, weights, strict=True))):
        span = branch.weight.span
        assert span is not None  # The parser places every number.
        line = lines[span.line - 1]
        lines[span.line - 1] = f"{line[: span.column - 1]}{weight!r}{line[span.end_column - 1 :]}"
    return "\n".join(lines)
