"""The rankers that ``explore.versions`` says are live, loaded and swapped while they serve."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from infra.artifacts import Artifact, ArtifactStore
from models.rankers.bundle import RankerBundle
from models.rankers.prior import PriorRankers
from models.rankers.protocol import Rankers
from streams.records import Record
from streams.versions import RANKERS, last_good, versions

logger = logging.getLogger(__name__)


class LiveRankers:
    """Follows ``explore.versions``.

    Attributes:
        live: what serves in every arm that names no rankers of its own.
    """

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        self.live: Rankers = PriorRankers()

    async def apply(self, records: Sequence[Record]) -> bool:
        """Load the newest version told of; returns whether rankers were swapped.

        A damaged one is refused and the live one stays; a process that has none yet takes the
        newest whole one of those that were live before.
        """
        told = [v for v in versions(records) if v.kind == RANKERS]
        if not told:
            return False
        found = await asyncio.to_thread(last_good, self._artifacts, told[-1], _bundle)
        if found is None:
            logger.error("no rankers can be loaded, the live ones stay")
            return False
        version, bundle = found
        if version != told[-1].version and not isinstance(self.live, PriorRankers):
            return False
        self.live = bundle
        return True


def _bundle(artifact: Artifact) -> RankerBundle:
    return RankerBundle.from_arrays(artifact.arrays, artifact.meta)
