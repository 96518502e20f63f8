"""The experiment as it is served: followed in the store, arms resolved, bad ones refused."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from infra.artifacts import ArtifactError, ArtifactStore
from infra.errors import UnreachableError
from infra.metrics import EXPERIMENTS_REFUSED
from infra.stores import ExperimentStore
from models.explore.experiment import Arm, Experiment, InvalidExperimentError, parse
from models.explore.treatment import Treatment
from models.rankers.bundle import RankerBundle
from models.rankers.protocol import Rankers
from streams.serving.live_queries import LiveQueries
from streams.serving.live_rankers import LiveRankers
from streams.versions import RANKERS

#: How often the store is asked, besides being told: a message may be lost.
POLL_S: Final = 0.5

logger = logging.getLogger(__name__)


class LiveExperiment:
    """What each viewer's arm gives her, as the store says now.

    An experiment that cannot be served is refused as a whole, logged and counted once, and the
    last good one stays.
    """

    def __init__(
        self,
        store: ExperimentStore,
        queries: LiveQueries,
        rankers: LiveRankers,
        artifacts: ArtifactStore,
    ) -> None:
        self._store, self._artifacts = store, artifacts
        self._queries, self._rankers = queries, rankers
        self._serve(Experiment(), {})
        self._text: bytes | None = None
        self._told = asyncio.Event()
        #: Why what is stored is not served, None if it is.
        self.refused: str | None = None

    def arm_of(self, viewer_id: str) -> str:
        """The name of a viewer's arm."""
        return self.experiment.arm_of(viewer_id)

    def of(self, viewer_id: str) -> Treatment:
        """The treatment of a viewer, by what is live now: nobody else decides who gets what."""
        name = self.arm_of(viewer_id)
        arm = self._arms[name]
        assert arm.weights is not None
        return Treatment(
            arm=name,
            rankers=self._stored[arm.rankers] if arm.rankers else self._rankers.live,
            weights=arm.weights,
            query=self._queries.of(arm.query),
            feed=arm.feed,
            author_penalty=arm.author_penalty,
            exploration_share=arm.exploration_share,
        )

    async def start(self) -> None:
        """Read what is stored; if it cannot be served, take the newest of before that can."""
        await self.reload()
        if self.refused is None:
            return
        for change in await self._store.history():
            for experiment in (change.new, change.old):
                if experiment is not None and await self._take(experiment) is None:
                    logger.error("%s: one of before is served instead", self._store.where)
                    return

    async def reload(self) -> bool:
        """Look at the store; returns whether something else is served now."""
        text = await self._store.read()
        # What was refused is tried again: a query or a version may have come meanwhile.
        if text == self._text and self.refused is None:
            return False
        before, told = self.experiment, (self._text, self.refused)
        self._text = text
        try:
            self.refused = await self._take(Experiment() if text is None else parse(text))
        except InvalidExperimentError as error:
            self.refused = str(error)
        if self.refused is not None and (text, self.refused) != told:
            EXPERIMENTS_REFUSED.inc()
            logger.error(
                "%s is refused, the last good one stays: %s", self._store.where, self.refused
            )
        return self.experiment != before

    async def follow(self, changed: Callable[[], None]) -> None:
        """Follow the store until cancelled; calls `changed` when something else is served."""
        listening = asyncio.ensure_future(self._store.listen(self._told.set))
        try:
            while True:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._told.wait(), POLL_S)
                self._told.clear()
                try:
                    if await self.reload():
                        logger.info("experiment: %s", msgspec.json.encode(self.experiment).decode())
                        changed()
                except UnreachableError as error:
                    logger.warning("%s cannot be read: %s; trying again", self._store.where, error)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _take(self, experiment: Experiment) -> str | None:
        """Serve an experiment; returns why not, if it cannot be served."""
        try:
            stored = await asyncio.to_thread(
                stored_rankers, experiment, self._queries, self._artifacts
            )
        except InvalidExperimentError as error:
            return str(error)
        self._serve(experiment, stored)
        return None

    def _serve(self, experiment: Experiment, stored: dict[str, Rankers]) -> None:
        self.experiment, self._stored = experiment, stored
        self._arms: dict[str, Arm] = {name: experiment.arm(name) for name in experiment.arms}


def stored_rankers(
    experiment: Experiment, queries: LiveQueries, artifacts: ArtifactStore
) -> dict[str, Rankers]:
    """The rankers that arms name, by the version they name.

    Raises:
        InvalidExperimentError: an arm names a query or rankers that there are not.
    """
    loaded: dict[str, Rankers] = {}
    for name in experiment.arms:
        arm = experiment.arm(name)
        if arm.query and arm.query not in queries.names():
            raise InvalidExperimentError(
                f"arm {name} names the query {arm.query!r}; "
                f"the queries are {', '.join(queries.names())}"
            )
        if arm.rankers and arm.rankers not in loaded:
            try:
                found = artifacts.get(RANKERS, arm.rankers, mapped=True)
                loaded[arm.rankers] = RankerBundle.from_arrays(found.arrays, found.meta)
            except (ArtifactError, ValueError) as error:
                raise InvalidExperimentError(
                    f"arm {name} names the rankers {arm.rankers!r}, which cannot be used: {error}; "
                    "freshgrid versions list rankers names those that are stored"
                ) from error
    return loaded
