"""Item weights that the learner fitted, stored and made live for all rankers.

There is no gate: they are counts of who liked what, and what they are worth shows in the rankers
that read them. Whatever was fitted anew goes live, so a rollback holds until the next fit: one
that lasts needs the events behind it to go (``docs/operations.md``, Versions).
"""

from __future__ import annotations

import asyncio
import logging
import time

from infra.artifacts import ArtifactError, ArtifactStore
from infra.config import Settings
from infra.metrics import VERSIONS
from models.inventory.catalog import Catalog
from models.item_to_item.fit import ItemToItem
from streams.clock import now_ms
from streams.records import Sender
from streams.versions import ITEMS, Version, note_live, tell

logger = logging.getLogger(__name__)


class ItemPublishing:
    """Publishes item weights whenever there are new ones, but not more often than is told.

    Attributes:
        live: the live version as this process knows it, if any.

    Args:
        live: the version that is live already, if any.
    """

    def __init__(
        self,
        settings: Settings,
        artifacts: ArtifactStore,
        sender: Sender,
        live: Version | None = None,
    ) -> None:
        self._settings = settings
        self._artifacts = artifacts
        self._sender = sender
        self.live = live
        self._published_fits = 0
        self._published_s: float | None = None

    def told(self, version: Version) -> None:
        """Take in a record of ``explore.versions``: what the next version replaces."""
        if version.kind == ITEMS:
            self.live = version

    async def offer(self, items: ItemToItem, catalog: Catalog) -> bool:
        """Publish the weights of the last fit if they are new; returns whether they went live.

        The owner of the catalogue waits meanwhile. Weights of no media at all are not published:
        a log that says nothing is no reason to forget what is live. What the store does not take
        is offered to it again after as long as there is between two versions.
        """
        weights, fits = items.weights, items.fits
        if weights is None or fits == self._published_fits:
            return False
        now = time.monotonic()
        if self._published_s is not None and (
            now - self._published_s < self._settings.items_every_s
        ):
            return False
        if not len(weights):
            self._published_fits = fits
            return False
        arrays = weights.to_arrays(catalog.media_ids(weights.media_s))
        metrics = {"media": float(len(weights)), "neighbours": float(len(arrays["near"]))}
        self._published_s = now
        live = self.live
        try:
            version = await asyncio.to_thread(
                self._artifacts.put, ITEMS, arrays, {"metrics": metrics}
            )
            told = Version(
                kind=ITEMS,
                version=version,
                announced_ms=now_ms(),
                metrics=metrics,
                previous="" if live is None else live.version,
                reason=f"fitted on {items.log.added} likes and more",
            )
            if live is None or live.version != version:
                await note_live(self._artifacts, told)
        except ArtifactError as error:
            VERSIONS.labels(ITEMS, "unstored").inc()
            logger.error("item weights are not stored, the live ones stay: %s", error)
            return False
        self._published_fits = fits
        if live is not None and live.version == version:
            return False  # fitted again on the same, as after a restart
        self.live = told
        await tell(self._artifacts, self._sender, told, self._settings.keep_versions)
        logger.info("item weights %s of %d media are live", version, len(weights))
        return True
