"""From names to numbers: events of a file, in the order of time, as a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluation.event_log import EventLog
from models.events import MAX_ID_BYTES, MIN_TS_MS, Account, Media
from streams.recorded.dataset import Dataset, DatasetError

#: An author of a media that nobody names one of; no id that a log has may begin so.
OWN: Final = "own:"


@dataclass(slots=True)
class EventTable:
    """Events as a file tells them, in any order; ids are text, nothing is numbered yet.

    Attributes:
        ts_n: epoch ms.
        action_n, undo_n: what was done, and whether it was taken back.
        ids: of each event.
    """

    ts_n: NDArray[np.int64]
    viewers: list[str]
    media: list[str]
    authors: list[str | None]
    action_n: NDArray[np.int8]
    undo_n: NDArray[np.bool_]
    ids: list[str]

    def take(self, at: NDArray[np.integer]) -> EventTable:
        """These events, in this order."""
        rows = at.tolist()
        return EventTable(
            self.ts_n[at],
            [self.viewers[n] for n in rows],
            [self.media[n] for n in rows],
            [self.authors[n] for n in rows],
            self.action_n[at],
            self.undo_n[at],
            [self.ids[n] for n in rows],
        )


def numbered(
    name: str,
    table: EventTable,
    records: dict[str, Media],
    accounts: list[Account],
    missing_author: str,
    real_from_ms: int,
    split: str,
    digest: str,
) -> Dataset:
    """The data set that events and a catalogue make.

    Args:
        name, real_from_ms, split, digest: as :class:`Dataset` has them.
        missing_author: ``own`` or ``drop``, for media of which nobody names an author.

    Raises:
        DatasetError: there are no events, or an id or a time cannot be.
    """
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


def _check(name: str, table: EventTable) -> None:
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


def _ids(table: EventTable) -> Iterator[tuple[str, set[str]]]:
    yield "viewer", set(table.viewers)
    yield "media", set(table.media)
    yield "author", {author for author in table.authors if author is not None} | {""}


def _standing(
    table: EventTable, viewer_n: NDArray[np.int32], media_n: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Which events are no undo and have none."""
    if not table.undo_n.any():
        return np.ones(len(viewer_n), np.bool_)
    keys = list(zip(viewer_n.tolist(), media_n.tolist(), table.action_n.tolist(), strict=True))
    undone = {key for key, undo in zip(keys, table.undo_n.tolist(), strict=True) if undo}
    return np.array([key not in undone for key in keys], np.bool_)
