"""Snapshots of the world: what a ranker would read for hours, as an artifact that it starts from.

Stored are all columns of :class:`streams.serving.world_feed.WorldFeed` and how far each partition
was read. A ranker starts from the newest one that is whole, of this log, and whose offsets the log
holds, and reads on from there (``docs/decisions/0056-world-snapshots.md``).

While columns are copied the follower stands still, so what is stored is exactly what was read.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from numpy.typing import NDArray

from infra.artifacts import ArtifactError, ArtifactStore
from infra.config import Settings
from infra.kafka import ClusterInfo, Follower, Partition, ReadTo
from infra.log_reader import LogReader, LogReadError
from infra.metrics import WORLD_SNAPSHOT_AGE, WORLD_SNAPSHOTS
from infra.threads import in_daemon_thread
from infra.topics import FORGOTTEN_TOPIC
from models.arrays.stored import StoredArraysError
from models.inventory.viewer_marks import ForgottenMarks
from models.viewers.forgotten import ForgottenViewers
from models.world import World, WorldConfig
from streams.clock import now_ms
from streams.rights.forgotten import read_forgotten
from streams.serving.world_feed import WorldFeed
from streams.topology import flow

#: The kind of the artifacts.
WORLD: Final = "world"
#: What the arrays are made of; the other topics are small, and read whole by every start.
READ_ON: Final = frozenset(flow("world snapshots").reads) - {FORGOTTEN_TOPIC}
#: A start that took longer is not to be had again: a snapshot is written at once.
LONG_START_S: Final = 60.0
#: Rankers look at moments that lie apart by up to this share of the interval.
SPREAD: Final = 0.1
#: What the store did not take is tried again after so long at most.
AGAIN_S: Final = 300.0

logger = logging.getLogger(__name__)


class Place(msgspec.Struct, frozen=True):
    """How far a partition was read (:class:`infra.kafka.ReadTo`)."""

    topic: str
    partition: int
    offset: int
    last_offset: int
    last_ms: int


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored with the arrays.

    Attributes:
        log_id: of which log the offsets are.
        made_ms: when everything up to them had been applied, epoch ms.
        feed: what the arrays are, as :meth:`WorldFeed.to_arrays` describes them.
    """

    log_id: str
    made_ms: int
    places: list[Place]
    feed: dict[str, Any]


class Start(NamedTuple):
    """What a ranker starts with: a world, and how far it was read."""

    feed: WorldFeed
    begin: Mapping[Partition, ReadTo]


class _RefusedError(Exception):
    """A snapshot that must not be used here; says why."""


async def start_world(
    config: Settings, cluster: ClusterInfo, artifacts: ArtifactStore, world: WorldConfig
) -> Start:
    """The newest snapshot that can be used, or an empty world."""
    WORLD_SNAPSHOT_AGE.set(-1)
    if config.world_snapshot_every_s:
        try:
            stored = await asyncio.to_thread(artifacts.list, WORLD)
        except ArtifactError as error:
            stored = []
            logger.warning("no snapshot of the world can be looked for: %s", error)
        forgotten: ForgottenViewers | None = None
        for version in reversed(stored):
            try:
                about = await asyncio.to_thread(_about, artifacts, version)
                await _refuse_what_the_log_does_not_hold(config, cluster, about)
                # Before anything of a viewer is looked at.
                if forgotten is None:
                    forgotten = await read_forgotten(config, cluster)
                feed = await asyncio.to_thread(
                    _read, artifacts, version, about, world, forgotten.marks()
                )
            except (ArtifactError, LogReadError, StoredArraysError, _RefusedError) as error:
                WORLD_SNAPSHOTS.labels("refused").inc()
                logger.warning(
                    "snapshot %s of the world is not used: %s; the one before it, or the log from "
                    "its beginning, is read instead",
                    version,
                    error,
                )
                continue
            WORLD_SNAPSHOTS.labels("used").inc()
            WORLD_SNAPSHOT_AGE.set(max(now_ms() - about.made_ms, 0) / 1000)
            return Start(feed, {(p.topic, p.partition): _read_to(p) for p in about.places})
    return Start(WorldFeed(World(world)), {})


def _about(artifacts: ArtifactStore, version: str) -> About:
    try:
        return msgspec.convert(artifacts.manifest(WORLD, version).meta, About)
    except msgspec.ValidationError as error:
        raise _RefusedError(f"it is not described: {error}") from error


