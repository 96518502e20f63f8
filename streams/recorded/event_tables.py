"""Data sets of tables: Parquet and CSV files, by a mapping that says what their columns mean."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import ACTION_CODES, ACTION_NAMES, VIEWS, Action
from models.events import Media
from streams.recorded.dataset import Dataset, DatasetError
from streams.recorded.mapping import Mapping, MappingError
from streams.recorded.numbered import EventTable, numbered
from streams.recorded.tables import column_names, identifiers, read_columns, times

_IGNORED: Final = -1


def own_names(path: Path) -> Mapping:
    """The mapping of tables with the house's own names; columns that are not there are left out.

    Raises:
        MappingError: there is no table of events.
    """
    events = path / "events.parquet" if path.is_dir() else path
    if not events.is_file():
        raise MappingError(f"{path} has no events.parquet: give --mapping FILE, see docs/datasets")
    there = column_names(events)
    fields: dict[str, Any] = {"path": events.name, "action": "action"}
    for field, name in (("author", "author_id"), ("long", "long_view"), ("real", "ts_real")):
        fields[field] = name if name in there else ""
    media: dict[str, Any] = {}
    if path.is_dir() and (path / "media.parquet").is_file():
        there = column_names(path / "media.parquet")
        media["path"] = "media.parquet"
        for field, name in (
            ("author", "author_id"), ("created", "created_ts"), ("topics", "tags"),
            ("language", "language"),
        ):  # fmt: skip
            media[field] = name if name in there else ""
    return msgspec.convert({"events": fields, "media": media}, Mapping)


def from_tables(data: Path, told: Path, mapping: Mapping) -> Dataset:
    """The data set of a table or of a folder of them.

    Args:
        data: where the tables are.
        told: what names the data set where the mapping does not.
        mapping: what the columns mean.

    Raises:
        DatasetError: there are no events, or a row lacks a name.
        MappingError, TableError: see there.
    """
    events = mapping.events
    if data.is_file():
        paths = [data]
    else:
        paths = [data / p for p in ([events.path] if isinstance(events.path, str) else events.path)]
    columns = {
        "ts": events.ts, "viewer": events.viewer, "media": events.media, "author": events.author,
        "action": events.action, "rating": events.rating, "long": events.long, "real": events.real,
    }  # fmt: skip
    found = read_columns(paths, columns)
    ts_n = times(found["ts"], events.ts_unit, f"column {events.ts!r}")
    viewers = identifiers(found["viewer"], "viewer")
    media = identifiers(found["media"], "media")
    authors = identifiers(found.get("author", [None] * len(ts_n)), "author")
    action_n = _actions(found, mapping, len(ts_n))
    if "long" in found:
        long_n = np.array([bool(value) for value in found["long"]], np.bool_)
        action_n[(action_n == Action.VIEW) & long_n] = Action.LONG_VIEW
    for name, column in (("viewer", viewers), ("media", media)):
        if None in column:
            raise DatasetError(
                f"{paths[0].name} has a row without a {name} (row {column.index(None)}); "
                "take such rows out"
            )
    real_from_ms = 0
    if "real" in found:
        real_n = np.array([bool(value) for value in found["real"]], np.bool_)
        real_from_ms = int(ts_n[real_n].min()) if real_n.any() else 0
    table = EventTable(
        ts_n, [str(v) for v in viewers], [str(m) for m in media], authors, action_n,
        np.zeros(len(ts_n), np.bool_), [str(n) for n in range(len(ts_n))],
    )  # fmt: skip
    table = table.take(np.flatnonzero(action_n != _IGNORED))
    if events.viewed:
        table = _viewed(table)
    records, files = {}, list(paths)
    if mapping.media.path and not data.is_file():
        files.append(data / mapping.media.path)
        records = _media(files[-1], mapping)
    digest = blake2b(msgspec.json.encode(mapping), digest_size=8)
    for file in files:
        digest.update(file.read_bytes())
    return numbered(
        mapping.name or told.stem, table, records, [], mapping.missing_author, real_from_ms,
        mapping.split, digest.hexdigest(),
    )  # fmt: skip


def _actions(found: dict[str, list[Any]], mapping: Mapping, rows: int) -> NDArray[np.int8]:
    events = mapping.events
    if events.always is not None:
        return np.full(rows, ACTION_CODES.get(events.always, _IGNORED), np.int8)
    if "rating" in found:
        steps = sorted(mapping.ratings, key=lambda step: step.at_least)
        codes = np.array(
            [_IGNORED, *(ACTION_CODES.get(step.action, _IGNORED) for step in steps)], np.int8
        )
        rating_n = np.array(found["rating"], np.float64)
        place_n = np.searchsorted([step.at_least for step in steps], rating_n, side="right")
        taken: NDArray[np.int8] = codes[place_n]
        return taken
    names = {name: name for name in ACTION_NAMES} | dict(mapping.actions)
    texts = [str(value) for value in found["action"]]
    unknown = sorted(set(texts) - set(names))
    if unknown:
        raise MappingError(
            f"column {events.action!r} has {unknown[0]!r}, which the mapping does not know; "
            'say what it means under [actions], or "ignore"'
        )
    return np.array([ACTION_CODES.get(names[text], _IGNORED) for text in texts], np.int8)


def _viewed(table: EventTable) -> EventTable:
    """A view before each event that is none."""
    told_n = ~np.isin(table.action_n, VIEWS)
    both = np.concatenate([np.flatnonzero(told_n), np.arange(len(table.ts_n))])
    doubled = table.take(both)
    views = int(told_n.sum())
    doubled.action_n[:views] = Action.VIEW
    doubled.ids[:views] = [f"{name}-view" for name in doubled.ids[:views]]
    return doubled


def _media(path: Path, mapping: Mapping) -> dict[str, Media]:
    columns = mapping.media
    found = read_columns(
        [path],
        {
            "media": columns.media, "author": columns.author, "created": columns.created,
            "topics": columns.topics, "language": columns.language,
        },
    )  # fmt: skip
    rows = len(found["media"])
    none: list[None] = [None] * rows
    created = found.get("created", none)
    known = [value if value is not None else 0 for value in created]
    unit = columns.created_unit if columns.created else "ms"
    created_n = times(known, unit, f"column {columns.created!r}").tolist()
    records = {}
    for media, author, at_ms, given, topics, language in zip(
        identifiers(found["media"], "media"),
        identifiers(found.get("author", none), "author"),
        created_n,
        created,
        found.get("topics", none),
        identifiers(found.get("language", none), "language"),
        strict=True,
    ):
        if media is not None:
            words = str(topics).split(columns.separator) if topics else []
            records[media] = Media(
                media, author or "", int(at_ms) if given is not None else -1,
                topics=tuple(word.strip() for word in words if word.strip()), language=language,
            )  # fmt: skip
    return records
