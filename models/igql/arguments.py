"""The arguments of one call against the parameters of its operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Final

from models.igql.environment import Column, Environment
from models.igql.errors import (
    IgqlArgumentError,
    IgqlError,
    IgqlNameError,
    IgqlTypeError,
    did_you_mean,
    nearest,
    shortened,
)
from models.igql.formatter import format_predicate
from models.igql.registry import (
    RESERVED,
    ArgumentValue,
    ColumnType,
    Kind,
    Operator,
    Parameter,
)
from models.igql.scope import Scope
from models.igql.tree import (
    AllOf,
    AnyOf,
    Argument,
    Call,
    Comparison,
    Flag,
    Name,
    Not,
    Number,
    Predicate,
    Span,
    Text,
    Value,
)

#: (class, message, place) → one mistake more.
Report = Callable[[type[IgqlError], str, Span | None], None]
#: Kinds that take any number of arguments of their own form.
_COLLECTED: Final = (Kind.PREDICATES, Kind.BINDINGS)


def check_arguments(
    call: Call, operator: Operator, scope: Scope, environment: Environment, report: Report
) -> dict[str, ArgumentValue]:
    """Every parameter's value, defaults filled in; meaningless where something was reported."""
    return _Arguments(call, operator, scope, environment, report).resolve()


