"""Whether a store holds what the fold of the same events gives: a fast wrong fold is worthless."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

from infra.config import Settings
from infra.errors import FreshgridError
from infra.kafka import Message
from infra.memory_store import MemoryStore
from infra.open_stores import open_stores
from infra.stores import Store
from models.viewers.state import combine, digest
from streams.clock import now_ms
from streams.ingest import Ingest
from streams.log.replay import Line, Loopback

#: Events folded at once: more of them cost less.
CHUNK: Final = 20_000
#: Viewers read at once.
PAGE: Final = 1000

Item = TypeVar("Item")


class WrongFoldError(FreshgridError):
    """State in Redis differs from the fold of the same events in memory."""


async def fold_offline(
    store: MemoryStore, messages: Iterable[Message], settings: Settings, first_offset: int = 0
) -> None:
    """Fold events into memory with the code that the agents run.

    Args:
        first_offset: behind those of events that the store was given before.
    """
    ingest = Ingest(store, Loopback(), settings.fold_config(), log_id="offline")
    offset = first_offset
    for chunk in _chunks(messages, CHUNK):
        by_topic: dict[str, list[Line]] = {}
        for topic, key, value in chunk:
            by_topic.setdefault(topic, []).append(Line(topic, key.encode(), value or b"", offset))
            offset += 1
        for topic, lines in by_topic.items():
            await ingest.events(topic, 0, lines, now_ms())


async def viewers_hash(store: Store, viewer_ids: Iterable[str]) -> str:
    """One hash of the state of these viewers."""
    digests = []
    for page in _chunks(viewer_ids, PAGE):
        states = await store.load(page)
        digests += [
            digest(name, item.state, store.fold) for name, item in zip(page, states, strict=True)
        ]
    return combine(digests)


async def verify(settings: Settings, expected: MemoryStore, viewer_ids: Iterable[str]) -> None:
    """Compare these viewers in Redis with those in memory.

    Raises:
        WrongFoldError: their states differ.
    """
    names = list(viewer_ids)
    async with open_stores(settings) as stores:
        stored = await viewers_hash(stores.viewers, names)
    right = await viewers_hash(expected, names)
    if stored != right:
        raise WrongFoldError(
            f"the state of {len(names)} viewers in Redis has the hash {stored}, and the fold of "
            f"their events in memory {right}; the worker folds wrongly, its speed means nothing"
        )


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
