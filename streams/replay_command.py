"""``freshgrid replay``: fixtures in, a report out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from infra.config import Settings
from infra.errors import FreshgridError
from infra.kafka import WORKER_GROUP, Ends, group_lag, prepare_cluster
from infra.redis_store import RedisStore, connect
from streams.progress import showing_progress
from streams.replay import replay_offline, replay_to_kafka, state_hash

#: Folding is slower than sending, by far less than this.
FOLDED_TIMEOUT_S: Final = 600.0
POLL_S: Final = 0.25
#: An event that is sent back into its topic is folded well within this.
SETTLED_S: Final = 1.0


class NotFoldedError(FreshgridError):
    """The workers did not get through what was sent."""


def replay_files(
    settings: Settings, files: Sequence[Path], *, offline: bool, hashed: bool, shift_to_now: bool
) -> dict[str, Any]:
    """Replay fixtures; the report names what was sent and, if asked, the hash of all state.

    The hash of a replay through Kafka is taken from Redis once the workers have committed
    everything that was sent.
    """
    started = time.monotonic()
    if offline:
        report = asyncio.run(_offline(settings, files, hashed))
    else:
        report = _through_kafka(settings, files, hashed, shift_to_now)
    return {**report, "seconds": round(time.monotonic() - started, 3)}


async def _offline(settings: Settings, files: Sequence[Path], hashed: bool) -> dict[str, Any]:
    done = await replay_offline(files, settings)
    report: dict[str, Any] = {
        "records": done.records,
        "dead_letters": len(done.dead_letters),
        "waiting_for_media": done.waiting,
    }
    if hashed:
        report["state_hash"], report["viewers"] = await state_hash(done.store)
    return report


def _through_kafka(
    settings: Settings, files: Sequence[Path], hashed: bool, shift_to_now: bool
) -> dict[str, Any]:
    asyncio.run(prepare_cluster(settings))
    with showing_progress("replay") as progress:
        sent = replay_to_kafka(files, settings, shift_to_now=shift_to_now, on_progress=progress)
    report: dict[str, Any] = {"records": sum(sent.records.values()), "topics": sent.records}
    if hashed:
        report["state_hash"], report["viewers"] = asyncio.run(stored_hash(settings, sent.ends))
    return report


async def stored_hash(settings: Settings, ends: Ends) -> tuple[str, int]:
    """The hash of the state in Redis, once nothing that was sent waits to be folded.

    Raises:
        NotFoldedError: the workers do not get there.
    """
    deadline = time.monotonic() + FOLDED_TIMEOUT_S
    while lag := await group_lag(settings, WORKER_GROUP, ends):
        if time.monotonic() > deadline:
            raise NotFoldedError(
                f"{lag} records are not folded after {FOLDED_TIMEOUT_S:g} s; "
                "is a worker running? start one with `freshgrid worker`"
            )
        await asyncio.sleep(POLL_S)
    store = RedisStore(connect(settings), settings)
    try:
        # Events that waited for their media come behind the ends: look until nothing moves.
        found = await state_hash(store)
        while True:
            await asyncio.sleep(SETTLED_S)
            again = await state_hash(store)
            if again == found:
                return found
            found = again
    finally:
        await store.close()
