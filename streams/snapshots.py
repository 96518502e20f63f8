"""Snapshots of what is made by reading the log: artifacts that a process starts from.

Stored are arrays, JSON that describes them, and how far each partition was read. A process starts
from the newest one that is whole, of this log, whose offsets the log holds and which its own parts
take, and reads on from there (``docs/decisions/0056-world-snapshots.md``). Of what rankers hold:
:mod:`streams.serving.world_snapshots`; of what a learner holds:
:mod:`streams.roles.learner_snapshots`.

While it is copied nothing is handled, so what is stored is exactly what was read.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from numpy.typing import NDArray
from prometheus_client import Counter, Gauge

from infra.artifacts import ArtifactError, ArtifactStore
from infra.config import Settings
from infra.kafka import ClusterInfo, Follower, Partition, ReadTo
from infra.log_reader import LogReader, LogReadError
from infra.threads import in_daemon_thread
from models.arrays.stored import Arrays, StoredArraysError
from models.inventory.viewer_marks import NOBODY, ForgottenMarks
from models.viewers.forgotten import ForgottenViewers
from streams.clock import now_ms
from streams.rights.forgotten import read_forgotten

#: The kinds of the artifacts: of what rankers hold, and of what a learner holds.
WORLD: Final = "world"
LEARNER: Final = "learner"
#: A start that took longer is not to be had again: a snapshot is written at once.
LONG_START_S: Final = 60.0
#: Processes look at moments that lie apart by up to this share of the interval.
SPREAD: Final = 0.1
#: Where much is read a snapshot does not wait for its time, but for so long.
HURRIED_EVERY_S: Final = 60.0
#: How often it is looked whether much was read.
HURRIED_LOOK_S: Final = 1.0
#: What the store did not take is tried again after so long at most.
AGAIN_S: Final = 300.0

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Kind(NamedTuple):
    """One kind of snapshots.

    Attributes:
        name: of the artifacts.
        of: what is stored, as messages say it.
        topics: what the arrays are made of, read on from where they end; others are small, and
            read whole by every start.
        outcomes, age: what is told of it.
    """

    name: str
    of: str
    topics: Collection[str]
    outcomes: Counter
    age: Gauge


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
        content: what the arrays are, as those who made them describe them.
    """

    log_id: str
    made_ms: int
    places: list[Place]
    content: dict[str, Any] = msgspec.field(name="feed")


class Stored(NamedTuple):
    """A snapshot that is whole and of this log, to be taken in or refused.

    Attributes:
        arrays: as they were stored.
        content: what they are.
        made_ms: when they were made, epoch ms.
        forgotten: of whom they may still tell.
    """

    arrays: Arrays
    content: dict[str, Any]
    made_ms: int
    forgotten: ForgottenViewers


class Begun(NamedTuple, Generic[T]):
    """What was made of a snapshot, and how far it was read."""

    made: T
    begin: Mapping[Partition, ReadTo]


class Copy(NamedTuple):
    """What a snapshot is to hold, as it is at one moment.

    Attributes:
        arrays: nothing changes them.
        content: describes them.
        forgotten: as was heard up to there.
        places: how far more partitions were read than those that the follower reads.
    """

    arrays: dict[str, NDArray[Any]]
    content: dict[str, Any]
    forgotten: ForgottenMarks = NOBODY
    places: Mapping[Partition, ReadTo] = {}


class _RefusedError(Exception):
    """A snapshot that must not be used here; says why."""


async def begin_from(
    kind: Kind,
    config: Settings,
    cluster: ClusterInfo,
    artifacts: ArtifactStore,
    take: Callable[[Stored], T],
) -> Begun[T] | None:
    """What is made of the newest snapshot that can be used; None where none can.

    Args:
        take: makes it, in a thread, or raises StoredArraysError.
    """
    try:
        stored = await asyncio.to_thread(artifacts.list, kind.name)
    except ArtifactError as error:
        logger.warning("no snapshot of %s can be looked for: %s", kind.of, error)
        return None
    forgotten: ForgottenViewers | None = None
    for version in reversed(stored):
        try:
            about = await asyncio.to_thread(_about, kind, artifacts, version)
            await _refuse_what_the_log_does_not_hold(config, cluster, about)
            # Before anything of a viewer is looked at.
            if forgotten is None:
                forgotten = await read_forgotten(config, cluster)
            found = await asyncio.to_thread(artifacts.get, kind.name, version)
            made = await asyncio.to_thread(
                take, Stored(found.arrays, about.content, about.made_ms, forgotten)
            )
        except (ArtifactError, LogReadError, StoredArraysError, _RefusedError) as error:
            kind.outcomes.labels("refused").inc()
            logger.warning(
                "snapshot %s of %s is not used: %s; the one before it, or the log from its "
                "beginning, is read instead",
                version,
                kind.of,
                error,
            )
            continue
        kind.outcomes.labels("used").inc()
        kind.age.set(max(now_ms() - about.made_ms, 0) / 1000)
        return Begun(made, {(p.topic, p.partition): _read_to(p) for p in about.places})
    return None


