"""Viewer state of as many viewers as asked for, as large as the fixture's viewers have it.

The fixture's events are folded once by the code that the agents run. What came out is then written
under the ids of a :mod:`population <streams.bench.population>`: viewer `i` of it gets the state of
the fixture viewer whose days `i` repeats, through the store's own commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count, islice
from pathlib import Path
from typing import Final

from aiokafka.partitioner import murmur2

from infra.config import Settings
from infra.memory_store import MemoryStore
from infra.stores import Store, Versioned
from models.actions import EVENT_TOPICS
from models.viewers.state import ViewerState, log_key
from streams.bench.population import viewer_name
from streams.bench.servers import PARTITIONS
from streams.clock import now_ms
from streams.ingest import Ingest
from streams.local.scenario import FIXTURE
from streams.log.replay import Line, Loopback, read_fixture

#: No broker's own.
LOG_ID: Final = "fixture-fixture-fixtur"
#: Offsets of a log that has been in use: small numbers would take less room.
FIRST_OFFSET: Final = 1_000_000
BATCH: Final = 1000


async def fixture_states(
    settings: Settings, viewer_ids: Iterable[str], fixture: Path = FIXTURE
) -> list[ViewerState]:
    """State of these viewers of the fixture, after all of its events."""
    store = MemoryStore(settings)
    ingest = Ingest(store, Loopback(), settings.fold_config(), LOG_ID)
    places: dict[tuple[str, int], list[Line]] = {}
    for line in read_fixture(fixture):
        if line.topic in EVENT_TOPICS:
            partition = (murmur2(line.key) & 0x7FFFFFFF) % PARTITIONS
            places.setdefault((line.topic, partition), []).append(line)
    for (topic, partition), lines in places.items():
        offsets = count(FIRST_OFFSET)
        records = [line._replace(offset=next(offsets)) for line in lines]
        await ingest.events(topic, partition, records, now_ms())
    return [versioned.state for versioned in await store.load(list(viewer_ids))]


def move_to_log(states: Iterable[ViewerState], log_id: str) -> None:
    """Let states be of this log, at its beginning: they have met no event of it yet."""
    for state in states:
        state.log = log_key(log_id)
        state.applied = dict.fromkeys(state.applied, 0)


async def write_states(store: Store, states: list[ViewerState], viewers: Iterable[int]) -> None:
    """Store the states of these viewers of a population, given by number; none must have one."""
    numbers = iter(viewers)
    while batch := list(islice(numbers, BATCH)):
        await store.commit(
            [viewer_name(number) for number in batch],
            [Versioned(b"", states[number % len(states)]) for number in batch],
        )
