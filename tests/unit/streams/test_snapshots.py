"""When snapshots are written."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from infra.artifacts import ArtifactStore
from infra.kafka import ClusterInfo, Follower
from infra.metrics import LEARNER_SNAPSHOT_AGE, LEARNER_SNAPSHOTS
from streams import snapshots as module
from streams.snapshots import Copy, Kind, Snapshots

KIND = Kind("some", "something", (), LEARNER_SNAPSHOTS, LEARNER_SNAPSHOT_AGE)


class Reading:
    """A follower that has read nothing, and is polled all the time."""

    async def read_to(self) -> dict[Any, Any]:
        return {}


async def written(store: ArtifactStore, snapshots: Snapshots, wanted: int) -> None:
    async with asyncio.timeout(20):
        while len(store.list("some")) < wanted:
            await snapshots.polled(cast(Follower, Reading()))
            await asyncio.sleep(0.01)


async def test_one_is_written_where_much_was_read_and_while_nothing_is_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HURRIED_EVERY_S", 0.0)
    monkeypatch.setattr(module, "HURRIED_LOOK_S", 0.01)
    store, much, settled = ArtifactStore(str(tmp_path)), False, True

    async def copy() -> Copy:
        nonlocal much
        much = False
        return Copy({"number": np.array(len(store.list("some")))}, {})

    snapshots = Snapshots(
        KIND, ClusterInfo("log", {}), store,
        every_s=3600.0, keep=9, copy=copy, stored=lambda arrays, _: arrays,
        settled=lambda: settled, hurried=lambda: much,
    )  # fmt: skip
    running = asyncio.ensure_future(snapshots.run(0.0))
    try:
        # Its time is in an hour.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await written(store, snapshots, 1)
        much = True
        await written(store, snapshots, 1)
        settled, much = False, True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await written(store, snapshots, 2)
        settled = True
        await written(store, snapshots, 2)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
