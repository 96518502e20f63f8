"""A ranker's start from a snapshot of its world beside reading everything that it is made of.

Records are made as they are needed and their making is not timed, nor is a broker's: what is told
is what a ranker itself does with them. A broker comes on top of both, and more so of reading all.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections.abc import Awaitable, Iterator, Sequence
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.topics import EMBEDDINGS_TOPIC
from models.actions import MEDIA_EVENT_TOPICS
from models.events import ACCOUNTS_TOPIC, DAY_MS, MEDIA_TOPIC
from models.inventory.viewer_marks import NOBODY
from models.world import World
from streams.bench.progress import say
from streams.serving.world_feed import WorldFeed, embedding_messages, world_config
from streams.snapshots import WORLD

MEDIA: Final = 20_000
EVENTS: Final = 200_000
#: Of the events, how many come after the snapshot.
TAIL: Final = 0.01
MEDIA_OF_ACCOUNT: Final = 20
EVENTS_OF_VIEWER: Final = 20
DIMENSIONS: Final = 32
BATCH: Final = 2_000
SEED: Final = 7
NOW_MS: Final = 1_700_000_000_000
TOPICS: Final = tuple(MEDIA_EVENT_TOPICS)
#: How often the event loop is looked at while a snapshot is made.
BEAT_S: Final = 0.001


T = TypeVar("T")


class _Line(NamedTuple):
    key: bytes
    value: bytes | None
    partition: int = 0
    timestamp: int = NOW_MS
    offset: int = 0


def run(
    settings: Settings,
    *,
    media: Annotated[int, Meta(ge=1, description="Media of the world.")] = MEDIA,
    events: Annotated[int, Meta(ge=100, description="Events counted in it.")] = EVENTS,
) -> dict[str, Any]:
    """Make a world, write a snapshot of it, start from that, and compare to the bit.

    ``start_s`` reads the snapshot and the last hundredth of the events, ``start_s_full`` all.
    ``copy_ms`` is how long the reading of the log stands still for a snapshot, ``stall_ms`` the
    longest that the event loop had no turn while it was copied, packed and written,
    ``idle_stall_ms`` the same for as long without any work: what the machine itself does.
    """
    config = world_config(settings, details=True)
    before = int(events * (1 - TAIL))
    say(f"reading {media} media and {events} events …")
    feed, full_s = WorldFeed(World(config)), 0.0
    full_s += _apply(feed, _catalogue(media))
    full_s += _apply(feed, _events(media, 0, before))
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(folder)
        say("writing a snapshot …")
        written = asyncio.run(_write(feed, store))
        full_s += _apply(feed, _events(media, before, events))
        say("starting from it …")
        began_s = time.perf_counter()
        version = store.list(WORLD)[-1]
        found = store.get(WORLD, version)
        started = WorldFeed.from_arrays(found.arrays, found.meta, config)
        start_s = time.perf_counter() - began_s
        snapshot_bytes = store.manifest(WORLD, version).bytes
        del found
    start_s += _apply(started, _events(media, before, events))
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "start_s": round(start_s, 3),
        "start_s_full": round(full_s, 3),
        "snapshot_equal": started.content_hash() == feed.content_hash(),
        "snapshot_mib": round(snapshot_bytes / 2**20, 2),
        "snapshot_bytes_per_media": round(snapshot_bytes / media, 1),
        **written,
        "peak_mib": round(peak_kib / 1024),
        "media": media,
        "events": events,
    }


def _apply(feed: WorldFeed, batches: Iterator[tuple[str, Sequence[_Line]]]) -> float:
    """Apply all batches; returns the seconds that took, without their making."""
    took_s = 0.0
    for topic, lines in batches:
        began_s = time.perf_counter()
        feed.apply(topic, lines)
        took_s += time.perf_counter() - began_s
    return took_s


async def _write(feed: WorldFeed, store: ArtifactStore) -> dict[str, float]:
    """Write a snapshot as a ranker does, and look how long the event loop had no turn."""
    began_s = time.perf_counter()
    (arrays, meta), copying_s = await _beside(asyncio.to_thread(feed.to_arrays))
    copied_s = time.perf_counter()
    _, writing_s = await _beside(
        asyncio.to_thread(lambda: store.put(WORLD, feed.stored(arrays, NOBODY), meta))
    )
    written_s = time.perf_counter()
    _, idle_s = await _beside(asyncio.sleep(written_s - began_s))
    return {
        "stall_ms": round(1000 * max(copying_s, writing_s), 2),
        "idle_stall_ms": round(1000 * idle_s, 2),
        "copy_ms": round(1000 * (copied_s - began_s), 2),
        "write_s": round(written_s - copied_s, 3),
    }


async def _beside(work: Awaitable[T]) -> tuple[T, float]:
    """What work gives, and the longest that the event loop had no turn meanwhile, seconds."""
    working, longest_s = asyncio.ensure_future(work), 0.0
    while not working.done():
        began_s = time.perf_counter()
        await asyncio.sleep(BEAT_S)
        longest_s = max(longest_s, time.perf_counter() - began_s - BEAT_S)
    return await working, longest_s


def _catalogue(media: int) -> Iterator[tuple[str, list[_Line]]]:
    accounts = max(media // MEDIA_OF_ACCOUNT, 1)
    rng = np.random.default_rng(SEED)
    for start in range(0, media, BATCH):
        numbers = range(start, min(start + BATCH, media))
        author_n = rng.integers(accounts, size=len(numbers)).tolist()
        age_n = rng.integers(60 * DAY_MS, size=len(numbers)).tolist()
        yield (
            MEDIA_TOPIC,
            [
                _line(
                    f"media-{number:08d}",
                    media_id=f"media-{number:08d}",
                    author_id=f"account-{author}",
                    created_ts=NOW_MS - age,
                    topics=[f"topic-{author % 40}"],
                    image_url=f"https://media.example/{number}.jpg",
                )
                for number, author, age in zip(numbers, author_n, age_n, strict=True)
            ],
        )
    for start in range(0, accounts, BATCH):
        names = [f"account-{n}" for n in range(start, min(start + BATCH, accounts))]
        yield ACCOUNTS_TOPIC, [_line(name, account_id=name) for name in names]
        vectors_nd = rng.standard_normal((len(names), DIMENSIONS), np.float32)
        told = embedding_messages("space", names, vectors_nd)
        yield EMBEDDINGS_TOPIC, [_Line(key.encode(), value) for _, key, value in told]


def _events(media: int, start: int, end: int) -> Iterator[tuple[str, list[_Line]]]:
    """The events of these numbers; popular media get most of them."""
    viewers = max(end // EVENTS_OF_VIEWER, 1)
    for at in range(start, end, BATCH):
        count = min(BATCH, end - at)
        rng = np.random.default_rng((SEED, at))
        media_n = (media * rng.random(count) ** 3).astype(np.int64).tolist()
        viewer_n = rng.integers(viewers, size=count).tolist()
        undo_n = (rng.random(count) < 0.02).tolist()
        yield (
            TOPICS[at // BATCH % len(TOPICS)],
            [
                _line(
                    f"viewer-{viewer}",
                    event_id=f"event-{at + n}",
                    viewer_id=f"viewer-{viewer}",
                    media_id=f"media-{number:08d}",
                    ts=NOW_MS - 10 * (end - at - n),
                    **({"undo": True} if undo else {}),
                )
                for n, (number, viewer, undo) in enumerate(
                    zip(media_n, viewer_n, undo_n, strict=True)
                )
            ],
        )


def _line(key: str, **value: Any) -> _Line:
    return _Line(key.encode(), msgspec.json.encode(value))
