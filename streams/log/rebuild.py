"""State back from the log: ``freshgrid rebuild`` and ``freshgrid replay --from-…``.

::

    FreshgridError
    ├── StateExistsError     Redis holds viewer state already
    ├── WouldLoseError       it holds what the log no longer tells
    └── NothingAppliedError  the workers' group has no committed offsets to replay up to

Workers must not run meanwhile: a viewer's state holds the next offset to apply, so a worker that
applies a new event hides the older ones of that partition from the fold. Both commands therefore
hold the workers' consumer group (:mod:`infra.group_hold`) until they are done.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiokafka.errors import KafkaError

from infra.batch_sender import Outbox
from infra.config import Settings
from infra.errors import FreshgridError, UnreachableError
from infra.group_hold import GroupHold
from infra.kafka import Message, Partition, prepare_cluster
from infra.log_reader import BEGINNING, Start
from infra.memory_store import MemoryStore
from infra.open_stores import open_stores
from infra.stores import Store, Versioned
from infra.topics import DEAD_LETTERS_TOPIC, SESSIONS_TOPIC, TOUCHED_TOPIC
from models.viewers.state import ViewerState, counters
from streams.dead_letter import parse_dead_letter
from streams.log.fold import Progress, Report, fold_log
from streams.log.replay import state_hash
from streams.log.whole_log import open_log
from streams.records import Sender, Touched, closed_sessions
from streams.topology import FOLDED, WORKER_GROUP

#: Viewers handled by one call.
PAGE: Final = 1000

_json = msgspec.json.Encoder()


class StateExistsError(FreshgridError):
    """Redis holds viewer state already."""


class WouldLoseError(FreshgridError):
    """Redis holds what the log no longer tells: a rebuild would lose it."""


class NothingAppliedError(FreshgridError):
    """The workers' group has no committed offsets to replay up to."""


async def rebuild(
    settings: Settings,
    *,
    force: bool = False,
    accept_loss: bool = False,
    hashed: bool = False,
    on_progress: Progress | None = None,
    archive_url: str | None = None,
) -> dict[str, Any]:
    """Fold the whole log into a draft, then put it in the place of what Redis holds.

    Until the log is folded to its end nothing is changed. The workers go on from there.

    Args:
        force: replace the viewer state that is there.
        accept_loss: also where it holds what the log no longer tells.
        hashed: report the state hash as well.
        archive_url: of an archive of the log, which is read before what Kafka still holds.

    Raises:
        StateExistsError: there is viewer state, and `force` is not given.
        WouldLoseError, ArchiveGapError: it would lose something, and `accept_loss` is not given.
        ArchiveError: the archive cannot be used.
        GroupBusyError: a worker runs, or was started meanwhile.
        UnreachableError: Kafka or Redis does not answer.
        LogReadError: the log cannot be read to its end.
    """
    started = time.monotonic()
    partitions = await _folded_partitions(settings)
    async with open_stores(settings) as stores:
        store = stores.viewers
        await store.start()
        if not force and not await store.is_empty():
            raise StateExistsError(
                f"Redis at {settings.redis_url} holds viewer state: to rebuild it from nothing, "
                "run `freshgrid rebuild --force`, which replaces it; to apply what a restored "
                "copy lacks, run `freshgrid replay --from-offset 0`"
            )
        async with (
            _open_outbox(settings) as outbox,
            GroupHold(settings, WORKER_GROUP, FOLDED) as hold,
        ):
            draft = store.draft()
            await draft.forget()
            sender = Unhandled(outbox, await hold.committed(partitions))
            progress = _checking(hold, on_progress)
            try:
                folded = await fold_log(
                    settings, draft, sender=sender, on_progress=progress,
                    archive_url=archive_url, accept_loss=accept_loss,
                )  # fmt: skip
                await _check_sessions(settings, folded.log_id, archive_url)
                if folded.missing and not accept_loss:
                    await _refuse_to_lose(store, draft, folded.missing)
                hold.check()
            except BaseException:
                await draft.forget()
                raise
            await stores.sessions.forget()
            await store.adopt(draft)
            viewers = await _resume(settings, store, outbox, archive_url)
            await hold.commit(folded.ends)
        report = await _report(folded, store, viewers, hashed)
    return {**report, "seconds": round(time.monotonic() - started, 3)}


