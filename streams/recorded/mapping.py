"""What the columns of somebody's tables mean: a small TOML, so that no code need be written.

Every field has a default, the house's own name, so that tables with those names need no mapping.
``docs/evaluation.md`` documents it for readers; ``docs/datasets`` has examples.

Errors::

    FreshgridError
    └── MappingError   the TOML cannot be read, or names something that is not there
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from infra.errors import FreshgridError
from models.actions import ACTION_NAMES

#: What a name of an action may stand for; ``ignore`` leaves such rows out.
IGNORE: Final = "ignore"
ActionName = Annotated[str, msgspec.Meta(pattern=f"^({'|'.join((*ACTION_NAMES, IGNORE))})$")]
Unit = Literal["ms", "s", "us", "iso"]


class MappingError(FreshgridError):
    """A mapping cannot be read, or names a file or a column that is not there."""


class RatingStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From this rating on it is that action, up to the next step."""

    at_least: float
    action: ActionName


class EventColumns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table of events.

    Attributes:
        path: files, Parquet or CSV, relative to DATA.
        ts, ts_unit: event time, and what it counts (``iso`` for text).
        viewer, media: ids; numbers are taken as text.
        author: id of the media's author; empty where there is none.
        action: names of actions; empty where `always` or `rating` says it.
        always: every row is this action.
        rating: column of numbers that `ratings` tells actions from.
        long: column that says whether a view was a long one; empty where none does.
        real: column that says whether the time is that of the event; false is history, of which
            only the order is known. Empty where all are.
        viewed: every event is also a view of the media, just before it.
    """

    path: str | list[str] = "events.parquet"
    ts: str = "ts"
    ts_unit: Unit = "ms"
    viewer: str = "viewer_id"
    media: str = "media_id"
    author: str = ""
    action: str = ""
    always: ActionName | None = None
    rating: str = ""
    long: str = ""
    real: str = ""
    viewed: bool = False


class MediaColumns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table of media; empty names are columns that there are not.

    Attributes:
        path: one file, empty where there is no such table.
        created, created_unit: when it was posted. It is in the inventory from then on, or from its
            first event, whichever is earlier; where nothing is said, from its first event.
        topics, separator: topics in one text.
    """

    path: str = ""
    media: str = "media_id"
    author: str = ""
    created: str = ""
    created_unit: Unit = "ms"
    topics: str = ""
    separator: str = ","
    language: str = ""


class Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A data set.

    Attributes:
        name: for the figures; the name of DATA where empty.
        actions: their names of actions → ours; what is not named means what it says.
        ratings: steps of `events.rating`, from the lowest.
        missing_author: what becomes of a media that nobody names an author of. ``own``: it is by
            itself, so ig2vec learns media. ``drop``: its events are left out.
        split: where the test period begins, as ``--split`` takes it; by default the last 15 % of
            the events are the test.
    """

    name: str = ""
    events: EventColumns = EventColumns()
    media: MediaColumns = MediaColumns()
    actions: dict[str, ActionName] = {}
    ratings: list[RatingStep] = []
    missing_author: Literal["own", "drop"] = "own"
    split: str = ""


def read_mapping(path: Path) -> Mapping:
    """Read a mapping.

    Raises:
        MappingError: it cannot be read, or says something that is not understood.
    """
    try:
        mapping = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Mapping)
    except OSError as error:
        raise MappingError(f"cannot read mapping {path}: {error}") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise MappingError(f"mapping {path}: {error}; docs/evaluation.md lists its keys") from error
    said = [bool(mapping.events.action), mapping.events.always is not None]
    if sum([*said, bool(mapping.events.rating)]) != 1:
        raise MappingError(
            f"mapping {path}: give exactly one of events.action, events.always and events.rating"
        )
    if bool(mapping.events.rating) != bool(mapping.ratings):
        raise MappingError(f"mapping {path}: events.rating and [[ratings]] need each other")
    return mapping
