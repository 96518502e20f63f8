"""A recorded log to evaluate grids on: events, media and accounts, from JSON lines or tables.

Errors::

    FreshgridError
    └── DatasetError   there is nothing to evaluate on, or a record cannot be applied
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.errors import FreshgridError
from models.actions import ACTION_CODES, ACTION_NAMES, MEDIA_EVENT_TOPICS, VIEWS, Action, action_in
from models.evaluation.event_log import EventLog
from models.events import (
    ACCOUNTS_TOPIC,
    MAX_ID_BYTES,
    MEDIA_TOPIC,
    MIN_TS_MS,
    Account,
    InvalidEventError,
    Media,
    MediaEvent,
    parse_account,
    parse_event,
    parse_media,
)
from streams.clock import now_ms
from streams.log.replay import read_fixture
from streams.recorded.mapping import Mapping, MappingError, read_mapping
from streams.recorded.tables import column_names, identifiers, read_columns, times

#: An author of a media that nobody names one of; no id that a log has may begin so.
OWN: Final = "own:"
_IGNORED: Final = -1


class DatasetError(FreshgridError):
    """There is nothing to evaluate on, or a record cannot be applied."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A recorded log with its names.

    Attributes:
        name: for the figures.
        log: the events; media and authors without a place in the catalogue included.
        event_ids: of each event.
        viewer_ids, media_ids, author_ids: by number.
        records: of the media that a catalogue tells of, by number of the media.
        accounts: what a catalogue tells of accounts.
        real_from_ms: event times are real from here on.
        split: where the test period begins unless somebody says otherwise; empty for by share.
        digest: a hash of everything that was read.
    """

    name: str
    log: EventLog
    event_ids: list[str]
    viewer_ids: list[str]
    media_ids: list[str]
    author_ids: list[str]
    records: dict[int, Media]
    accounts: list[Account]
    real_from_ms: int
    split: str
    digest: str

    def catalogue(self, since_ms: int, until_ms: int) -> list[Media]:
        """The media that came into the inventory in a time."""
        created_m = self.log.created_m
        rows = np.flatnonzero((created_m >= since_ms) & (created_m < until_ms)).tolist()
        return [self.record(m) for m in rows]

    def record(self, m: int) -> Media:
        """A media as the catalogue tells it."""
        author = self.author_ids[int(self.log.author_m[m])]
        created_ms = max(int(self.log.created_m[m]), 0)
        found = self.records.get(m)
        if found is None:
            return Media(self.media_ids[m], author, created_ms)
        return msgspec.structs.replace(found, author_id=author, created_ts=created_ms)

    def observed(
        self, rows: Sequence[int] | NDArray[np.integer]
    ) -> list[tuple[Action, MediaEvent]]:
        """These events as they would arrive."""
        at = np.asarray(rows, np.int64)
        log = self.log
        media_n = log.media_n[at]
        columns = zip(
            at.tolist(), log.ts_n[at].tolist(), log.viewer_n[at].tolist(), media_n.tolist(),
            log.author_m[media_n].tolist(), log.action_n[at].tolist(), log.undo_n[at].tolist(),
            strict=True,
        )  # fmt: skip
        return [
            (
                Action(action),
                MediaEvent(
                    self.event_ids[n], self.viewer_ids[v], self.media_ids[m], ts,
                    self.author_ids[a], undo=undo,
                ),
            )
            for n, ts, v, m, a, action, undo in columns
        ]  # fmt: skip


def read_dataset(path: Path, mapping: Path | None = None) -> Dataset:
    """Read a data set.

    Args:
        path: JSON lines as fixtures have them; a Parquet or CSV file; a folder; or a mapping.
        mapping: what the columns mean; without one they have the house's own names.

    Raises:
        DatasetError: there are no events, or a record cannot be applied.
        MappingError, TableError, FixtureError: see there.
    """
    if path.is_file() and path.name.endswith((".jsonl", ".jsonl.gz", ".json", ".json.gz")):
        if mapping is not None:
            raise MappingError(
                f"{path.name} holds records as they go to Kafka: leave out --mapping"
            )
        return _from_records(path)
    if path.suffix == ".toml":
        if mapping is not None:
            raise MappingError(f"{path.name} is a mapping itself: leave out --mapping")
        return _from_tables(path.parent, path, read_mapping(path))
    if mapping is not None:
        return _from_tables(path, path, read_mapping(mapping))
    return _from_tables(path, path, _own_names(path))


def _own_names(path: Path) -> Mapping:
    """The mapping of tables with the house's own names; columns that are not there are left out."""
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


def _from_records(path: Path) -> Dataset:
    media: dict[str, Media] = {}
    accounts: dict[str, Account] = {}
    rows: list[tuple[int, str, MediaEvent, Action]] = []
    wall_ms = now_ms()
    for line in read_fixture(path):
        try:
            if line.topic == MEDIA_TOPIC:
                record = parse_media(line.value, now_ms())
                media[record.media_id] = record
            elif line.topic == ACCOUNTS_TOPIC:
                account = parse_account(line.value)
                accounts[account.account_id] = account
            elif line.topic in MEDIA_EVENT_TOPICS:
                event = parse_event(line.topic, line.value, wall_ms)
                if isinstance(event, MediaEvent):
                    rows.append(
                        (event.ts, event.event_id, event, action_in(line.topic, event.long))
                    )
        except InvalidEventError as error:
            raise DatasetError(
                f"{path} has a record of {line.topic} that cannot be applied: {error}"
            ) from error
    rows.sort(key=lambda row: row[:2])
    table = _Events(
        ts_n=np.array([row[0] for row in rows], np.int64),
        viewers=[row[2].viewer_id for row in rows],
        media=[row[2].media_id for row in rows],
        authors=[row[2].author_id for row in rows],
        action_n=np.array([row[3] for row in rows], np.int8),
        undo_n=np.array([row[2].undo for row in rows], np.bool_),
        ids=[row[1] for row in rows],
    )
    digest = blake2b(path.read_bytes(), digest_size=8).hexdigest()
    return _dataset(path.name, table, media, list(accounts.values()), "own", 0, "", digest)