async def replay_log(
    settings: Settings,
    start: Start = BEGINNING,
    *,
    hashed: bool = False,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Fold the log into a Redis that came back older, from `start` to where the workers were.

    What its state holds already is recognised by the offsets in it. `start` must not lie after
    the time of the copy: what lies between would be missing.

    Raises:
        NothingAppliedError: no worker has committed anything.
        GroupBusyError, UnreachableError, LogReadError: as :func:`rebuild`.
    """
    started = time.monotonic()
    partitions = await _folded_partitions(settings)
    async with open_stores(settings) as (store, *_):
        await store.start()
        async with (
            _open_outbox(settings) as outbox,
            GroupHold(settings, WORKER_GROUP, FOLDED) as hold,
        ):
            ends = await hold.committed(partitions)
            if not ends:
                raise NothingAppliedError(
                    f"the consumer group {WORKER_GROUP} has committed no offsets, so there is "
                    "nothing to replay up to: start a worker, or run `freshgrid rebuild`"
                )
            progress = _checking(hold, on_progress)
            folded = await fold_log(settings, store, start, ends, on_progress=progress)
            viewers = await _resume(settings, store, outbox)
            hold.check()
            report = await _report(folded, store, viewers, hashed)
    return {**report, "seconds": round(time.monotonic() - started, 3)}


async def replay_log_offline(
    settings: Settings,
    start: Start = BEGINNING,
    *,
    hashed: bool = False,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Fold the log from `start` into this process's memory.

    Raises:
        UnreachableError, LogReadError: as :func:`rebuild`.
    """
    started = time.monotonic()
    store = MemoryStore(settings)
    folded = await fold_log(settings, store, start, on_progress=on_progress)
    viewers = 0
    async for _ in store.scan():
        viewers += 1
    report = await _report(folded, store, viewers, hashed)
    return {**report, "seconds": round(time.monotonic() - started, 3)}


class Unhandled:
    """Lets dead letters through whose record no worker has handled; the others are sent already.

    Everything else is dropped: that viewers were touched is told once, at the end, and events
    that waited for their media stand in the log with it.
    """

    def __init__(self, sender: Sender, committed: Mapping[Partition, int]) -> None:
        self._sender = sender
        self._committed = committed

    async def send(self, messages: Iterable[Message]) -> None:
        """Send on only dead letters of records that no worker has handled."""
        dead_letters = [m for m in messages if m.topic == DEAD_LETTERS_TOPIC]
        await self._sender.send([m for m in dead_letters if self._is_new(m)])

    def _is_new(self, message: Message) -> bool:
        dead_letter = parse_dead_letter(message.value)
        return dead_letter is not None and dead_letter.offset >= self._committed.get(
            (dead_letter.topic, dead_letter.partition), 0
        )


async def _refuse_to_lose(store: Store, draft: Store, missing: Mapping[Partition, int]) -> None:
    """Raise WouldLoseError if any viewer would be left with fewer actions than she has now."""
    viewers = gone = poorer = 0

    async def compare(page: Mapping[str, ViewerState]) -> None:
        nonlocal viewers, gone, poorer
        for state, (revision, drafted, _) in zip(
            page.values(), await draft.load(list(page)), strict=True
        ):
            viewers += 1
            gone += not revision
            poorer += bool(revision) and _actions(drafted, store) < _actions(state, store)

    page: dict[str, ViewerState] = {}
    async for viewer_id, state in store.scan():
        page[viewer_id] = state
        if len(page) == PAGE:
            await compare(page)
            page = {}
    await compare(page)
    if gone or poorer:
        raise WouldLoseError(
            f"of {viewers} viewers in Redis {gone} would be gone and {poorer} would have fewer "
            f"actions: retention took {sum(missing.values())} events from the log. Nothing was "
            "changed. To apply what Redis lacks to what it has, run `freshgrid replay "
            "--from-offset 0`; to lose that, `freshgrid rebuild --force --accept-loss`"
        )


def _actions(state: ViewerState, store: Store) -> int:
    authors = counters(state, store.fold.half_life_ms).values()
    return sum(counter.count for of_author in authors for counter in of_author.values())


def _checking(hold: GroupHold, on_progress: Progress | None) -> Progress:
    """Progress that also ends the fold as soon as a worker joins the group."""

    def progress(done: int, total: int) -> None:
        hold.check()
        if on_progress is not None:
            on_progress(done, total)

    return progress


async def _resume(
    settings: Settings, store: Store, outbox: Outbox, archive_url: str | None = None
) -> int:
    """Let sessions and grids go on where they were; returns how many viewers there are.

    The newest session that was sent is remembered, so that none is sent again; every viewer is
    touched, so that open sessions are closed in time and grids are made.
    """
    cluster = await prepare_cluster(settings)
    async with open_log(settings, cluster.log_id, archive_url) as log:
        # One partition after the other: all sessions of a viewer are in one, which bounds memory.
        for partition in range(cluster.partitions[SESSIONS_TOPIC]):
            newest: dict[str, int] = {}
            async for batch in log.read(await log.kept([(SESSIONS_TOPIC, partition)])):
                for session in closed_sessions(batch.records):
                    ended_ts = max(session.ended_ts, newest.get(session.viewer_id, 0))
                    newest[session.viewer_id] = ended_ts
            await _remember_sent(store, newest)
    viewers = 0
    messages: list[Message] = []
    async for viewer_id, state in store.scan():
        viewers += 1
        value = _json.encode(Touched(viewer_id, state.newest_ts()))
        messages.append(Message(TOUCHED_TOPIC, viewer_id, value))
        if len(messages) == PAGE:
            await outbox.send(messages)
            messages = []
    await outbox.send(messages)
    return viewers


async def _check_sessions(settings: Settings, log_id: str, archive_url: str | None) -> None:
    """Raise ArchiveError where :func:`_resume` would, after the draft counts."""
    if archive_url is None:
        return
    async with open_log(settings, log_id, archive_url) as log:
        count = (await prepare_cluster(settings)).partitions[SESSIONS_TOPIC]
        await log.check(await log.kept([(SESSIONS_TOPIC, n) for n in range(count)]))


async def _remember_sent(store: Store, newest: Mapping[str, int]) -> None:
    everyone = list(newest)
    for first in range(0, len(everyone), PAGE):
        viewer_ids = everyone[first : first + PAGE]
        changed: list[tuple[str, Versioned]] = []
        for viewer_id, versioned in zip(viewer_ids, await store.load(viewer_ids), strict=True):
            if versioned.revision and versioned.state.sessions_sent < newest[viewer_id]:
                versioned.state.sessions_sent = newest[viewer_id]
                changed.append((viewer_id, versioned))
        await store.commit([v for v, _ in changed], [s for _, s in changed])


async def _report(folded: Report, store: Store, viewers: int, hashed: bool) -> dict[str, Any]:
    report: dict[str, Any] = {
        "events": folded.events,
        "catalogue": folded.catalogue,
        "dead": folded.dead,
        "viewers": viewers,
        "waiting_for_media": await store.parked_media(),
        "missing": {f"{topic}[{n}]": count for (topic, n), count in folded.missing.items()},
    }
    if hashed:
        report["state_hash"], _ = await state_hash(store)
    return report


async def _folded_partitions(settings: Settings) -> list[Partition]:
    cluster = await prepare_cluster(settings)
    return [(topic, n) for topic in FOLDED for n in range(cluster.partitions[topic])]


@asynccontextmanager
async def _open_outbox(settings: Settings) -> AsyncIterator[Outbox]:
    outbox = Outbox(settings)
    await outbox.start()
    try:
        yield outbox
    except KafkaError as error:
        raise UnreachableError(
            f"Kafka at {settings.kafka_bootstrap_servers} does not do what it should ({error}); "
            "check the brokers, then run this again"
        ) from error
    finally:
        await outbox.stop()


def lacking(missing: Mapping[str, int]) -> str:
    """A warning about what the log no longer holds, from a report's ``missing``."""
    parts = ", ".join(f"{name} {count}" for name, count in sorted(missing.items()))
    return (
        "the log no longer begins at its beginning (retention), so the state lacks what was "
        f"there: up to {sum(missing.values())} events ({parts})"
    )