class _Arguments:
    """One call while its arguments are looked at, in the order of the text."""

    def __init__(
        self,
        call: Call,
        operator: Operator,
        scope: Scope,
        environment: Environment,
        report: Report,
    ) -> None:
        self._call = call
        self._operator = operator
        self._scope = scope
        self._environment = environment
        self._report = report
        self._plain = [p for p in operator.parameters if p.kind not in _COLLECTED]
        self._collects = {p.kind: p for p in operator.parameters if p.kind in _COLLECTED}
        self._given: dict[str, ArgumentValue] = {}
        self._predicates: list[Predicate] = []
        self._bindings: dict[str, str] = {}

    def resolve(self) -> dict[str, ArgumentValue]:
        named: Argument | None = None
        position = 0
        for argument in self._call.arguments:
            if isinstance(argument.value, Comparison | Not | AllOf | AnyOf):
                self._predicate(argument.value)
            elif argument.name is not None:
                named = argument
                self._named(argument, argument.name)
            else:
                self._unnamed(argument, position, named)
                position += 1
        self._absent()
        return self._values()

    def _predicate(self, predicate: Predicate) -> None:
        if Kind.PREDICATES in self._collects:
            self._predicates.append(predicate)
            self._compared(predicate)
            return
        self._report(
            IgqlArgumentError,
            f"{self._operator.name} takes no predicates: write .filter({_brief(predicate)})",
            predicate.span,
        )

    def _named(self, argument: Argument, name: str) -> None:
        span = _name_span(argument, name)
        if Kind.BINDINGS in self._collects:
            self._binding(name, argument.value, span)
            return
        parameter = next((p for p in self._plain if p.name == name), None)
        if parameter is None:
            self._report(IgqlArgumentError, self._unknown(name, argument.value), span)
        elif name in self._given:
            self._report(IgqlArgumentError, f"{name} is given twice: keep one of them", span)
        else:
            self._given[name] = self._value(parameter, argument.value)

    def _unnamed(self, argument: Argument, position: int, named: Argument | None) -> None:
        operator, value = self._operator.name, argument.value
        if not self._plain or Kind.BINDINGS in self._collects:
            message = (
                f"{operator} takes new_name=column, not {_shown(value)}"
                if Kind.BINDINGS in self._collects
                else f"{operator} takes no arguments"
            )
            self._report(IgqlArgumentError, message, argument.span)
        elif Kind.PREDICATES in self._collects:
            first = _shown(value) if isinstance(value, Name) else "nsfw"
            self._report(
                IgqlArgumentError,
                f"{_shown(value)} is no predicate: compare a column, as in {first} < 0.5, "
                f"or name the parameter ({', '.join(p.name for p in self._plain)})",
                argument.span,
            )
        elif position >= len(self._plain):
            names = ", ".join(p.name for p in self._plain)
            most = f"{len(self._plain)} argument" + "s" * (len(self._plain) > 1)
            self._report(
                IgqlArgumentError,
                f"{operator} takes at most {most} ({names}): remove {_shown(value)}",
                argument.span,
            )
        elif named is not None:
            self._report(
                IgqlArgumentError,
                f"an argument without a name cannot follow {named.name}=…: "
                f"name it, as in {self._plain[position].name}={_shown(value)}",
                argument.span,
            )
        elif self._plain[position].name in self._given:
            self._report(
                IgqlArgumentError,
                f"{self._plain[position].name} is given twice: keep one of them",
                argument.span,
            )
        else:
            self._given[self._plain[position].name] = self._value(self._plain[position], value)

    def _unknown(self, name: str, value: Value) -> str:
        names = [p.name for p in self._plain]
        if Kind.PREDICATES in self._collects and name in self._scope.columns:
            is_number = self._scope.columns[name].type is ColumnType.NUMBER
            text = value.value if isinstance(value, Name) else _shown(value)
            right = _shown(value) if is_number or isinstance(value, Text) else f'"{text}"'
            return f"`=` names an argument, `==` compares: write {name} == {right}"
        if not names:
            return f"{self._operator.name} takes no arguments"
        return f"{self._operator.name} has no parameter {name}" + did_you_mean(
            name, names, "it has"
        )

    def _absent(self) -> None:
        for parameter in self._plain:
            if parameter.required and parameter.name not in self._given:
                self._report(
                    IgqlArgumentError,
                    f"{self._operator.name} needs {parameter.name}: {self._wanted(parameter)}",
                    self._call.span,
                )
        if self._call.arguments:
            return
        if Kind.BINDINGS in self._collects:
            message = f"{self._operator.name} binds nothing: write new_name=column"
            self._report(IgqlArgumentError, message, self._call.span)
        if Kind.PREDICATES in self._collects:
            message = (
                f"{self._operator.name} drops nothing: give it a predicate such as "
                f"media_age_hours < 72, or one of {', '.join(p.name for p in self._plain)}"
            )
            self._report(IgqlArgumentError, message, self._call.span)

    def _values(self) -> dict[str, ArgumentValue]:
        values: dict[str, ArgumentValue] = {}
        for parameter in self._operator.parameters:
            match parameter.kind:
                case Kind.PREDICATES:
                    values[parameter.name] = _joined(self._predicates)
                case Kind.BINDINGS:
                    values[parameter.name] = tuple(self._bindings.items())
                case _:
                    values[parameter.name] = self._given.get(parameter.name, parameter.default)
        return values

    # One value.

    def _value(self, parameter: Parameter, value: Value) -> ArgumentValue:
        """What the kernel gets; anything where it was reported."""
        match parameter.kind, value:
            case (Kind.COUNT, Number(value=int() as whole)) if _within(parameter, whole):
                return whole
            case (Kind.NUMBER, Number(value=number)) if _within(parameter, number):
                return float(number)
            case (Kind.FLAG, Flag(value=flag)):
                return flag
            case (Kind.TEXT, Text(value=text)):
                return text
            case (Kind.CHOICE | Kind.NAME, Name(value=name)):
                return self._one_of(parameter, name, value.span)
            case (Kind.COLUMN, Name(value=name)):
                self._column(parameter, name, value.span)
                return name
            case _:
                message = (
                    f"{parameter.name} is {self._wanted(parameter)}, not {_shown(value)}"
                    f"{_hint(parameter, value)}"
                )
                self._report(IgqlArgumentError, message, value.span)
                return parameter.default

    def _one_of(self, parameter: Parameter, name: str, span: Span | None) -> str:
        choices = self._choices(parameter)
        if name not in choices:
            called = parameter.names or parameter.name
            message = f"{shortened(name)} is no {called}"
            message += did_you_mean(name, choices) or f": no {called} is loaded here"
            error = IgqlNameError if parameter.kind is Kind.NAME else IgqlArgumentError
            self._report(error, message, span)
        return name

    def _choices(self, parameter: Parameter) -> tuple[str, ...]:
        if parameter.kind is Kind.CHOICE:
            return parameter.choices
        return self._environment.names.get(parameter.names, ())

    def _column(self, parameter: Parameter, name: str, span: Span | None) -> None:
        column = self._known_column(name, span)
        accepted = parameter.column_types
        if column is not None and accepted and column.type not in accepted:
            fitting = " or ".join(of.value for of in accepted)
            message = f"{self._operator.name} takes a column that is {fitting}"
            self._report(IgqlArgumentError, f"{message}; {name} is {column.type.value}", span)

    def _known_column(self, name: str, span: Span | None) -> Column | None:
        if self._scope.type is None:
            return None
        column = self._scope.columns.get(name)
        if column is None:
            self._report(IgqlNameError, self._scope.unknown_column(name), span)
        return column

    def _wanted(self, parameter: Parameter) -> str:
        return wanted(parameter, self._choices(parameter))

    def _binding(self, name: str, value: Value, span: Span | None) -> None:
        reserved = {c.name for columns in self._environment.columns.values() for c in columns}
        if name in RESERVED:
            message = f"{name} is a word of the language: bind another name"
        elif name in reserved:
            message = f"{name} is a column already: bind another name"
        elif name in self._bindings or name in self._scope.bound:
            message = f"{name} is bound already: bind another name"
        elif not isinstance(value, Name):
            message = f"{self._operator.name} binds a name to a column, not to {_shown(value)}"
        else:
            self._known_column(value.value, value.span)
            self._bindings[name] = value.value
            return
        self._report(IgqlNameError, message, span)

    # Predicates.

    def _compared(self, predicate: Predicate) -> None:
        match predicate:
            case Comparison():
                column = self._known_column(predicate.left.value, predicate.left.span)
                if column is not None:
                    self._comparison(column, predicate)
            case Not():
                self._compared(predicate.of)
            case AllOf() | AnyOf():
                for part in predicate.parts:
                    self._compared(part)

    def _comparison(self, column: Column, comparison: Comparison) -> None:
        name, right, sign = column.name, comparison.right, comparison.sign
        if column.type is ColumnType.NUMBER:
            if isinstance(right, Number):
                return
            written = f"{name} {sign} {int(right.value)}" if isinstance(right, Flag) else ""
            message = f"{name} is a number: compare it with a number, not {_shown(right)}"
            message += f"; write {written}" if written else ""
        elif not isinstance(right, Text):
            message = (
                f"{name} is {column.type.value}: compare it with a text, "
                f'as in {name} == "…", not with {_shown(right)}'
            )
        elif sign not in ("==", "!="):
            message = f"{name} is {column.type.value}: it has no order, only == and != compare it"
            self._report(IgqlTypeError, message, comparison.span)
            return
        elif column.values and right.value not in column.values:
            close = nearest(right.value, column.values)
            known = ", ".join(f'"{value}"' for value in sorted(column.values)[:12])
            message = f"no {name} is called {_shown(right)}"
            message += f'; did you mean "{close}"?' if close else f"; choose among {known}"
            self._report(IgqlNameError, message, right.span)
            return
        else:
            return
        self._report(IgqlTypeError, message, right.span)


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


def _within(parameter: Parameter, value: float) -> bool:
    return not isinstance(value, bool) and parameter.low <= value <= parameter.high


def _hint(parameter: Parameter, value: Value) -> str:
    """What would be right, where the mistake is one of writing."""
    match parameter.kind, value:
        case (Kind.COUNT, Number(value=float() as number)) if number.is_integer():
            return f"; write {int(number)}" if _within(parameter, number) else ""
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


def _shown(value: Value) -> str:
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
            return _brief(value)


def _brief(predicate: Predicate) -> str:
    return shortened(format_predicate(predicate), 60)


def _name_span(argument: Argument, name: str) -> Span | None:
    """Where the name of an argument stands, without its value."""
    span = argument.span
    if span is None:
        return None
    return Span(span.line, span.column, span.line, span.column + len(name))


def _joined(predicates: list[Predicate]) -> Predicate | None:
    if len(predicates) > 1:
        return AllOf(tuple(predicates))
    return predicates[0] if predicates else None
