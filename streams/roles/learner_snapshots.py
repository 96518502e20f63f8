"""Snapshots of what a learner has read, so that a restart reads only what came since.

Stored, by :mod:`streams.snapshots`, are its world, the viewers, waiting events and rooms of the
example builder, logged candidate sets, choices, and histories of accounts, with how far the topics
behind them were read (``docs/decisions/0064-learner-snapshots.md``). What was learned of them is
not: models are versions, and learning goes on from the live ones.

Histories come through a consumer group, which does not stand where the others do: what it had
committed beyond the snapshot is read into them at the start, and what is in them already is not
taken in again when it is delivered again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.kafka import ClusterInfo, Partition, ReadTo, committed_offsets
from infra.log_reader import LogReader
from infra.metrics import LEARNER_SNAPSHOT_AGE, LEARNER_SNAPSHOTS
from infra.topics import FORGOTTEN_TOPIC, SESSIONS_TOPIC
from models.arrays.stored import Arrays, StoredArraysError, described, packed, part_of, prefixed
from models.ig2vec.histories import Histories
from models.inventory.viewer_marks import ForgottenMarks
from models.viewers.forgotten import ForgottenViewers
from models.world import World
from streams.embeddings import Embeddings
from streams.records import Record, Refuse, closed_sessions, skip
from streams.rights.forgotten import known
from streams.serving.world_feed import WorldFeed, world_config
from streams.snapshots import LEARNER, Copy, Kind, Snapshots, Stored, begin_from
from streams.topology import LEARNER_GROUP, flow
from streams.training import Training

KIND: Final = Kind(
    LEARNER,
    "the learner",
    # Sessions are read by a group of their own.
    frozenset(flow("learner snapshots").reads) - {FORGOTTEN_TOPIC, SESSIONS_TOPIC},
    LEARNER_SNAPSHOTS,
    LEARNER_SNAPSHOT_AGE,
)
#: Counts up whenever what is stored beside world and builder changes; others are refused.
FORMAT: Final = 1

#: Events that a start builds examples of in some 15 s: a snapshot that is so many behind is written
#: anew.
MOST_BEHIND: Final = 100_000

R = TypeVar("R", bound=Record)


class Parts(NamedTuple):
    """What a learner has read, in the parts that hold it."""

    feed: WorldFeed
    embeddings: Embeddings
    training: Training

    async def copy(self, forgotten: ForgottenViewers, sessions: SessionPlaces) -> Copy:
        """All of it as arrays, the histories at once and the others in a thread."""
        histories, of_histories = self.embeddings.to_arrays()
        places = sessions.places()
        (world, of_world), (examples, of_examples) = await asyncio.to_thread(
            lambda: (self.feed.to_arrays(), self.training.to_arrays())
        )
        arrays = {
            **prefixed("feed", world),
            **prefixed("histories", histories),
            **prefixed("training", examples),
        }
        content = {
            "format": FORMAT,
            "feed": of_world,
            "histories": of_histories,
            "training": of_examples,
        }
        return Copy(arrays, content, forgotten.marks(), places)

    def load(self, stored: Stored) -> None:
        """Take in what belongs to a world that :func:`stored_feed` made.

        Raises:
            StoredArraysError: these are no such arrays.
        """
        gone = stored.forgotten.gone_since(stored.made_ms)
        arrays, content = stored.arrays, stored.content
        self.embeddings.load(part_of(arrays, "histories"), described(content, "histories"), gone)
        self.training.load(part_of(arrays, "training"), described(content, "training"), gone)


def stored_arrays(arrays: Arrays, forgotten: ForgottenMarks) -> Arrays:
    """Arrays of :meth:`Parts.copy` as an artifact takes them."""
    return {
        **prefixed("feed", WorldFeed.stored(part_of(arrays, "feed"), forgotten)),
        **prefixed("histories", Histories.stored(part_of(arrays, "histories"))),
        **prefixed("training", packed(part_of(arrays, "training"))),
    }


def stored_feed(stored: Stored, config: Settings, refuse: Refuse = skip) -> WorldFeed:
    """The world of a snapshot.

    Raises:
        StoredArraysError: it has another format, was made with other settings, or is none.
    """
    if stored.content.get("format") != FORMAT:
        told = stored.content.get("format")
        raise StoredArraysError(f"it has format {told!r}, this build reads {FORMAT}")
    return WorldFeed.from_arrays(
        part_of(stored.arrays, "feed"),
        described(stored.content, "feed"),
        world_config(config),
        stored.forgotten.marks(),
        stored.made_ms,
        refuse,
    )


class SessionPlaces:
    """Up to where each partition of ``explore.sessions`` is in the histories."""

    def __init__(self, taken: Mapping[int, int]) -> None:
        self._restored = dict(taken)
        self._taken = dict(taken)

    def fresh(self, partition: int, records: Sequence[R]) -> list[R]:
        """Those that the histories did not hold when this process began."""
        known_to = self._restored.get(partition, 0)
        return [record for record in records if record.offset >= known_to]

    def took(self, partition: int, next_offset: int) -> None:
        """Note that the histories hold everything before an offset."""
        self._taken[partition] = max(self._taken.get(partition, 0), next_offset)

    def places(self) -> dict[Partition, ReadTo]:
        """As a snapshot stores them."""
        return {(SESSIONS_TOPIC, at): ReadTo(offset) for at, offset in self._taken.items()}


class Behind:
    """How many events were read since the last copy.

    Attributes:
        events: so many.
    """

    def __init__(self) -> None:
        self.events = 0


class LearnerStart(NamedTuple):
    """What a learner starts with, and how far it was read."""

    parts: Parts
    begin: Mapping[Partition, ReadTo]
    sessions: SessionPlaces
    behind: Behind


async def start_learner(
    config: Settings,
    cluster: ClusterInfo,
    artifacts: ArtifactStore,
    parts_of: Callable[[WorldFeed], Parts],
    forgotten: ForgottenViewers,
    refuse: Refuse = skip,
) -> LearnerStart:
    """The newest snapshot that can be used with the sessions since, or parts that hold nothing.

    Args:
        parts_of: makes empty parts around a world.
        forgotten: whose sessions are left out.
    """
    LEARNER_SNAPSHOT_AGE.set(-1)

    def take(stored: Stored) -> Parts:
        parts = parts_of(stored_feed(stored, config, refuse))
        parts.load(stored)
        return parts

    if config.learner_snapshot_every_s:
        begun = await begin_from(KIND, config, cluster, artifacts, take)
        if begun is not None:
            begin = dict(begun.begin)
            taken = {at[1]: begin.pop(at).offset for at in list(begin) if at[0] == SESSIONS_TOPIC}
            taken = await _read_sessions(config, taken, begun.made.embeddings, forgotten)
            return LearnerStart(begun.made, begin, SessionPlaces(taken), Behind())
    feed = WorldFeed(World(world_config(config)), refuse)
    return LearnerStart(parts_of(feed), {}, SessionPlaces({}), Behind())


async def _read_sessions(
    config: Settings, taken: Mapping[int, int], embeddings: Embeddings, forgotten: ForgottenViewers
) -> dict[int, int]:
    """Take in what the group committed since the snapshot; returns up to where all is taken in."""
    places = [(SESSIONS_TOPIC, partition) for partition in taken]
    if not places:
        return {}
    committed = await committed_offsets(config, LEARNER_GROUP, places)
    reached = dict(taken)
    async with LogReader(config) as reader:
        spans = {
            at: span._replace(start=max(taken[at[1]], span.oldest))
            for at, span in (await reader.spans(places, ends=committed)).items()
            if taken[at[1]] < span.end
        }
        async for batch in reader.read(spans):
            sessions = closed_sessions(known(forgotten, batch.records))
            embeddings.closed(sessions, lambda: None)
            reached[batch.partition] = batch.records[-1].offset + 1
    return reached


def learner_snapshots(
    config: Settings,
    cluster: ClusterInfo,
    artifacts: ArtifactStore,
    start: LearnerStart,
    forgotten: ForgottenViewers,
) -> Snapshots:
    """Writes snapshots of what a learner holds, while it learns nothing."""
    parts, behind = start.parts, start.behind

    async def copy() -> Copy:
        copied = await parts.copy(forgotten, start.sessions)
        behind.events = 0
        return copied

    return Snapshots(
        KIND, cluster, artifacts,
        every_s=config.learner_snapshot_every_s, keep=config.keep_learner_snapshots,
        copy=copy, stored=stored_arrays,
        settled=lambda: parts.embeddings.settled and parts.training.settled,
        hurried=lambda: behind.events >= MOST_BEHIND,
    )  # fmt: skip
