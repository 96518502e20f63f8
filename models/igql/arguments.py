"""The arguments of one call against the parameters of its operator."""

from __future__ import annotations

from typing import Final

from models.igql.comparisons import Report, check_predicate
from models.igql.environment import Column, Environment
from models.igql.errors import (
    IgqlArgumentError,
    IgqlNameError,
    did_you_mean,
    shortened,
)
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
from models.igql.wording import brief, hint, shown, wanted, within

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
            check_predicate(predicate, self._known_column, self._report)
            return
        self._report(
            IgqlArgumentError,
            f"{self._operator.name} takes no predicates: write .filter({brief(predicate)})",
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
        message = self._out_of_place(argument.value, position, named)
        if message is not None:
            self._report(IgqlArgumentError, message, argument.span)
        else:
            parameter = self._plain[position]
            self._given[parameter.name] = self._value(parameter, argument.value)

    def _out_of_place(self, value: Value, position: int, named: Argument | None) -> str | None:
        """Why an argument without a name cannot stand there, ``None`` if it can."""
        operator, names = self._operator.name, [p.name for p in self._plain]
        if Kind.BINDINGS in self._collects:
            return f"{operator} takes new_name=column, not {shown(value)}"
        if Kind.PREDICATES in self._collects:
            first = shown(value) if isinstance(value, Name) else "nsfw"
            message = f"{shown(value)} is no predicate: compare a column, as in {first} < 0.5"
            return message + (f", or name the parameter ({', '.join(names)})" if names else "")
        if not names:
            return f"{operator} takes no arguments"
        free = [name for name in names if name not in self._given]
        if position >= len(names) or not free:
            most = f"{len(names)} argument" + "s" * (len(names) > 1)
            return f"{operator} takes at most {most} ({', '.join(names)}): remove {shown(value)}"
        if named is not None:
            return (
                f"an argument without a name cannot follow {named.name}=…: "
                f"name it, as in {free[0]}={shown(value)}"
            )
        return None

    def _unknown(self, name: str, value: Value) -> str:
        names = [p.name for p in self._plain]
        if Kind.PREDICATES in self._collects and name in self._scope.columns:
            literal = shown(value) if isinstance(value, Number | Text) else f'"{shown(value)}"'
            sign = "<" if self._scope.columns[name].type is ColumnType.NUMBER else "=="
            return f"`=` names an argument; to compare the column write {name} {sign} {literal}"
        if not names:
            return f"{self._operator.name} takes no arguments"
        return f"{self._operator.name} has no parameter {name}" + did_you_mean(
            name, names, "it has"
        )

    def _absent(self) -> None:
        for parameter in self._plain:
            if parameter.name in self._given:
                continue
            if parameter.kind is Kind.NAME and parameter.default is not None:
                self._one_of(parameter, parameter.default, self._call.span)
            if parameter.required:
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
            case (Kind.COUNT, Number(value=int() as whole)) if within(parameter, whole):
                return whole
            case (Kind.NUMBER, Number(value=number)) if within(parameter, number):
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
                    f"{parameter.name} is {self._wanted(parameter)}, not {shown(value)}"
                    f"{hint(parameter, value)}"
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
        column = self._scope.columns.get(name)
        if column is None and self._scope.sure:
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
            message = f"{self._operator.name} binds a name to a column, not to {shown(value)}"
        else:
            self._known_column(value.value, value.span)
            self._bindings[name] = value.value
            return
        self._report(IgqlNameError, message, span)


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
