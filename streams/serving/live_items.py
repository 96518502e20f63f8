"""The item weights that ``explore.versions`` says are live, put into the world while it serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra.artifacts import Artifact, ArtifactStore
from models.item_to_item.weights import ItemWeights, ItemWeightsError, stored_ids
from models.world import World
from streams.records import Record
from streams.versions import ITEMS, Version, last_good, versions

_NONE: Final = Version(kind=ITEMS, version="", announced_ms=0)
logger = logging.getLogger(__name__)


class StoredItems(NamedTuple):
    """Item weights as they are stored, found whole: the ids of their media, and the arrays."""

    ids: list[str]
    arrays: dict[str, NDArray[Any]]


class LiveItems:
    """Follows ``explore.versions``, and sets ``world.item_weights``.

    Args:
        artifacts: where versions are stored.
        world: of the process, owned by the event loop.
    """

    def __init__(self, artifacts: ArtifactStore, world: World) -> None:
        self._artifacts = artifacts
        self._world = world

    async def apply(self, records: Sequence[Record]) -> bool:
        """Load the newest version told of; returns whether item weights were swapped.

        A damaged one is refused and the live one stays; a process that has none yet takes the
        newest whole one of those that were live before.
        """
        told = [v for v in versions(records) if v.kind == ITEMS][-1:] or [_NONE]
        if not told[0].version:
            return False
        found = await asyncio.to_thread(last_good, self._artifacts, told[0], stored_items)
        if found is None:
            logger.error("no item weights can be loaded, the live ones stay")
            return False
        version, stored = found
        if version != told[0].version and self._world.item_weights is not None:
            return False
        # Media that the catalogue has not brought yet get rows too; until it does they are not
        # there for anybody. Rows are given out by the thread that owns the world.
        rows = self._world.catalog.intern_media(stored.ids)
        self._world.item_weights = await asyncio.to_thread(
            ItemWeights.from_arrays, stored.arrays, rows, version
        )
        return True


def stored_items(artifact: Artifact) -> StoredItems:
    """Item weights of an artifact, checked; they wait for rows of a catalogue.

    Raises:
        ItemWeightsError: an array is missing or does not fit the others, or an id comes twice.
    """
    ids = stored_ids(artifact.arrays)
    if len(set(ids)) != len(ids):
        raise ItemWeightsError(
            f"item weights of {len(ids)} media name only {len(set(ids))}; fit them anew"
        )
    ItemWeights.from_arrays(artifact.arrays, np.arange(len(ids), dtype=np.int32), artifact.version)
    return StoredItems(ids, artifact.arrays)
