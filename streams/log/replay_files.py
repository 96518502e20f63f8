"""``freshgrid replay``: fixtures in, a report out."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from infra.config import Settings
from infra.errors import FreshgridError
from infra.kafka import Ends, committed_offsets, group_lag, prepare_cluster
from infra.log_reader import LogReader
from infra.open_stores import open_stores
from streams.log.replay import REPLAYABLE, Progress, replay_offline, replay_to_kafka, state_hash
from streams.topology import WORKER_GROUP

#: Folding is slower than sending, by far less than this.
FOLDED_TIMEOUT_S: Final = 600.0
POLL_S: Final = 0.25


class NotFoldedError(FreshgridError):
    """The workers did not get through what was sent."""


def replay_files(
    settings: Settings,
    files: Sequence[Path],
    *,
    offline: bool,
    hashed: bool,
    shift_to_now: bool,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Replay fixtures; the report names what was sent and, if asked, the hash of all state.

    The hash of a replay through Kafka is taken from Redis once the workers have committed
    everything that was sent, and what they sent back themselves.

    Args:
        on_progress: called with (records sent, records in all) while they go to Kafka.
    """
    started = time.monotonic()
    if offline:
        report = asyncio.run(_offline(settings, files, hashed))
    else:
        report = _through_kafka(settings, files, hashed, shift_to_now, on_progress)
    return {**report, "seconds": round(time.monotonic() - started, 3)}


async def _offline(settings: Settings, files: Sequence[Path], hashed: bool) -> dict[str, Any]:
    done = await replay_offline(files, settings)
    report: dict[str, Any] = {
        "records": done.records,
        "dead_letters": len(done.dead_letters),
        "errors": dict(Counter(letter.error for letter in done.dead_letters)),
        "waiting_for_media": done.waiting,
    }
    if hashed:
        report["state_hash"], report["viewers"] = await state_hash(done.store)
    return report


def _through_kafka(
    settings: Settings,
    files: Sequence[Path],
    hashed: bool,
    shift_to_now: bool,
    on_progress: Progress | None,
) -> dict[str, Any]:
    asyncio.run(prepare_cluster(settings))
    sent = replay_to_kafka(files, settings, shift_to_now=shift_to_now, on_progress=on_progress)
    report: dict[str, Any] = {"records": sum(sent.records.values()), "topics": sent.records}
    if hashed:
        report["state_hash"], report["viewers"] = asyncio.run(stored_hash(settings, sent.ends))
    return report


async def stored_hash(settings: Settings, ends: Ends) -> tuple[str, int]:
    """The hash of the state in Redis, once nothing that was sent waits to be folded.

    Raises:
        NotFoldedError: the workers do not get there.
    """
    await wait_folded(settings, ends)
    # Events that waited for their media were sent back behind these ends, before the media were
    # committed. They name their authors now, so they do not wait again.
    await wait_folded(settings, await unfolded(settings))
    async with open_stores(settings) as stores:
        return await state_hash(stores.viewers)


async def unfolded(settings: Settings) -> Ends:
    """Where the events and the catalogue end now, in partitions that are not committed so far.

    Raises:
        LogReadError: the broker does not tell.
    """
    cluster = await prepare_cluster(settings)
    places = [(topic, n) for topic in REPLAYABLE for n in range(cluster.partitions[topic])]
    committed = await committed_offsets(settings, WORKER_GROUP, places)
    ends = {}
    async with LogReader(settings) as reader:
        spans = await reader.spans(places)
        rest = {
            place: span._replace(start=max(span.start, committed[place]))
            for place, span in spans.items()
        }
        # Read, because a log may end with markers of transactions, which nobody commits.
        async for batch in reader.read(rest):
            ends[batch.topic, batch.partition] = batch.records[-1].offset + 1
    return ends


async def wait_folded(settings: Settings, ends: Ends) -> None:
    """Return once the workers have committed everything before `ends`.

    Raises:
        NotFoldedError: they do not get there.
    """
    deadline = time.monotonic() + FOLDED_TIMEOUT_S
    while lag := await group_lag(settings, WORKER_GROUP, ends):
        if time.monotonic() > deadline:
            raise NotFoldedError(
                f"{lag} records are not folded after {FOLDED_TIMEOUT_S:g} s; "
                "is a worker running? start one with `freshgrid worker`"
            )
        await asyncio.sleep(POLL_S)
