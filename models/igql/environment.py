"""What a query is checked against: operators, names, columns and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from models.feature_schema import FEATURES
from models.igql.registry import ColumnType, Registry, SetType


@dataclass(frozen=True, slots=True)
class Column:
    """A column that predicates, ``let`` and ``diversify_by`` may name.

    Attributes:
        low, high: every value lies between them; a predicate outside lets nothing through.
        values: the texts that may occur; empty for any.
        feature: a dense feature, assembled only where a query asks for it.
        changes: operators that keep the rows may give them another value.
    """

    name: str
    type: ColumnType
    meaning: str
    low: float = float("-inf")
    high: float = float("inf")
    values: tuple[str, ...] = ()
    feature: bool = False
    changes: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may cost for one viewer, by the operators' own declarations."""

    rows: float = 200_000.0
    microseconds: float = 50_000.0


def _number(name: str, meaning: str, low: float, high: float = float("inf")) -> Column:
    return Column(name, ColumnType.NUMBER, meaning, low, high)


def _id(name: str, meaning: str) -> Column:
    return Column(name, ColumnType.ID, meaning)


_PROVENANCE: Final = (
    _id("seed", "the seed account: the author of what the viewer liked, the followed account"),
    Column(
        "score", ColumnType.NUMBER, "the score that the last source or ranker gave", changes=True
    ),
)

#: Columns that every set of a type has.
COLUMNS: Final[Mapping[SetType, tuple[Column, ...]]] = {
    SetType.VIEWER: (_id("user_id", "the viewer"),),
    SetType.ACCOUNTS: (_id("user_id", "the account"), *_PROVENANCE),
    SetType.MEDIA: (
        _id("media_id", "the media"),
        _id("user_id", "the author"),
        *_PROVENANCE,
        _number("rank", "its place at its source, from 0", 0.0),
        Column("source", ColumnType.TEXT, "the operator that brought the media in"),
        _number("media_age_hours", "hours since it was posted", 0.0),
        Column("language", ColumnType.TEXT, 'the language, "" where unknown'),
        Column("topic", ColumnType.TEXT, 'the first topic, "" where unknown'),
        _number("nsfw", "integrity score", 0.0, 1.0),
        _number("spam", "integrity score", 0.0, 1.0),
        _number("misinformation", "integrity score", 0.0, 1.0),
        *(
            Column(f.name, ColumnType.NUMBER, f.meaning, feature=True)
            for f in FEATURES
            if f.kind == "dense" and f.name not in ("nsfw", "spam", "misinformation")
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Environment:
    """What names mean where a query is to run.

    Attributes:
        names: what each sort of NAME may be, e.g. ``{"embedding": ("default",)}``.
        columns: of every set type, beside the ones that ``let`` binds.
    """

    registry: Registry
    names: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"embedding": ("default",), "model": ("default",)}
    )
    columns: Mapping[SetType, tuple[Column, ...]] = field(default_factory=lambda: COLUMNS)
    limits: Limits = Limits()

    def columns_of(self, of: SetType) -> dict[str, Column]:
        """Columns by name; ``source`` knows the sources that are registered."""
        found = {column.name: column for column in self.columns[of]}
        if "source" in found:
            sources = tuple(op.name for op in self.registry if op.source)
            found["source"] = Column(
                "source", ColumnType.TEXT, found["source"].meaning, values=sources
            )
        return found
