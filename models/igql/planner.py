"""A checked query → a plan: filters at the sources, and how many rows each branch has to give.

Three things travel from the end of a query towards its sources:

* **filters**: an operator that only removes rows is applied where the rows come in. It passes
  ``let``, ``rank``, ``diversify_by`` (unless they make the column it looks at) and into all
  branches of a blend, and one that judges accounts too from posts to their authors; so what is
  spread, cut and weighed are rows that may stay. It does not pass ``take``: whoever takes fifty
  and then filters means that.
* **what must never be shown** (deleted or hidden media, those already served): a filter that no
  query writes, and that passes ``take`` too.
* **the number asked for**, by the nearest ``take`` behind: a source fetches more than that where
  filters follow, and again where too few are left (see :mod:`models.igql.fetching`).

Equal subqueries become one node, computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple, TypeAlias

from models.feature_schema import SOURCES
from models.igql.checked import CheckedBlend, CheckedCall, CheckedChain, CheckedQuery
from models.igql.library.filters import HELD_BACK, INTEGRITY, SERVED, UNAVAILABLE
from models.igql.registry import LAST, Arguments, Operator, Registry, SetType
from models.igql.relaxing import relaxed
from models.igql.tree import AllOf, AnyOf, Comparison, Not, Predicate
from models.inventory.availability import UNBOUNDED, IntegrityBounds

#: What filters pass on their way to the sources.
_PASSED: Final = frozenset({"let", "rank", "diversify_by"})


@dataclass(frozen=True, slots=True)
class Filter:
    """An operator that only removes rows, with its arguments."""

    operator: Operator
    arguments: Arguments

    @property
    def key(self) -> Hashable:
        """Equal where operator and arguments are, which need filtering only once."""
        return self.operator.name, _frozen(self.arguments)


@dataclass(frozen=True, slots=True, eq=False)
class Viewers:
    """The viewers of the batch."""

    key: Hashable = "user"


@dataclass(frozen=True, slots=True, eq=False)
class OperatorNode:
    """An operator and the filters that were moved to it.

    Attributes:
        cut: rows beyond so many of one viewer are not needed, None for all.
        asked: media wanted of a viewer in the end, None where the query does not say.
    """

    operator: Operator
    arguments: Arguments
    input: Node
    filters: tuple[Filter, ...]
    cut: int | None
    asked: int | None
    key: Hashable


@dataclass(frozen=True, slots=True, eq=False)
class Sieve:
    """Filters that could not be moved further."""

    input: Node
    filters: tuple[Filter, ...]
    key: Hashable


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """Branches that are interleaved in proportion to their weights."""

    branches: tuple[tuple[float, Node], ...]
    cut: int | None
    key: Hashable


Node: TypeAlias = Viewers | OperatorNode | Sieve | Mix


class Step(NamedTuple):
    """One step of giving way.

    Attributes:
        exclusion: the operator that gives way now, those of earlier steps besides.
        when_empty: it does only where nothing at all is found.
        plan: without what gave way.
    """

    exclusion: str
    when_empty: bool
    plan: Plan


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What the executor runs.

    Attributes:
        gives: media for a query of candidates.
        sources: names of the source codes: those of the features first, then the registry's.
        version: hash of the query's canonical text.
        text: that text.
        bounds: integrity scores above which nothing passes, by the thresholds of ``filter`` on
            everything that the query gives.
        steps: in which its exclusions give way for viewers of whom too little is found.
    """

    root: Node
    gives: SetType
    sources: tuple[str, ...]
    version: str
    text: str
    source_codes: dict[str, int] = field(default_factory=dict)
    bounds: IntegrityBounds = UNBOUNDED
    steps: tuple[Step, ...] = ()


def inputs(node: Node) -> tuple[Node, ...]:
    """The nodes that a node reads."""
    match node:
        case OperatorNode(input=below) | Sieve(input=below):
            return (below,)
        case Mix(branches=branches):
            return tuple(branch for _, branch in branches)
        case _:
            return ()


def plan(query: CheckedQuery, registry: Registry, canonical_text: str) -> Plan:
    """Plan a checked query.

    Args:
        registry: whose sources there are.
        canonical_text: of the query, as the formatter writes it.
    """
    steps = tuple(
        Step(name, way.order >= LAST, _plan(of, registry, canonical_text, ()))
        for way, name, of in relaxed(query)
    )
    return _plan(query, registry, canonical_text, steps)


def _plan(
    query: CheckedQuery, registry: Registry, canonical_text: str, steps: tuple[Step, ...]
) -> Plan:
    known: dict[Hashable, Node] = {}
    always = (UNAVAILABLE, HELD_BACK, SERVED) if query.chain.gives is SetType.MEDIA else ()
    shown = [Filter(operator, {}) for operator in always]
    root = _Planner(known).chain(query.chain, [], shown, None, None)
    others = (op.name for op in registry if op.source and op.name not in SOURCES)
    sources = (*SOURCES, *others)
    return Plan(
        root,
        query.chain.gives,
        sources,
        blake2b(canonical_text.encode(), digest_size=6).hexdigest(),
        canonical_text,
        {name: code for code, name in enumerate(sources)},
        _bounds(query.chain),
        steps,
    )


