"""Operators: their names, types, parameters, cost and kernels. New ones come from user code.

An operator takes one set and gives one. The checker reads the declaration, the planner the cost
and whether it only removes rows, the executor calls the kernel. Declaring and implementing is one
decorator in user code as in :mod:`models.igql.library`::

    @operators.register(
        takes=SetType.VIEWER,
        gives=SetType.MEDIA,
        parameters=(count("max_num_to_retrieve", default=100, most=1000),),
        cost=lambda rows, arguments: Cost(rows * arguments["max_num_to_retrieve"], 50.0),
    )
    def nearby(execution, viewers, arguments):
        \"\"\"Media posted near the viewer.\"\"\"

Errors::

    ValueError
    └── RegistryError     a declaration that cannot be: the name is taken, a default out of range,
                          a kernel that cannot be called, an addition to the built-in operators
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from inspect import signature
from typing import Any, Final

ArgumentValue = Any
Arguments = Mapping[str, ArgumentValue]
#: (execution, input set, arguments) → output set; the types are of :mod:`models.igql.execution` and
#: :mod:`models.igql.sets`. Of an operator that only removes rows: → mask of the rows kept.
Kernel = Callable[[Any, Any, Arguments], Any]


class RegistryError(ValueError):
    """An operator that cannot be registered."""


class SetType(Enum):
    """What an operator takes or gives."""

    VIEWER = "viewer"
    ACCOUNTS = "accounts"
    MEDIA = "media"


class ColumnType(Enum):
    """What the values of a column are, and so what it may be compared with."""

    NUMBER = "a number"
    TEXT = "a text"
    #: A media, account or viewer; compared with its id as a text, for equality only.
    ID = "an id"


class Kind(Enum):
    """What a parameter accepts; the value is how errors say it."""

    COUNT = "a whole number"
    NUMBER = "a number"
    FLAG = "true or false"
    TEXT = "a text in quotes"
    CHOICE = "one of its choices"
    #: A name the environment knows: ``names`` of the parameter says which ones.
    NAME = "a name"
    #: A column of the set: a built-in one or one bound by ``let``.
    COLUMN = "a column"
    #: Any number of unnamed predicates on columns and features (``filter``).
    PREDICATES = "predicates"
    #: Any number of ``new_name=column`` (``let``).
    BINDINGS = "bindings"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operator.

    Attributes:
        default: used where the argument is left out; ``None`` with ``required`` false means
            "not given", and the kernel sees ``None``.
        low, high: bounds of counts and numbers, both included.
        choices: of a choice.
        names: which names a NAME accepts: "embedding" or "model", looked up in the environment.
        column_types: what a COLUMN may be; empty for any.
    """

    name: str
    kind: Kind
    default: ArgumentValue = None
    required: bool = False
    low: float = float("-inf")
    high: float = float("inf")
    choices: tuple[str, ...] = ()
    names: str = ""
    column_types: tuple[ColumnType, ...] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operator gives at most and takes about, for one viewer."""

    rows: float
    microseconds: float


CostRule = Callable[[float, Arguments], Cost]


@dataclass(frozen=True, slots=True)
class GivesWay:
    """When an exclusion lets through what it would keep out.

    It does for viewers of whom fewer media are found than a grid has, after those of a lower order,
    and one of order :data:`LAST` only where nothing at all is found.

    Attributes:
        order: from 1.
        arguments: that take the place of those given; without any it lets everything through.
    """

    order: int
    arguments: Arguments | None = None


#: The exclusion that gives way only before an empty grid.
LAST: Final = 3


@dataclass(frozen=True, slots=True)
class Operator:
    """A declared operator.

    Attributes:
        removes_only: it keeps rows as they are and drops some, each judged for itself, so it may
            be moved towards the sources.
        source: it brings media in; the name is the candidates' provenance.
        keeps: further set types that it takes; it gives the type that it took (``let``, ``take``).
        limit: the count that says how many media a source gives a viewer. Asked for more, a source
            gives the same media first, so the planner may raise it and filter what comes.
        depth: the same for the media of each author.
        gives_way: of one that only removes rows, None where it always does.
    """

    name: str
    takes: SetType
    gives: SetType
    parameters: tuple[Parameter, ...]
    cost: CostRule
    kernel: Kernel
    summary: str
    removes_only: bool = False
    source: bool = False
    keeps: tuple[SetType, ...] = ()
    limit: str = ""
    depth: str = ""
    gives_way: GivesWay | None = None

    def given(self, taken: SetType) -> SetType | None:
        """The type it gives for a set of type `taken`, ``None`` if it does not take that."""
        if taken is self.takes:
            return self.gives
        return taken if taken in self.keeps else None

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of this name, ``None`` if there is none."""
        return next((p for p in self.parameters if p.name == name), None)


