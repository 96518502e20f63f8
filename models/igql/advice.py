"""What runs but is hardly meant: said beside the plan, never refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from models.igql.checked import CheckedBlend, CheckedCall, CheckedChain
from models.igql.errors import locate
from models.igql.tree import Blend, Branch, Chain, Span

#: The operator that keeps the first rows only; its first parameter says how many.
_TAKE: Final = "take"
_Advice = tuple[str, Span | None]


def advice(tree: Chain, checked: CheckedChain, text: str) -> tuple[str, ...]:
    """Warnings on a query that is right, each located like an error."""
    return tuple(locate(f"warning: {said}", text, span) for said, span in _chain(tree, checked))


def _chain(tree: Chain, checked: CheckedChain) -> Iterator[_Advice]:
    if isinstance(tree.head, Blend) and isinstance(checked.head, CheckedBlend):
        for branch, of in zip(tree.head.branches, checked.head.branches, strict=True):
            yield from _chain(branch.query, of.query)
        yield from _branches(tree.head)
        yield from _shares(tree.head, checked)
    for before, call in zip(checked.calls, checked.calls[1:], strict=False):
        taken = _taken(call)
        if taken is not None and before.cost.rows <= taken:
            rows = f"at most {before.cost.rows:.0f} rows come here"
            yield f"{rows}: {_TAKE}({taken}) changes nothing", call.span


def _branches(blend: Blend) -> Iterator[_Advice]:
    if len(blend.branches) == 1:
        yield "a blend of one branch is that branch: leave blend out", blend.span
    first: dict[Chain, int] = {}
    for position, branch in enumerate(blend.branches, 1):
        same = first.setdefault(branch.query, position)
        if same != position:
            said = f"branch {position} says the same as branch {same} and adds nothing to it"
            yield said, branch.weight.span


def _shares(blend: Blend, checked: CheckedChain) -> Iterator[_Advice]:
    """Branches that are owed less than one of the rows taken from the blend."""
    assert isinstance(checked.head, CheckedBlend)
    taken = next((t for t in map(_taken, checked.calls) if t is not None), None)
    if taken is None:
        return
    pairs: Iterator[tuple[Branch, float]] = zip(
        blend.branches, (part.weight for part in checked.head.branches), strict=True
    )
    for position, (branch, weight) in enumerate(pairs, 1):
        if 0.0 < weight * taken < 1.0:
            yield (
                f"branch {position} is owed {weight * taken:.2g} of the {taken} rows taken: "
                "it gives something only where others run short",
                branch.weight.span,
            )


def _taken(call: CheckedCall) -> int | None:
    if call.operator.name != _TAKE:
        return None
    taken: int = call.arguments[call.operator.parameters[0].name]
    return taken