def _bounds(chain: CheckedChain) -> IntegrityBounds:
    bounds = UNBOUNDED
    for call in chain.calls:
        if call.operator.name == "filter":
            told = (call.arguments.get(name) for name in INTEGRITY)
            bounds = bounds.within(IntegrityBounds(*(1.0 if t is None else t for t in told)))
    return bounds


class _Planner:
    """Builds nodes from the end of each chain; filters, cut and asked come from behind."""

    def __init__(self, known: dict[Hashable, Node]) -> None:
        self._known = known

    def chain(
        self,
        chain: CheckedChain,
        written: list[Filter],
        always: list[Filter],
        cut: int | None,
        asked: int | None,
    ) -> Node:
        return self._upto(chain, len(chain.calls), written, always, cut, asked)

    def _upto(
        self,
        chain: CheckedChain,
        length: int,
        written: list[Filter],
        always: list[Filter],
        cut: int | None,
        asked: int | None,
    ) -> Node:
        """The node of the first `length` calls, with filters from behind applied."""
        if length == 0:
            if isinstance(chain.head, CheckedBlend):
                branches = tuple(
                    (branch.weight, self.chain(branch.query, written, always, cut, asked))
                    for branch in chain.head.branches
                )
                key = ("blend", cut, tuple((weight, node.key) for weight, node in branches))
                return self._one(key, lambda: Mix(branches, cut, key))
            return self._sieve(self._one("user", Viewers), [*always, *written])
        call = chain.calls[length - 1]
        if call.operator.removes_only:
            written = [Filter(call.operator, call.arguments), *written]
            return self._upto(chain, length - 1, written, always, cut, asked)
        if call.operator.name == "take" and call.gives is SetType.MEDIA:
            most = int(call.arguments["count"])
            within = most if cut is None or written else min(most, cut)
            below = self._upto(chain, length - 1, [], always, within, within)
            return self._sieve(self._step(call, below, [], None, None), written)
        if call.operator.name in _PASSED and call.gives is SetType.MEDIA:
            stays = [one for one in written if _made(call) & _looked_at(one)]
            moves = [one for one in written if one not in stays]
            only = cut if call.operator.name == "let" and not stays else None
            below = self._upto(chain, length - 1, moves, always, only, asked)
            return self._sieve(self._step(call, below, [], None, asked), stays)
        # What is judged by the author is judged before the author's posts are looked for.
        earlier = [one for one in written if _by_author(one)] if call.operator.depth else []
        below = self._upto(chain, length - 1, earlier, [], None, None)
        filters = [*always, *(one for one in written if one not in earlier)]
        return self._step(call, below, filters, cut, asked)

    def _step(
        self,
        call: CheckedCall,
        below: Node,
        filters: list[Filter],
        cut: int | None,
        asked: int | None,
    ) -> Node:
        key = (
            call.operator.name,
            _frozen(call.arguments),
            below.key,
            tuple(one.key for one in filters),
            cut,
            asked,
        )
        return self._one(
            key,
            lambda: OperatorNode(
                call.operator, call.arguments, below, tuple(filters), cut, asked, key
            ),
        )

    def _sieve(self, below: Node, filters: list[Filter]) -> Node:
        if not filters:
            return below
        key = ("sieve", below.key, tuple(one.key for one in filters))
        return self._one(key, lambda: Sieve(below, tuple(filters), key))

    def _one(self, key: Hashable, make: Callable[[], Node]) -> Node:
        node = self._known.get(key)
        if node is None:
            node = self._known[key] = make()
        return node


def _by_author(one: Filter) -> bool:
    return SetType.ACCOUNTS in one.operator.keeps


def _frozen(arguments: Arguments) -> Hashable:
    return tuple(sorted(arguments.items(), key=lambda item: item[0]))


def _made(call: CheckedCall) -> frozenset[str]:
    """Columns that an operator gives new values."""
    if call.operator.name == "let":
        return frozenset(name for name, _ in call.arguments["bindings"])
    return frozenset({"score"} if call.operator.name == "rank" else ())


def _looked_at(one: Filter) -> frozenset[str]:
    predicates = one.arguments.get("predicates")
    return frozenset(_names(predicates)) if predicates is not None else frozenset()


def _names(predicate: Predicate) -> Iterator[str]:
    match predicate:
        case Comparison(left=left):
            yield left.value
        case Not(of=of):
            yield from _names(of)
        case AllOf(parts=parts) | AnyOf(parts=parts):
            for part in parts:
                yield from _names(part)
