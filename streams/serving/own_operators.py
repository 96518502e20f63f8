"""Operators of one's own: modules that the settings or installed packages name.

A module declares its operators in a registry at its top level: one of its own, or a copy of the
built-in one (``docs/igql.md``). What is wrong with a module ends the process at its start, since
a query that names one of its operators could not run.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Final

from infra.config import Settings
from infra.errors import SettingsError
from models.igql.library import operators
from models.igql.registry import Operator, Registry

#: Packages name a module of operators in it: ``any_name = "package.module"``.
ENTRY_POINTS: Final = "freshgrid.igql_operators"


def load_operators(settings: Settings) -> Registry:
    """The built-in operators, those of ``IGQL_OPERATORS``, and those of installed packages.

    Raises:
        SettingsError: a module is not there, raises when it is imported, declares an operator
            that cannot be or none at all, or one by a name that is taken.
    """
    registry, declared_in = operators.copy(), dict[str, str]()
    for name, named_by in _modules(settings).items():
        found = [one for one in _declared(_imported(name, named_by)) if one not in operators]
        if not found:
            raise SettingsError(
                f"{named_by} names the module {name}, which declares no operator; register them "
                "at its top level in a copy of models.igql.library.operators"
            )
        for operator in found:
            if operator in registry:
                continue  # two modules of one package share a registry
            if registry.get(operator.name) is not None:
                by = declared_in.get(operator.name)
                raise SettingsError(
                    f"{named_by} names the module {name}, whose operator {operator.name} "
                    f"{f'the module {by} declares too' if by else 'is built in'}; "
                    "give it another name"
                )
            registry.add(operator)
            declared_in[operator.name] = name
    return registry


def _modules(settings: Settings) -> dict[str, str]:
    """Module → who names it."""
    named = [one.strip() for one in settings.igql_operators.split(",")]
    found = {name: f"IGQL_OPERATORS={settings.igql_operators!r}" for name in named if name}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda one: (one.value, one.name)):
        found.setdefault(point.value, f"the entry point {point.name!r} of {ENTRY_POINTS}")
    return found


def _imported(name: str, named_by: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise SettingsError(
                f"{named_by} names the module {name}, which is not there ({error}); install its "
                "package beside freshgrid, or put its folder into PYTHONPATH"
            ) from error
        raise _broken(name, named_by, error) from error
    except (Exception, SystemExit) as error:  # Whatever user code raises.
        raise _broken(name, named_by, error) from error


def _broken(name: str, named_by: str, error: BaseException) -> SettingsError:
    return SettingsError(
        f"{named_by} names the module {name}, which cannot be imported: {error!r}; correct it, or "
        "leave it out"
    )


def _declared(module: ModuleType) -> Iterator[Operator]:
    for value in vars(module).values():
        if isinstance(value, Registry):
            yield from value
