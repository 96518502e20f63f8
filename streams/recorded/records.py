"""Data sets of JSON lines: records as they go to Kafka."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import numpy as np

from models.actions import MEDIA_EVENT_TOPICS, Action, action_in
from models.events import (
    ACCOUNTS_TOPIC,
    MEDIA_TOPIC,
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
from streams.recorded.dataset import Dataset, DatasetError
from streams.recorded.numbered import EventTable, numbered


def from_records(path: Path) -> Dataset:
    """The data set of a file of JSON lines.

    Raises:
        DatasetError: there are no events, or a record cannot be applied.
        FixtureError: a line is no record.
    """
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
    table = EventTable(
        ts_n=np.array([row[0] for row in rows], np.int64),
        viewers=[row[2].viewer_id for row in rows],
        media=[row[2].media_id for row in rows],
        authors=[row[2].author_id for row in rows],
        action_n=np.array([row[3] for row in rows], np.int8),
        undo_n=np.array([row[2].undo for row in rows], np.bool_),
        ids=[row[1] for row in rows],
    )
    digest = blake2b(path.read_bytes(), digest_size=8).hexdigest()
    return numbered(path.name, table, media, list(accounts.values()), "own", 0, "", digest)