async def _refuse_what_the_log_does_not_hold(
    config: Settings, cluster: ClusterInfo, about: About
) -> None:
    if about.log_id != cluster.log_id:
        raise _RefusedError(f"it is of log {about.log_id}, and this is log {cluster.log_id}")
    places = {(place.topic, place.partition): place for place in about.places}
    for topic, number in places:
        if number >= cluster.partitions.get(topic, 0):
            raise _RefusedError(f"it has read {topic}[{number}], which is not there")
    async with LogReader(config) as reader:
        for (topic, number), span in (await reader.spans(places)).items():
            offset = places[topic, number].offset
            if not span.oldest <= offset <= span.end:
                raise _RefusedError(
                    f"it has read {topic}[{number}] up to offset {offset}, and the log holds "
                    f"{span.oldest} to {span.end}"
                )
        # Topics that were deleted and filled again are of the same cluster.
        last = {at: place.last_offset for at, place in places.items() if place.last_offset >= 0}
        for (topic, number), written_ms in (await reader.written(last)).items():
            if written_ms != places[topic, number].last_ms:
                raise _RefusedError(
                    f"{topic}[{number}] holds another record at offset {last[topic, number]} than "
                    "it has read there"
                )


def _read(
    artifacts: ArtifactStore,
    version: str,
    about: About,
    config: WorldConfig,
    forgotten: ForgottenMarks,
) -> WorldFeed:
    arrays = artifacts.get(WORLD, version).arrays
    return WorldFeed.from_arrays(arrays, about.feed, config, forgotten, about.made_ms)


def _read_to(place: Place) -> ReadTo:
    return ReadTo(place.offset, place.last_offset, place.last_ms)


class _Copied(NamedTuple):
    arrays: dict[str, NDArray[Any]]
    about: About
    forgotten: ForgottenMarks


class WorldSnapshots:
    """Writes a snapshot whenever the newest one of the store is old enough.

    Args:
        feed: of the ranker, changed by its follower alone.
        forgotten: as the follower has heard it.
    """

    def __init__(
        self,
        config: Settings,
        cluster: ClusterInfo,
        artifacts: ArtifactStore,
        feed: WorldFeed,
        forgotten: ForgottenViewers,
    ) -> None:
        self._every_s, self._keep = config.world_snapshot_every_s, config.keep_world_snapshots
        self._log_id, self._artifacts = cluster.log_id, artifacts
        self._feed, self._forgotten = feed, forgotten
        self._asked: asyncio.Future[_Copied] | None = None

    async def polled(self, follower: Follower) -> None:
        """Copy what was read, if it is time; nothing is handled meanwhile."""
        asked, self._asked = self._asked, None
        if asked is None or asked.done():
            return
        try:
            read_to = await follower.read_to()
            places = [Place(*at, *to) for at, to in read_to.items() if at[0] in READ_ON]
            asked.set_result(await asyncio.to_thread(self._copy, places))
        except Exception as error:
            # Whoever reads the log does not end for a snapshot.
            if not asked.done():
                asked.set_exception(error)

    async def run(self, started_s: float) -> None:
        """Write snapshots until cancelled.

        Args:
            started_s: what the start of this process took.
        """
        if not self._every_s:
            await asyncio.Event().wait()
        wait_s = self._every_s if started_s < LONG_START_S else 0.0
        while True:
            # Rankers that look at one moment would all write.
            await asyncio.sleep(wait_s + random.uniform(0.0, SPREAD * self._every_s))
            try:
                wait_s = await self._look()
            except Exception as error:
                WORLD_SNAPSHOTS.labels("failed").inc()
                logger.error("no snapshot of the world was written: %s", error)
                wait_s = min(self._every_s, AGAIN_S)

    async def _look(self) -> float:
        """Write one unless there is a young one; returns after how long to look again, seconds."""
        newest_ms = await asyncio.to_thread(self._newest_ms)
        left_s = self._every_s - (now_ms() - newest_ms) / 1000
        if left_s > 0:
            return min(left_s, self._every_s)
        self._asked = asyncio.get_running_loop().create_future()
        copied, began_s = await self._asked, time.monotonic()
        version = await in_daemon_thread(lambda: self._write(copied))
        WORLD_SNAPSHOTS.labels("written").inc()
        logger.info(
            "snapshot %s of the world written in %.1f s", version, time.monotonic() - began_s
        )
        return self._every_s

    def _newest_ms(self) -> int:
        """When the newest snapshot of this log was made, 0 for none."""
        newest_ms = 0
        for version in self._artifacts.list(WORLD):
            try:
                about = _about(self._artifacts, version)
            except (ArtifactError, _RefusedError):
                continue
            if about.log_id == self._log_id:
                newest_ms = max(newest_ms, about.made_ms)
        return newest_ms

    def _copy(self, places: list[Place]) -> _Copied:
        arrays, meta = self._feed.to_arrays()
        about = About(log_id=self._log_id, made_ms=now_ms(), places=places, feed=meta)
        return _Copied(arrays, about, self._forgotten.marks())

    def _write(self, copied: _Copied) -> str:
        arrays = self._feed.stored(copied.arrays, copied.forgotten)
        version = self._artifacts.put(WORLD, arrays, msgspec.to_builtins(copied.about))
        self._artifacts.prune(WORLD, self._keep)
        self._artifacts.sweep(WORLD)
        return version