class Registry:
    """The operators that queries may use, by name."""

    def __init__(self) -> None:
        self._operators: dict[str, Operator] = {}
        self._complete = False

    def register(
        self,
        *,
        takes: SetType,
        gives: SetType,
        cost: CostRule,
        parameters: tuple[Parameter, ...] = (),
        name: str = "",
        removes_only: bool = False,
        source: bool = False,
        keeps: tuple[SetType, ...] = (),
        limit: str = "",
        depth: str = "",
        gives_way: GivesWay | None = None,
    ) -> Callable[[Kernel], Kernel]:
        """Declare the decorated function as the kernel of an operator.

        Args:
            name: defaults to the function's.

        Raises:
            RegistryError: the name is taken or no identifier, two parameters share a name, a
                default is outside its bounds, the function has no docstring (its first sentence
                is the operator's summary) or cannot be called as a kernel, `limit` or `depth`
                names no count, or the types do not fit what it is said to be.
        """

        def decorate(kernel: Kernel) -> Kernel:
            called = name or getattr(kernel, "__name__", "")
            self.add(
                Operator(
                    called, takes, gives, parameters, cost, kernel,
                    _summary(kernel), removes_only, source,
                    keeps, limit, depth, gives_way,
                )
            )  # fmt: skip
            return kernel

        return decorate

    def add(self, operator: Operator) -> None:
        """Add a declared operator; errors as :meth:`register`."""
        if self._complete:
            raise RegistryError(
                f"operator {operator.name!r} is added to the built-in ones: add it to a copy, "
                "operators.copy()"
            )
        _check(operator)
        if operator.name in self._operators:
            raise RegistryError(f"operator {operator.name!r} exists already: choose another name")
        self._operators[operator.name] = operator

    def complete(self) -> None:
        """Take no more operators: from now on one adds to copies."""
        self._complete = True

    def copy(self) -> Registry:
        """A registry to add to without changing this one."""
        other = Registry()
        other._operators = dict(self._operators)
        return other

    def get(self, name: str) -> Operator | None:
        """The operator of this name, ``None`` if there is none."""
        return self._operators.get(name)

    def __contains__(self, operator: Operator) -> bool:
        return self._operators.get(operator.name) is operator

    def __iter__(self) -> Iterator[Operator]:
        return iter(self._operators.values())

    def __len__(self) -> int:
        return len(self._operators)


#: Words that the grammar needs for itself.
RESERVED: Final = frozenset({"user", "blend", "true", "false", "and", "or", "not"})


def _summary(kernel: Kernel) -> str:
    paragraph = (kernel.__doc__ or "").strip().partition("\n\n")[0]
    sentence, stop, _ = " ".join(paragraph.split()).partition(". ")
    return sentence + stop.strip()


def _check(operator: Operator) -> None:
    name = operator.name
    if not (name.isidentifier() and name.isascii()) or name in RESERVED:
        raise RegistryError(f"operator name {name!r} is no free identifier: choose another one")
    if not operator.summary:
        raise RegistryError(
            f"operator {name!r} has no docstring: its first sentence is its summary"
        )
    names = [parameter.name for parameter in operator.parameters]
    if len(names) != len(set(names)):
        raise RegistryError(f"operator {name!r} has two parameters of one name: {names}")
    _check_types(operator)
    for what, called, count in (
        ("the kernel (execution, set, arguments)", operator.kernel, 3),
        ("the cost (rows, arguments)", operator.cost, 2),
    ):
        if not _takes(called, count):
            raise RegistryError(f"operator {name!r}: {what} cannot be called so: it is {called!r}")
    for parameter in operator.parameters:
        default = parameter.default
        wrong = (
            isinstance(default, int | float)
            and not isinstance(default, bool)
            and not parameter.low <= default <= parameter.high
        ) or (parameter.kind is Kind.CHOICE and default not in (None, *parameter.choices))
        if wrong:
            raise RegistryError(
                f"parameter {parameter.name!r} of operator {name!r} has default {default!r}, "
                "which it does not accept itself"
            )


def _check_types(operator: Operator) -> None:
    name = operator.name
    given: tuple[object, ...] = (operator.takes, operator.gives, *operator.keeps)
    for of in given:
        if not isinstance(of, SetType):
            raise RegistryError(f"operator {name!r} takes or gives {of!r}: give a SetType")
    if operator.removes_only and operator.gives is not operator.takes:
        raise RegistryError(
            f"operator {name!r} only removes rows, yet turns {operator.takes.value} into "
            f"{operator.gives.value}: leave removes_only out, or give what it takes"
        )
    if operator.gives_way is not None and not operator.removes_only:
        raise RegistryError(
            f"operator {name!r} gives way, yet does not only remove rows: leave gives_way out"
        )
    if operator.source and (operator.removes_only or operator.gives is SetType.VIEWER):
        raise RegistryError(
            f"operator {name!r} is a source, yet brings nothing in: leave source=True out"
        )
    for said, counted in (("limit", operator.limit), ("depth", operator.depth)):
        parameter = operator.parameter(counted)
        if counted and (parameter is None or parameter.kind is not Kind.COUNT):
            raise RegistryError(
                f"{said} of operator {name!r} is {counted!r}, which is no count among its "
                f"parameters: declare count({counted!r}, …)"
            )


def _takes(called: object, count: int) -> bool:
    """Whether so many arguments can be given; what has no signature is believed to take them."""
    if not callable(called):
        return False
    try:
        signature(called).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def count(name: str, *, default: int | None = None, most: int = 10_000) -> Parameter:
    """A whole number from 1 to `most`; required without a default."""
    return Parameter(name, Kind.COUNT, default, default is None, 1, most)


def number(
    name: str,
    *,
    default: float | None = None,
    low: float = float("-inf"),
    high: float = float("inf"),
) -> Parameter:
    """An optional number in [low, high]."""
    return Parameter(name, Kind.NUMBER, default, False, low, high)


def choice(name: str, choices: tuple[str, ...], *, default: str) -> Parameter:
    """A parameter that takes one of `choices`."""
    return Parameter(name, Kind.CHOICE, default, choices=choices)


def named(name: str, names: str, *, default: str = "default") -> Parameter:
    """A name of an embedding or a model that the environment knows."""
    return Parameter(name, Kind.NAME, default, names=names)
