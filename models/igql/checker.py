"""Tree → a query that may run, or every mistake in it at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from models.igql.advice import advice
from models.igql.arguments import check_arguments
from models.igql.checked import (
    CheckedBlend,
    CheckedBranch,
    CheckedCall,
    CheckedChain,
    CheckedQuery,
)
from models.igql.contradictions import contradiction
from models.igql.environment import Environment
from models.igql.errors import (
    MOST_ERRORS,
    IgqlBranchError,
    IgqlError,
    IgqlLimitError,
    IgqlNameError,
    IgqlSyntaxError,
    IgqlTypeError,
    did_you_mean,
    nearest,
    shortened,
    together,
)
from models.igql.formatter import format_query
from models.igql.parser import parse
from models.igql.registry import Arguments, ArgumentValue, Cost, Kind, Operator, SetType
from models.igql.scope import CALLED, Scope
from models.igql.tree import Blend, Call, Chain, Number, Span, User

#: The operator put in where accounts are wanted and media are there.
AUTHORS_OF: Final = "authors"
_NOTHING: Final = Cost(0.0, 0.0)


def load(text: str, environment: Environment) -> CheckedQuery:
    """Parse and check the text of a query.

    Raises:
        IgqlError: it is wrong; ``errors`` has every mistake.
    """
    return check(parse(text), environment, text)


def check(query: Chain, environment: Environment, text: str | None = None) -> CheckedQuery:
    """Check a tree; nothing of it runs if anything is wrong.

    Args:
        text: what `query` was parsed from; without one, e.g. from the builder, messages show the
            canonical text.

    Raises:
        IgqlError: it is wrong; ``errors`` has every mistake.
    """
    if text is None:
        text = format_query(query)
        written, query = query, parse(text)
        if query != written:
            raise IgqlSyntaxError("the tree says what no text can say: a name in it is no name")
    checker = _Checker(environment, text)
    walked = checker.chain(query, "the query")
    if not checker.errors:
        checker.bound_cost(walked.checked)
    if checker.errors:
        raise together(checker.errors)
    return CheckedQuery(walked.checked, query, text, advice(query, walked.checked, text))


@dataclass(frozen=True, slots=True)
class _Walked:
    checked: CheckedChain
    scope: Scope


class _Checker:
    """Walks the tree and collects mistakes; after one it goes on as well as it can."""

    def __init__(self, environment: Environment, text: str) -> None:
        self.errors: list[IgqlError] = []
        self._environment = environment
        self._registry = environment.registry
        self._text = text

    def _report(self, error: type[IgqlError], message: str, span: Span | None) -> None:
        self.errors.append(error(message, self._text, span))
        if len(self.errors) == MOST_ERRORS:
            raise together(self.errors)

    def chain(self, query: Chain, called: str) -> _Walked:
        """Check a chain that must give media; `called` is its name in messages."""
        head: User | CheckedBlend
        if isinstance(query.head, Blend):
            head, scope, cost = self._blend(query.head)
        else:
            head, cost = query.head, Cost(1.0, 0.0)
            viewer = self._environment.columns_of(SetType.VIEWER)
            scope = Scope(SetType.VIEWER, viewer)
        calls: list[CheckedCall] = []
        for call in query.calls:
            for checked, after in self._call(call, scope, cost.rows):
                scope = after
                if checked is not None:
                    calls.append(checked)
                    cost = Cost(checked.cost.rows, cost.microseconds + checked.cost.microseconds)
        if scope.type not in (None, SetType.MEDIA):
            last = query.calls[-1].span if query.calls else query.head.span
            self._report(IgqlTypeError, self._no_media(called, scope.type), last)
        gives = scope.type or SetType.MEDIA
        return _Walked(CheckedChain(head, tuple(calls), gives, cost), scope)

    def _no_media(self, called: str, given: SetType | None) -> str:
        assert given is not None
        ways = self._ways(given, SetType.MEDIA)
        return f"{called} ends on {CALLED[given]}, but candidates are media" + (
            f": go on with {_either(ways)}" if ways else ""
        )

    # Blends.

    def _blend(self, blend: Blend) -> tuple[CheckedBlend, Scope, Cost]:
        self._weights(blend)
        walked = [
            self.chain(branch.query, f"branch {position} of this blend")
            for position, branch in enumerate(blend.branches, 1)
        ]
        total = sum(branch.weight.value for branch in blend.branches)
        branches = tuple(
            CheckedBranch(branch.weight.value / total if total > 0 else 0.0, part.checked)
            for branch, part in zip(blend.branches, walked, strict=True)
        )
        every = [part.scope.bound for part in walked]
        names = set.intersection(*(set(bound) for bound in every))
        bound = {name: column for name, column in every[0].items() if name in names}
        partly = frozenset().union(*every) - names
        columns = self._environment.columns_of(SetType.MEDIA)
        sure = all(part.scope.sure for part in walked)
        scope = Scope(SetType.MEDIA, {**columns, **bound}, bound, partly, sure=sure)
        costs = [part.checked.cost for part in walked]
        cost = Cost(sum(c.rows for c in costs), sum(c.microseconds for c in costs))
        return CheckedBlend(branches), scope, cost

    def _weights(self, blend: Blend) -> None:
        if all(branch.weight.value == 0 for branch in blend.branches):
            message = "the weights of this blend sum to zero: give one branch more than 0"
            self._report(IgqlBranchError, message, blend.span)
            return
        for branch in blend.branches:
            if branch.weight.value < 0:
                self._report(IgqlBranchError, _negative(branch.weight), branch.weight.span)

    # Calls.

    def _call(
        self, call: Call, scope: Scope, rows: float
    ) -> Iterator[tuple[CheckedCall | None, Scope]]:
        """The call, behind a coercion where it needs one, each with the scope behind it."""
        operator = self._registry.get(call.operator)
        if operator is None:
            yield None, self._unknown(call, scope)
            return
        if scope.type is not None and operator.given(scope.type) is None:
            coercion = self._registry.get(AUTHORS_OF)
            fits = coercion is not None and coercion.given(scope.type) is operator.takes
            if coercion is None or not fits:
                self._report(IgqlTypeError, self._misplaced(operator, scope.type), call.span)
                # Its arguments may be wrong too; its columns are those of another set.
                unsure = replace(scope, sure=False)
                check_arguments(call, operator, unsure, self._environment, self._report)
                yield None, unsure.to(operator.gives, self._environment)
                return
            authors = self._apply(coercion, {}, scope, rows, call.span, inserted=True)
            yield authors
            scope, rows = authors[1], authors[0].cost.rows
        before = len(self.errors)
        arguments = check_arguments(call, operator, scope, self._environment, self._report)
        if len(self.errors) == before:
            yield self._apply(operator, arguments, scope, rows, call.span)
        else:
            gives = operator.gives if scope.type is None else operator.given(scope.type)
            yield None, _bound(operator, arguments, scope).to(gives, self._environment)

    def _apply(
        self,
        operator: Operator,
        arguments: dict[str, ArgumentValue],
        scope: Scope,
        rows: float,
        span: Span | None,
        *,
        inserted: bool = False,
    ) -> tuple[CheckedCall, Scope]:
        takes = scope.type or operator.takes
        gives = operator.given(takes) or operator.gives
        for parameter in operator.parameters:
            predicate = arguments.get(parameter.name)
            if parameter.kind is Kind.PREDICATES and predicate is not None:
                found = contradiction([predicate], scope.columns, scope.known)
                if found is not None:
                    self._report(IgqlBranchError, found.reason, found.span or span)
        # A tree with mistakes does not run: what it would cost is not asked.
        cost = _NOTHING if self.errors else self._cost(operator, rows, arguments, span)
        checked = CheckedCall(operator, arguments, takes, gives, cost, span, inserted)
        return checked, _bound(operator, arguments, scope).to(gives, self._environment)

    def _cost(
        self, operator: Operator, rows: float, arguments: Arguments, span: Span | None
    ) -> Cost:
        try:
            cost: object = operator.cost(rows, arguments)
        except Exception as error:  # Whatever user code raises.
            said = f"raised {error!r}"
        else:
            if isinstance(cost, Cost):
                return cost
            said = f"gave {cost!r}"
        message = f"the cost of {operator.name} cannot be told: it {said}; let it give a Cost"
        self._report(IgqlLimitError, message, span)
        return _NOTHING

    def _unknown(self, call: Call, scope: Scope) -> Scope:
        """Report an operator nobody knows, and go on as behind the one that was meant."""
        name = shortened(call.operator)
        unsure = replace(scope, sure=False)
        if call.operator in ("user", "blend"):
            message = f"{name} begins a query or a branch and is no operator"
            self._report(IgqlNameError, message, call.span)
            return unsure.to(None, self._environment)
        fitting = [op.name for op in self._registry if self._takes(op, scope.type)]
        after = f" of {CALLED[scope.type]}" if scope.type is not None else ""
        everything = [op.name for op in self._registry]
        close = nearest(call.operator, fitting) or nearest(call.operator, everything)
        said = f"; did you mean {close}?" if close else did_you_mean(call.operator, fitting)
        self._report(IgqlNameError, f"{name} is no operator{after}{said}", call.span)
        meant = self._registry.get(close) if close else None
        if meant is None or scope.type is None:
            return unsure.to(None, self._environment)
        return unsure.to(meant.given(scope.type) or meant.gives, self._environment)

    def _takes(self, operator: Operator, given: SetType | None) -> bool:
        if given is None or operator.given(given) is not None:
            return True
        coercion = self._registry.get(AUTHORS_OF)
        return coercion is not None and coercion.given(given) is operator.takes

    def _misplaced(self, operator: Operator, given: SetType) -> str:
        takes = CALLED[operator.takes]
        message = f"{operator.name} takes {takes}, not {CALLED[given]}"
        if operator.takes is SetType.VIEWER:
            return f"{message}: begin a branch with it, as in blend(0.5: user.{operator.name}(), …)"
        ways = self._ways(given, operator.takes)
        return message + (f": put {_either(ways)} before it" if ways else "")

    def _ways(self, given: SetType, wanted: SetType) -> Sequence[str]:
        """Operators that lead from one set to another."""
        enough = {wanted}
        if wanted is SetType.ACCOUNTS and self._registry.get(AUTHORS_OF) is not None:
            enough.add(SetType.MEDIA)
        found = (op for op in self._registry if op.takes is given and op.gives is not given)
        return [op.name for op in found if op.gives in enough]

    # Cost.

    def bound_cost(self, query: CheckedChain) -> None:
        """Report a query that may take longer or hold more rows than the limits."""
        calls = list(_calls(query))
        if not calls:
            return
        limits = self._environment.limits
        widest = max(calls, key=lambda call: call.cost.rows)
        if widest.cost.rows > limits.rows:
            self._report(
                IgqlLimitError,
                f"{widest.operator.name} may give {widest.cost.rows:,.0f} rows, above the limit "
                f"of {limits.rows:,.0f}: ask for fewer in it or before it",
                widest.span,
            )
        if query.cost.microseconds > limits.microseconds:
            dearest = max(calls, key=lambda call: call.cost.microseconds)
            self._report(
                IgqlLimitError,
                f"the query may take {query.cost.microseconds / 1e3:,.1f} ms, above the limit of "
                f"{limits.microseconds / 1e3:,.1f} ms; {dearest.operator.name} takes most, "
                f"{dearest.cost.microseconds / 1e3:,.1f} ms: ask for fewer rows in it or before it",
                dearest.span,
            )


def _calls(query: CheckedChain) -> Iterator[CheckedCall]:
    if isinstance(query.head, CheckedBlend):
        for branch in query.head.branches:
            yield from _calls(branch.query)
    yield from query.calls


def _bound(operator: Operator, arguments: dict[str, ArgumentValue], scope: Scope) -> Scope:
    for parameter in operator.parameters:
        if parameter.kind is Kind.BINDINGS:
            scope = scope.bind(arguments[parameter.name])
    return scope


def _negative(weight: Number) -> str:
    return f"a weight is 0 or more, not {weight.value}"


def _either(names: Sequence[str]) -> str:
    shown = [f".{name}()" for name in names[:4]]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " or " + shown[-1]
