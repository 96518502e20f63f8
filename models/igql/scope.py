"""What names mean at one point of a chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from models.igql.contradictions import Knowledge
from models.igql.environment import Column, Environment
from models.igql.errors import did_you_mean
from models.igql.registry import SetType

#: How messages call the sets.
CALLED: Final = {
    SetType.VIEWER: "the viewer",
    SetType.ACCOUNTS: "accounts",
    SetType.MEDIA: "media",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """The set at one point of a chain.

    Attributes:
        type: ``None`` behind a call that was not understood.
        columns: all by name, those bound by ``let`` among them.
        bound: those that ``let`` bound.
        partly: names bound in some branches of the blend only.
        known: what filters of this chain let through.
        sure: every call before was understood, so a column that is not there is unknown.
    """

    type: SetType | None
    columns: Mapping[str, Column]
    bound: Mapping[str, Column] = field(default_factory=dict)
    partly: frozenset[str] = frozenset()
    known: Knowledge = field(default_factory=dict)
    sure: bool = True

    def to(self, of: SetType | None, environment: Environment) -> Scope:
        """The scope behind an operator that gives a set of type `of`."""
        if of is None:
            return replace(self, type=None)
        if of is self.type:
            kept = {
                name: known
                for name, known in self.known.items()
                if name in self.columns and not self.columns[name].changes
            }
            return replace(self, known=kept)
        columns = {**environment.columns_of(of), **self.bound}
        return Scope(of, columns, self.bound, self.partly, sure=self.sure)

    def bind(self, bindings: tuple[tuple[str, str], ...]) -> Scope:
        """The scope with new names for columns; unknown columns are left out."""
        new = {
            name: replace(self.columns[column], name=name)
            for name, column in bindings
            if column in self.columns
        }
        return replace(self, columns={**self.columns, **new}, bound={**self.bound, **new})

    def unknown_column(self, name: str) -> str:
        """What to say of a column that is not there."""
        if name in self.partly:
            return f"{name} is bound in some branches of the blend only: bind it in each of them"
        assert self.type is not None
        message = f"{name} is no column of {CALLED[self.type]}"
        return message + did_you_mean(name, self.columns, "it has")
