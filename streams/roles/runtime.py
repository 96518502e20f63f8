"""What every role runs on: its Faust application, and what goes on beside it."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import faust
from faust.tables import TableManager
from faust.types import TP
from mode import CrashingSupervisor

from infra.config import Settings
from infra.kafka import FOLLOWER_WAIT_MS, METADATA_MAX_AGE_MS
from infra.kafka_clients import faust_credentials
from infra.metrics import lag_exported
from streams.topology import Flow
from streams.transport import BatchedConsumer, BatchedTransport, Chunk, ChunkSchema

#: Chunks waiting per agent. Each holds up to one fetch of a partition, so a few are plenty, and
#: back-pressure reaches the broker early.
BUFFERED_CHUNKS: Final = 8
#: Offsets are committed this often; a crash repeats at most this much, and repeats are harmless.
COMMIT_INTERVAL_S: Final = 1.0
#: A part that was cancelled and goes on is cancelled again after this.
CANCEL_AGAIN_S: Final = 2.0

Handler = Callable[[Chunk], Awaitable[None]]


class NoTables(TableManager):
    """No tables, and so no second in which Faust waits for them to be registered at each start."""

    async def on_start(self) -> None:
        """Go on to the topics at once."""
        await self._update_channels()
        await self.recovery.start()


def faust_app(
    group: str, config: Settings, *, prompt: bool = True, finish_wait_s: float = 0.0
) -> faust.App:
    """A Faust application on the batched transport; its consumer group is `group`.

    Args:
        prompt: it stands between a like and a grid, so that a wait counts.
        finish_wait_s: how long partitions that move to another process wait for what was taken.
    """
    BatchedTransport.finish_wait_s = finish_wait_s
    wait_ms = config.fetch_max_wait_ms
    BatchedTransport.fetch_max_wait_ms = wait_ms if prompt else max(wait_ms, FOLLOWER_WAIT_MS)
    servers = config.kafka_bootstrap_servers.split(",")
    return faust.App(
        group,
        broker=";".join(f"batched://{server.strip()}" for server in servers),
        broker_credentials=faust_credentials(config),
        web_enabled=False,
        TableManager=NoTables,
        # Faust makes this folder, though nothing is kept in it.
        datadir=str(Path(tempfile.gettempdir()) / "freshgrid-faust"),
        autodiscover=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        stream_buffer_maxsize=BUFFERED_CHUNKS,
        stream_wait_empty=False,
        # An agent that failed must not go on as if nothing had happened: its chunk is not
        # finished, so nothing behind it would ever be committed. The process ends instead, and
        # whoever restarts it gets the chunk again.
        agent_supervisor=CrashingSupervisor,
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_session_timeout=config.session_timeout_s,
        broker_heartbeat_interval=config.session_timeout_s / 4,
        broker_rebalance_timeout=config.rebalance_timeout_s,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        consumer_max_fetch_size=config.fetch_max_bytes,
        broker_max_poll_records=config.chunk_max_records,
        producer_max_request_size=config.max_message_bytes,
    )


def agent(app: faust.App, flow: Flow, handle: Handler) -> None:
    """Give the chunks of a flow's topics to `handle`.

    It finishes each chunk itself, after everything the chunk caused is stored and acknowledged.
    """
    channel = app.topic(*flow.reads, schema=ChunkSchema())

    async def consume(stream: Any) -> None:
        async for chunk in stream:
            await handle(chunk)

    app.agent(channel, name=f"freshgrid.{flow.name}")(consume)


@asynccontextmanager
async def running(
    app: faust.App, told: Callable[[set[TP]], None] = lambda _: None
) -> AsyncIterator[asyncio.Future[None]]:
    """The app started and holding its partitions; the future ends when the app crashes.

    Args:
        told: called with all partitions that it holds, whenever they are dealt.
    """
    assigned = asyncio.Event()

    @app.on_partitions_assigned.connect
    async def on_assigned(*dealt: Any, **__: object) -> None:
        _, partitions = dealt
        told(partitions)
        assigned.set()

    try:
        await app.start()
    except BaseException:
        # It leaves clients behind, which have to be closed.
        await app.stop()
        raise
    stopped = asyncio.ensure_future(app.wait_until_stopped())
    try:
        waiting = asyncio.ensure_future(assigned.wait())
        await asyncio.wait((waiting, stopped), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        with lag_exported(cast(BatchedConsumer, app.consumer).lag):
            yield stopped
    finally:
        stopped.cancel()
        await app.stop()


@asynccontextmanager
async def background(
    *parts: asyncio.Future[None] | Coroutine[Any, Any, None],
) -> AsyncIterator[asyncio.Future[None]]:
    """Run parts that should never end side by side; the future ends when any of them does."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    any_failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(done: asyncio.Future[None]) -> None:
        if any_failed.done() or done.cancelled():
            return
        error = done.exception()
        if error is None:
            any_failed.set_result(None)
        else:
            any_failed.set_exception(error)

    for future in tasks:
        future.add_done_callback(end)
    try:
        yield any_failed
    finally:
        # A future that was handed over belongs to whoever made it.
        own = [task for task, part in zip(tasks, parts, strict=True) if task is not part]
        # redis-py swallows a cancellation that comes while it takes a connection: ask again.
        while running_still := [task for task in own if not task.done()]:
            for task in running_still:
                task.cancel()
            await asyncio.wait(running_still, timeout=CANCEL_AGAIN_S)
        await asyncio.gather(*own, return_exceptions=True)
        any_failed.cancel()


async def cancelled(task: asyncio.Future[None]) -> None:
    """End a task, and wait until it is over."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def tune_garbage_collection() -> None:
    """Look for cycles rarely, and not among what is there for good.

    Records come and go by the thousand without being part of any cycle. Collecting at every 700
    allocations, as Python does by default, takes a fifth of a busy worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
