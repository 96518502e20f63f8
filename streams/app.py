"""Composition root: settings → adapters → agents, one function a role.

``python -m streams.app worker|learner|ranker`` runs one role until it is asked to stop and prints
``ready`` once it does its work. Each role imports only what it needs: workers and rankers never
load torch or gensim.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import faust
from mode import CrashingSupervisor

from infra.batch_sender import Outbox
from infra.config import Settings, settings
from infra.errors import FreshgridError
from infra.kafka import FOLLOWER_WAIT_MS, ClusterInfo, prepare_cluster
from infra.metrics import lag_exported, metrics_served
from infra.redis_store import RedisStore, connect
from models.events import MEDIA_TOPIC
from streams.roles.runtime import tune_garbage_collection
from streams.transport import BatchedConsumer, BatchedTransport

ROLES: Final = ("worker", "learner", "ranker")
#: Chunks waiting per agent. Each holds up to one fetch of a partition, so a few are plenty, and
#: back-pressure reaches the broker early.
BUFFERED_CHUNKS: Final = 8
#: Offsets are committed this often; a crash repeats at most this much, and repeats are harmless.
COMMIT_INTERVAL_S: Final = 1.0

#: A worker that is asked to stop finishes what it has taken, unless Redis or Kafka keep it waiting.
DRAIN_TIMEOUT_S: Final = 5.0
#: A process that was asked to stop and does not is ended: nothing is lost by a crash.
STOP_TIMEOUT_S: Final = 20.0

Role = Callable[
    [Settings, ClusterInfo], contextlib.AbstractAsyncContextManager[asyncio.Future[None]]
]

logger = logging.getLogger(__name__)


def faust_app(role: str, config: Settings, *, prompt: bool = True) -> faust.App:
    """A Faust application on the batched transport; its consumer group is ``freshgrid-{role}``.

    Args:
        prompt: it stands between a like and a grid, so that a wait counts.
    """
    wait_ms = config.fetch_max_wait_ms
    BatchedTransport.fetch_max_wait_ms = wait_ms if prompt else max(wait_ms, FOLLOWER_WAIT_MS)
    servers = config.kafka_bootstrap_servers.split(",")
    return faust.App(
        f"freshgrid-{role}",
        broker=";".join(f"batched://{server.strip()}" for server in servers),
        web_enabled=False,
        # Faust makes this folder, though nothing is kept in it: no tables are used.
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
        consumer_max_fetch_size=config.fetch_max_bytes,
        broker_max_poll_records=config.chunk_max_records,
        producer_max_request_size=config.max_message_bytes,
    )


@asynccontextmanager
async def running(app: faust.App) -> AsyncIterator[asyncio.Future[None]]:
    """The app started and holding its partitions; the future ends when the app crashes."""
    assigned = asyncio.Event()

    @app.on_partitions_assigned.connect
    async def on_assigned(*_: object, **__: object) -> None:
        assigned.set()

    await app.start()
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
        for task in own:
            task.cancel()
        await asyncio.gather(*own, return_exceptions=True)
        any_failed.cancel()


@asynccontextmanager
async def worker(config: Settings, cluster: ClusterInfo) -> AsyncIterator[asyncio.Future[None]]:
    """Ingest: events, catalogue and sessions."""
    from streams.batches import Collector
    from streams.ingest import Ingest
    from streams.sessions import Sessions
    from streams.topology import add_worker

    async with AsyncExitStack() as stack:
        store = RedisStore(connect(config, patient=True), config)
        stack.push_async_callback(store.close)
        await store.start()
        outbox = Outbox(config)
        await outbox.start()
        stack.push_async_callback(outbox.stop)
        app = faust_app("worker", config)
        ingest = Ingest(store, outbox, config.fold_config(), cluster.log_id)
        sessions = Sessions(store, outbox, config.session_gap_ms)
        events, touched = Collector(config.chunk_max_records), Collector(config.chunk_max_records)
        parking_ttl_ms = int(config.parking_ttl_s * 1000)
        beside = add_worker(
            app, ingest, sessions, events, touched, parking_ttl_ms, cluster.partitions[MEDIA_TOPIC]
        )
        stopped = await stack.enter_async_context(running(app))
        failed = await stack.enter_async_context(background(stopped, *beside))
        yield failed
        # What is under way is finished and committed, so that nobody has to do it again.
        if failed.cancelled() or not failed.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_TIMEOUT_S):
                    await asyncio.gather(events.drain(), touched.drain())


def _role(name: str) -> Role:
    if name == "worker":
        return worker
    if name == "learner":
        from streams.roles.learner import learner

        return learner
    from streams.roles.ranker import ranker

    return ranker


async def _serve(role: str, config: Settings) -> int:
    """Run a role until SIGTERM or SIGINT (0), or until it fails (1)."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    cluster = await prepare_cluster(config)
    async with AsyncExitStack() as stack:
        stack.enter_context(metrics_served(config))
        failed = await stack.enter_async_context(_role(role)(config, cluster))
        tune_garbage_collection()
        print("ready", flush=True)
        asking = asyncio.ensure_future(asked.wait())
        failing = asyncio.ensure_future(failed)
        await asyncio.wait((asking, failing), return_when=asyncio.FIRST_COMPLETED)
        asking.cancel()
        if asked.is_set():
            loop.call_later(STOP_TIMEOUT_S, _give_up, role)
            failing.cancel()
            return 0
        failing.cancel()
        logger.error("%s stopped by itself: %s", role, _cause(failing))
        return 1


def _give_up(role: str) -> None:
    tasks = "; ".join(str(task) for task in asyncio.all_tasks())
    logger.error("%s did not stop within %g s and is ended: %s", role, STOP_TIMEOUT_S, tasks)
    os._exit(1)


def _cause(future: asyncio.Future[None]) -> str:
    if future.done() and not future.cancelled() and future.exception() is not None:
        return repr(future.exception())
    return "an agent failed; the log above says why"


def run(role: str) -> int:
    """Run one role in this process; returns the exit code."""
    from infra.telemetry import configure_logging

    config = settings()
    configure_logging(config.log_level)
    return asyncio.run(_serve(role, config))


def main() -> None:
    """Entry point of ``python -m streams.app ROLE``."""
    if len(sys.argv) != 2 or sys.argv[1] not in ROLES:
        print(f"usage: python -m streams.app {'|'.join(ROLES)}", file=sys.stderr)
        raise SystemExit(2)
    try:
        code = run(sys.argv[1])
    except FreshgridError as error:
        print(f"freshgrid {sys.argv[1]}: {error}", file=sys.stderr)
        code = error.exit_code
    raise SystemExit(code)


if __name__ == "__main__":
    main()
