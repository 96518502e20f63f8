"""``freshgrid viewer export``: everything that is stored about one viewer, as lines of JSON.

Redis first, then every topic, read from its beginning to its end: what stands there under the
viewer's key, or names the viewer in its value (dead letters, and events with another key).
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from infra.config import Settings
from infra.kafka import prepare_cluster
from infra.log_reader import LogReader
from infra.open_stores import open_stores
from infra.stores import Store
from infra.topics import DEAD_LETTERS_TOPIC, VIEWER_TOPICS
from models.events import InvalidEventError
from streams.dead_letter import parse_dead_letter

#: Tells of a viewer in a store.
Inspect = Callable[[Store, str, Settings], Awaitable[dict[str, Any]]]

_json = msgspec.json.Decoder()


async def export(
    settings: Settings, viewer_id: str, inspect: Inspect
) -> AsyncIterator[dict[str, Any]]:
    """What is stored about a viewer, one thing after the other.

    Args:
        inspect: tells what a stored state means.

    Raises:
        UnreachableError: Redis or Kafka does not answer.
        LogReadError: a topic cannot be read to its end.
    """
    async with open_stores(settings) as stores:
        seen = await inspect(stores.viewers, viewer_id, settings)
        yield {"of": "state", "value": seen}
        for key, values in (await stores.rights.held(viewer_id)).items():
            for value in values:
                yield {"of": "redis", "key": key, **_told(value)}
    cluster = await prepare_cluster(settings)
    async with LogReader(settings) as reader:
        for topic in VIEWER_TOPICS:
            places = [(topic, number) for number in range(cluster.partitions[topic])]
            async for batch in reader.read(await reader.spans(places)):
                for record in batch.records:
                    if is_of(topic, record.key, record.value, viewer_id):
                        yield {
                            "of": "topic", "topic": topic, "partition": batch.partition,
                            "offset": record.offset, "timestamp_ms": record.timestamp,
                            **_told(record.value or b""),
                        }  # fmt: skip


def is_of(topic: str, key: bytes | None, value: bytes | None, viewer_id: str) -> bool:
    """Whether a record is about a viewer."""
    name = viewer_id.encode()
    if key == name:
        return True
    if not value:
        return False
    if topic == DEAD_LETTERS_TOPIC:
        letter = parse_dead_letter(value)
        return letter is not None and name in base64.b64decode(letter.value_base64)
    if name not in value and b"\\" not in value:
        return False
    try:
        told = _json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidEventError):
        return name in value
    return isinstance(told, dict) and told.get("viewer_id") == viewer_id


def _told(value: bytes) -> dict[str, Any]:
    """A value as JSON where it is, else as base64."""
    try:
        return {"value": _json.decode(value)}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {"base64": base64.b64encode(value).decode()}
