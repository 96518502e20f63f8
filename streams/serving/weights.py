"""Reading and changing the value's weights and the arms: what commands and the API share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.stores import Change, ExperimentError, ExperimentStore
from models.explore.experiment import Experiment, InvalidExperimentError, parse
from models.rankers.value import InvalidWeightsError, Weights
from streams.clock import now_ms
from streams.serving.live_experiment import LiveExperiment, stored_rankers
from streams.serving.live_queries import LiveQueries
from streams.serving.own_operators import load_operators

#: Characters of `who` that are kept.
MAX_WHO: Final = 200


async def stored(store: ExperimentStore) -> Experiment:
    """The experiment as it is stored, the default one if there is none.

    Raises:
        ExperimentError: what stands there is none.
    """
    text = await store.read()
    try:
        return Experiment() if text is None else parse(text)
    except InvalidExperimentError as error:
        raise _unreadable(store, str(error)) from error


def weights_by_arm(experiment: Experiment) -> dict[str, Any]:
    """Arm → its weights, for JSON."""
    return {name: _weights(experiment, name) for name in experiment.arms}


async def change_weights(
    store: ExperimentStore, who: str, arm: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Replace some weights of an arm (empty: the first one); returns who, when, old and new.

    Raises:
        ExperimentError: there is no such arm or weight, or a weight cannot be used.
    """

    def edit(old: Experiment | None) -> Experiment:
        if old is None:
            raise _unreadable(store, "what stands there cannot be read")
        if not changes:
            raise ExperimentError("nothing to change; give weights, as in like=1 save=2.5")
        try:
            return old.with_weights(arm or old.first, dict(changes))
        except (InvalidExperimentError, InvalidWeightsError) as error:
            raise ExperimentError(str(error)) from error

    change = await store.change(who[:MAX_WHO], now_ms(), edit)
    name = arm or change.new.first
    return _row(change, name)


async def set_experiment(
    store: ExperimentStore, settings: Settings, who: str, data: bytes
) -> dict[str, Any]:
    """Replace the whole experiment, having tried whether the arms can be served from here.

    Raises:
        ExperimentError: it is none, or names a query or rankers that there are not.
    """
    try:
        experiment = parse(data)
        queries = LiveQueries(settings, load_operators(settings))
        stored_rankers(experiment, queries, ArtifactStore(settings.artifacts_url))
    except InvalidExperimentError as error:
        raise ExperimentError(str(error)) from error
    await store.change(who[:MAX_WHO], now_ms(), lambda _: experiment)
    document: dict[str, Any] = msgspec.to_builtins(experiment)
    return document


async def weights_history(store: ExperimentStore, most: int) -> list[dict[str, Any]]:
    """Changes of weights, newest first: when, who, which arm, old and new."""
    rows: list[dict[str, Any]] = []
    for change in await store.history():
        names = dict.fromkeys([*change.new.arms, *(change.old.arms if change.old else ())])
        rows += [row for row in (_row(change, n) for n in names) if row["old"] != row["new"]]
        if len(rows) >= most:
            break
    return rows[:most]


class WeightsDesk:
    """What the API needs: the weights that this process serves, and changing them.

    Args:
        live: what is served here.
    """

    def __init__(self, store: ExperimentStore, live: LiveExperiment) -> None:
        self._store, self._live = store, live

    def weights(self) -> dict[str, Any]:
        """Weights by arm, and why a newer experiment is not served, if that is so."""
        return {
            "arms": weights_by_arm(self._live.experiment),
            "refused": self._live.refused,
        }

    async def set_weights(self, who: str, arm: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Replace some weights of an arm.

        Raises:
            ValueError: the change is wrong.
        """
        try:
            return await change_weights(self._store, who, arm, changes)
        except ExperimentError as error:
            raise ValueError(str(error)) from error


def _weights(experiment: Experiment | None, name: str) -> dict[str, Any] | None:
    if experiment is None or name not in experiment.arms:
        return None
    weights = experiment.arm(name).weights
    assert isinstance(weights, Weights)
    return msgspec.structs.asdict(weights)


def _row(change: Change, arm: str) -> dict[str, Any]:
    return {
        "at_ms": change.at_ms,
        "who": change.who,
        "arm": arm,
        "old": _weights(change.old, arm),
        "new": _weights(change.new, arm),
    }


def _unreadable(store: ExperimentStore, why: str) -> ExperimentError:
    return ExperimentError(
        f"{store.where} is no experiment ({why}), the rankers serve the last good one; "
        "replace it with freshgrid experiments set FILE (freshgrid experiments history has those "
        "of before)"
    )
