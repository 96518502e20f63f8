"""Versions and the experiment, as the API tells of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.kafka import ClusterInfo
from infra.stores import ExperimentError, ExperimentStore
from streams.serving.arm_outcomes import ArmOutcomesDesk
from streams.serving.live_experiment import LiveExperiment
from streams.serving.weights import set_experiment
from streams.versions import KINDS, listed, live_versions


class Office:
    """Reads what is stored of versions, and reads and changes the experiment.

    Args:
        live: what is served here.
        outcomes: what came of the arms.
    """

    def __init__(
        self,
        settings: Settings,
        cluster: ClusterInfo,
        experiments: ExperimentStore,
        live: LiveExperiment,
        outcomes: ArmOutcomesDesk,
    ) -> None:
        self._settings, self._cluster = settings, cluster
        self._experiments, self._live = experiments, live
        self._artifacts = ArtifactStore(settings.artifacts_url)
        self._outcomes = outcomes

    async def versions(self, kind: str | None) -> dict[str, Any]:
        """What is stored and what is live.

        Raises:
            ValueError: there is no such kind.
        """
        if kind is not None and kind not in KINDS:
            raise ValueError(f"there is no kind {kind!r}; the kinds are {', '.join(KINDS)}")
        kinds = KINDS if kind is None else (kind,)
        live = await live_versions(self._settings, self._cluster)
        rows = await asyncio.to_thread(listed, self._artifacts, live, kinds)
        names = {name: of.version for name, of in live.items() if name in kinds}
        return {"versions": rows, "live": names}

    def experiment(self) -> dict[str, Any]:
        """The experiment that is served here, and why a newer one is not."""
        document = msgspec.to_builtins(self._live.experiment)
        return {"experiment": document, "refused": self._live.refused}

    async def set_experiment(self, who: str, document: bytes) -> dict[str, Any]:
        """Replace the experiment.

        Raises:
            ValueError: it is none, or names a query or rankers that there are not.
        """
        try:
            return await set_experiment(self._experiments, self._settings, who, document)
        except ExperimentError as error:
            raise ValueError(str(error)) from error

    async def history(self, most: int) -> list[Mapping[str, Any]]:
        """The newest changes of the experiment, newest first."""
        return [msgspec.to_builtins(change) for change in await self._experiments.history(most)]

    def outcomes(self) -> dict[str, Any]:
        """What came of the arms, as it was found last; it is found anew behind that."""
        return self._outcomes.told()
