"""Snapshots of the world: what a ranker would read for hours, as an artifact that it starts from.

Stored are all columns of :class:`streams.serving.world_feed.WorldFeed`, by
:mod:`streams.snapshots`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.kafka import ClusterInfo, Partition, ReadTo
from infra.metrics import WORLD_SNAPSHOT_AGE, WORLD_SNAPSHOTS
from infra.topics import FORGOTTEN_TOPIC
from models.viewers.forgotten import ForgottenViewers
from models.world import World, WorldConfig
from streams.serving.world_feed import WorldFeed
from streams.snapshots import WORLD, Copy, Kind, Snapshots, Stored, begin_from
from streams.topology import flow

KIND: Final = Kind(
    WORLD,
    "the world",
    frozenset(flow("world snapshots").reads) - {FORGOTTEN_TOPIC},
    WORLD_SNAPSHOTS,
    WORLD_SNAPSHOT_AGE,
)


class Start(NamedTuple):
    """What a ranker starts with: a world, and how far it was read."""

    feed: WorldFeed
    begin: Mapping[Partition, ReadTo]


async def start_world(
    config: Settings, cluster: ClusterInfo, artifacts: ArtifactStore, world: WorldConfig
) -> Start:
    """The newest snapshot that can be used, or an empty world."""
    WORLD_SNAPSHOT_AGE.set(-1)

    def take(stored: Stored) -> WorldFeed:
        marks = stored.forgotten.marks()
        return WorldFeed.from_arrays(stored.arrays, stored.content, world, marks, stored.made_ms)

    if config.world_snapshot_every_s:
        begun = await begin_from(KIND, config, cluster, artifacts, take)
        if begun is not None:
            return Start(begun.made, begun.begin)
    return Start(WorldFeed(World(world)), {})


def world_snapshots(
    config: Settings,
    cluster: ClusterInfo,
    artifacts: ArtifactStore,
    feed: WorldFeed,
    forgotten: ForgottenViewers,
) -> Snapshots:
    """Writes snapshots of a ranker's world.

    Args:
        feed: of the ranker, changed by its follower alone.
        forgotten: as the follower has heard it.
    """

    async def copy() -> Copy:
        arrays, meta = await asyncio.to_thread(feed.to_arrays)
        return Copy(arrays, meta, forgotten.marks())

    return Snapshots(
        KIND, cluster, artifacts,
        every_s=config.world_snapshot_every_s, keep=config.keep_world_snapshots,
        copy=copy, stored=feed.stored,
    )  # fmt: skip
