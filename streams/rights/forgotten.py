"""``explore.forgotten``: who is to be forgotten, told to every process and to every rebuild.

The topic is compacted and holds pseudonyms: it outlives Redis, so that a rebuild brings nobody back
whom it does not name. Every role reads it whole before it looks at anything of a viewer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from infra.config import Settings
from infra.kafka import ClusterInfo, Message
from infra.log_reader import LogReader
from infra.metrics import FORGOTTEN_EVENTS
from infra.topics import FORGOTTEN_TOPIC
from models.events import check, check_times, decode_value
from models.viewers.forgotten import PSEUDONYM, Forgotten, ForgottenViewers
from streams.records import Record, Refuse, read_records, skip

R = TypeVar("R", bound=Record)

_encode = msgspec.json.Encoder().encode
_forgotten = msgspec.json.Decoder(Forgotten)


def forgotten_message(said: Forgotten) -> Message:
    """The record of what is said of a viewer."""
    return Message(FORGOTTEN_TOPIC, said.viewer, _encode(said))


def parse_forgotten(value: bytes | None, now_ms: int) -> Forgotten:
    """Read one record of ``explore.forgotten``.

    Raises:
        InvalidEventError: it says nothing.
    """
    said = decode_value(_forgotten, value)
    check(len(said.viewer) == PSEUDONYM, "viewer", f"has not {PSEUDONYM} characters")
    # One from the future would outlast whatever is said later.
    check_times(said, now_ms, "changed_ms")
    if said.allowed_ms is not None:
        check_times(said, now_ms, "allowed_ms")
    return said


def hear(
    viewers: ForgottenViewers, records: Iterable[Record], refuse: Refuse = skip
) -> list[Forgotten]:
    """Take in records of the topic; returns who is to be forgotten and was not before."""
    said = read_records(FORGOTTEN_TOPIC, records, parse_forgotten, refuse)
    return [one for one in said if viewers.hear(one)]


def known(viewers: ForgottenViewers, records: Sequence[R]) -> Sequence[R]:
    """Records, keyed by viewers, without those that are not to be known."""
    if not len(viewers):
        return records
    kept = [record for record in records if not _refused(viewers, record)]
    FORGOTTEN_EVENTS.inc(len(records) - len(kept))
    return kept


def _refused(viewers: ForgottenViewers, record: Record) -> bool:
    key = (record.key or b"").decode("utf-8", "replace")
    return viewers.refuses(key, record.timestamp)


async def read_forgotten(settings: Settings, cluster: ClusterInfo) -> ForgottenViewers:
    """Everybody who is forgotten now.

    Raises:
        LogReadError: the topic cannot be read to its end.
    """
    viewers = ForgottenViewers()
    places = [(FORGOTTEN_TOPIC, n) for n in range(cluster.partitions[FORGOTTEN_TOPIC])]
    async with LogReader(settings) as reader:
        async for batch in reader.read(await reader.spans(places)):
            hear(viewers, batch.records)
    return viewers
