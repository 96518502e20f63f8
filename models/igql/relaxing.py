"""Queries whose exclusions give way, step by step: for viewers of whom too little is found.

What a product does not want in a grid is better than no grid. What must not be shown (deleted,
hidden, unsafe, unwanted by the viewer) never gives way: only operators that say so do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from models.igql.checked import CheckedBlend, CheckedCall, CheckedChain, CheckedQuery
from models.igql.registry import GivesWay


def relaxed(query: CheckedQuery) -> Iterator[tuple[GivesWay, str, CheckedQuery]]:
    """The query with one exclusion after the other giving way, each with the name of the last."""
    ways = {call.operator.name: call.operator.gives_way for call in _calls(query.chain)}
    steps = sorted((way.order, name) for name, way in ways.items() if way is not None)
    gone: set[str] = set()
    for _, name in steps:
        gone.add(name)
        way = ways[name]
        assert way is not None
        yield way, name, replace(query, chain=_without(query.chain, gone))


def _calls(chain: CheckedChain) -> Iterator[CheckedCall]:
    yield from chain.calls
    if isinstance(chain.head, CheckedBlend):
        for branch in chain.head.branches:
            yield from _calls(branch.query)


def _without(chain: CheckedChain, gone: set[str]) -> CheckedChain:
    head = chain.head
    if isinstance(head, CheckedBlend):
        branches = (replace(one, query=_without(one.query, gone)) for one in head.branches)
        head = CheckedBlend(tuple(branches))
    calls: list[CheckedCall] = []
    for call in chain.calls:
        way = call.operator.gives_way
        if way is None or call.operator.name not in gone:
            calls.append(call)
        elif way.arguments is not None:
            calls.append(replace(call, arguments={**call.arguments, **way.arguments}))
    return replace(chain, head=head, calls=tuple(calls))