def _about(kind: Kind, artifacts: ArtifactStore, version: str) -> About:
    try:
        return msgspec.convert(artifacts.manifest(kind.name, version).meta, About)
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


def _read_to(place: Place) -> ReadTo:
    return ReadTo(place.offset, place.last_offset, place.last_ms)


class _Copied(NamedTuple):
    copy: Copy
    about: About


class Snapshots:
    """Writes a snapshot whenever the newest one of the store is old enough.

    Args:
        every_s: from one to the next; 0 for none.
        keep: newest ones that are kept.
        copy: what is to be stored.
        stored: the arrays as an artifact takes them, without what these viewers did; called in a
            thread.
        settled: whether there may be a copy now, which begins at once then.
        hurried: whether so much was read since the last copy that it does not wait for its time.
    """

    def __init__(
        self,
        kind: Kind,
        cluster: ClusterInfo,
        artifacts: ArtifactStore,
        *,
        every_s: float,
        keep: int,
        copy: Callable[[], Awaitable[Copy]],
        stored: Callable[[Arrays, ForgottenMarks], Arrays],
        settled: Callable[[], bool] = lambda: True,
        hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        self._kind, self._log_id, self._artifacts = kind, cluster.log_id, artifacts
        self._every_s, self._keep = every_s, keep
        self._copy, self._stored = copy, stored
        self._settled, self._hurried = settled, hurried
        self._asked: asyncio.Future[_Copied] | None = None

    async def polled(self, follower: Follower) -> None:
        """Copy what was read, if it is time; nothing is handled meanwhile."""
        asked = self._asked
        if asked is None or asked.done():
            return
        try:
            read_to = await follower.read_to()
            if not self._settled():
                return
            self._asked = None
            copy = await self._copy()
            places = [Place(*at, *to) for at, to in read_to.items() if at[0] in self._kind.topics]
            places += [Place(*at, *to) for at, to in copy.places.items()]
            about = About(
                log_id=self._log_id, made_ms=now_ms(), places=places, content=copy.content
            )
            if not asked.done():
                asked.set_result(_Copied(copy, about))
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
            # Processes that look at one moment would all write.
            await self._wait(wait_s + random.uniform(0.0, SPREAD * self._every_s))
            try:
                wait_s = await self.look()
            except Exception as error:
                self._kind.outcomes.labels("failed").inc()
                logger.error("no snapshot of %s was written: %s", self._kind.of, error)
                wait_s = min(self._every_s, AGAIN_S)

    async def _wait(self, wait_s: float) -> None:
        """Wait, less long where much is read meanwhile."""
        began_s = time.monotonic()
        while (waited_s := time.monotonic() - began_s) < wait_s:
            if waited_s >= HURRIED_EVERY_S and self._hurried():
                return
            await asyncio.sleep(min(HURRIED_LOOK_S, wait_s - waited_s))

    async def look(self) -> float:
        """Write one unless there is a young one; returns after how long to look again, seconds."""
        newest_ms = await asyncio.to_thread(self._newest_ms)
        left_s = self._every_s - (now_ms() - newest_ms) / 1000
        if left_s > 0 and not self._hurried():
            return min(left_s, self._every_s)
        self._asked = asyncio.get_running_loop().create_future()
        copied, began_s = await self._asked, time.monotonic()
        version = await in_daemon_thread(lambda: self._write(copied))
        self._kind.outcomes.labels("written").inc()
        logger.info(
            "snapshot %s of %s written in %.1f s",
            version, self._kind.of, time.monotonic() - began_s,
        )  # fmt: skip
        return self._every_s

    def _newest_ms(self) -> int:
        """When the newest snapshot of this log was made, 0 for none."""
        newest_ms = 0
        for version in self._artifacts.list(self._kind.name):
            try:
                about = _about(self._kind, self._artifacts, version)
            except (ArtifactError, _RefusedError):
                continue
            if about.log_id == self._log_id:
                newest_ms = max(newest_ms, about.made_ms)
        return newest_ms

    def _write(self, copied: _Copied) -> str:
        arrays = self._stored(copied.copy.arrays, copied.copy.forgotten)
        version = self._artifacts.put(self._kind.name, arrays, msgspec.to_builtins(copied.about))
        self._artifacts.prune(self._kind.name, self._keep)
        self._artifacts.sweep(self._kind.name)
        return version