@dataclass(slots=True)
class _Events:
    ts_n: NDArray[np.int64]
    viewers: list[str]
    media: list[str]
    authors: list[str | None]
    action_n: NDArray[np.int8]
    undo_n: NDArray[np.bool_]
    ids: list[str]

    def take(self, at: NDArray[np.integer]) -> _Events:
        rows = at.tolist()
        return _Events(
            self.ts_n[at],
            [self.viewers[n] for n in rows],
            [self.media[n] for n in rows],
            [self.authors[n] for n in rows],
            self.action_n[at],
            self.undo_n[at],
            [self.ids[n] for n in rows],
        )


def _from_tables(data: Path, told: Path, mapping: Mapping) -> Dataset:
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
    table = _Events(
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
    return _dataset(
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


def _viewed(table: _Events) -> _Events:
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


def _dataset(
    name: str,
    table: _Events,
    records: dict[str, Media],
    accounts: list[Account],
    missing_author: str,
    real_from_ms: int,
    split: str,
    digest: str,
) -> Dataset:
    _check(name, table)
    table = table.take(np.argsort(table.ts_n, kind="stable"))
    media_numbers: dict[str, int] = {}
    for media in (*records, *table.media):
        media_numbers.setdefault(media, len(media_numbers))
    authors = {m: record.author_id for m, record in records.items() if record.author_id}
    for media, author in zip(table.media, table.authors, strict=True):
        if author is not None:
            authors.setdefault(media, author)
    if missing_author == "drop":
        known = [n for n, media in enumerate(table.media) if media in authors]
        if not known:
            raise DatasetError(
                f'{name}: no media has an author, and missing_author = "drop" leaves none; '
                'say missing_author = "own", and each media counts as its own'
            )
        table = table.take(np.array(known, np.int64))
    media_ids = [m for m in media_numbers if m in authors or missing_author == "own"]
    media_numbers = {media: number for number, media in enumerate(media_ids)}
    author_numbers: dict[str, int] = {}
    author_m = np.array(
        [
            author_numbers.setdefault(authors.get(media, f"{OWN}{media}"), len(author_numbers))
            for media in media_ids
        ],
        np.int32,
    )
    viewer_numbers: dict[str, int] = {}
    viewer_n = np.array(
        [viewer_numbers.setdefault(v, len(viewer_numbers)) for v in table.viewers], np.int32
    )
    media_n = np.array([media_numbers[m] for m in table.media], np.int32)
    created_m = np.full(len(media_ids), np.iinfo(np.int64).max, np.int64)
    np.minimum.at(created_m, media_n, table.ts_n)
    for media, record in records.items():
        if media in media_numbers and record.created_ts >= 0:
            number = media_numbers[media]
            created_m[number] = min(created_m[number], record.created_ts)
    return Dataset(
        name=name,
        log=EventLog(
            ts_n=table.ts_n,
            viewer_n=viewer_n,
            media_n=media_n,
            action_n=table.action_n,
            undo_n=table.undo_n,
            standing_n=_standing(table, viewer_n, media_n),
            viewers=len(viewer_numbers),
            author_m=author_m,
            created_m=created_m,
        ),
        event_ids=table.ids,
        viewer_ids=list(viewer_numbers),
        media_ids=media_ids,
        author_ids=list(author_numbers),
        records={media_numbers[m]: r for m, r in records.items() if m in media_numbers},
        accounts=accounts,
        real_from_ms=real_from_ms,
        split=split,
        digest=digest,
    )


def _check(name: str, table: _Events) -> None:
    if not len(table.ts_n):
        raise DatasetError(f"{name} has no events; give a log of views and other actions")
    oldest = int(table.ts_n.min())
    if oldest < MIN_TS_MS:
        hint = 'seconds? say ts_unit = "s"' if oldest > 10**8 else "is the unit of the times right?"
        raise DatasetError(f"{name} has an event at {oldest}, before 2010: {hint}")
    for what, ids in _ids(table):
        longest = max(ids, key=len)
        if len(longest.encode()) > MAX_ID_BYTES:
            raise DatasetError(
                f"{name}: {what} id {longest[:24]!r}… has {len(longest.encode())} bytes; "
                f"at most {MAX_ID_BYTES} are accepted"
            )


def _ids(table: _Events) -> Iterator[tuple[str, set[str]]]:
    yield "viewer", set(table.viewers)
    yield "media", set(table.media)
    yield "author", {author for author in table.authors if author is not None} | {""}


def _standing(
    table: _Events, viewer_n: NDArray[np.int32], media_n: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Which events are no undo and have none."""
    if not table.undo_n.any():
        return np.ones(len(viewer_n), np.bool_)
    keys = list(zip(viewer_n.tolist(), media_n.tolist(), table.action_n.tolist(), strict=True))
    undone = {key for key, undo in zip(keys, table.undo_n.tolist(), strict=True) if undo}
    return np.array([key not in undone for key in keys], np.bool_)
