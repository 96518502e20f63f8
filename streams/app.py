"""Where a process begins: arguments, signals and exit codes.

``python -m streams.app worker|learner|ranker`` runs one role (:mod:`streams.roles`) until it is
asked to stop and prints ``ready`` once it does its work. Each role imports only what it needs:
workers and rankers never load torch or gensim. Nothing imports this module but the command line.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

from infra.config import Settings, settings
from infra.errors import FreshgridError
from infra.kafka import ClusterInfo, prepare_cluster
from infra.kafka_waiting import once_there
from infra.metrics import metrics_served
from infra.secrets import mask_output
from streams.roles.runtime import tune_garbage_collection
from streams.topology import LEARNER, ROLES, WORKER

#: A process that was asked to stop and does not is ended: nothing is lost by a crash.
STOP_TIMEOUT_S: Final = 20.0

Role = Callable[[Settings, ClusterInfo], AbstractAsyncContextManager[asyncio.Future[None]]]

logger = logging.getLogger(__name__)


def _role(name: str) -> Role:
    if name == WORKER:
        from streams.roles.worker import worker

        return worker
    if name == LEARNER:
        from streams.roles.learner import learner

        return learner
    from streams.roles.ranker import ranker

    return ranker


async def _serve(role: str, config: Settings) -> int:
    """Run a role until SIGTERM or SIGINT (0), or until it fails (1)."""
    loop = asyncio.get_running_loop()
    asked, ready = asyncio.Event(), asyncio.Event()
    serving = asyncio.ensure_future(_until_asked(role, config, asked, ready))

    def ask() -> None:
        if not asked.is_set():
            loop.call_later(STOP_TIMEOUT_S, _give_up, role)
        asked.set()
        # A start may wait for a server as long as it takes: it is not waited for.
        if not ready.is_set():
            serving.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    try:
        return await serving
    except asyncio.CancelledError:
        return 0


async def _until_asked(
    role: str, config: Settings, asked: asyncio.Event, ready: asyncio.Event
) -> int:
    """Start a role, set `ready`, and run it until asked to stop (0), or until it fails (1)."""
    async with AsyncExitStack() as stack:
        stack.enter_context(metrics_served(config))
        failed = await _started(role, config, stack)
        tune_garbage_collection()
        ready.set()
        print("ready", flush=True)
        asking = asyncio.ensure_future(asked.wait())
        failing = asyncio.ensure_future(failed)
        await asyncio.wait((asking, failing), return_when=asyncio.FIRST_COMPLETED)
        asking.cancel()
        failing.cancel()
        if asked.is_set():
            return 0
        logger.error("%s stopped by itself: %s", role, _cause(failing))
        return 1


async def _started(role: str, config: Settings, stack: AsyncExitStack) -> asyncio.Future[None]:
    """The role at work; Kafka, which may come up after its clients, is waited for.

    What is opened before Kafka goes away again is closed, and the start begins anew.
    """

    async def start() -> asyncio.Future[None]:
        cluster = await prepare_cluster(config)
        return await stack.enter_async_context(_role(role)(config, cluster))

    return await once_there(start)


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
    configure_logging(config.log_level, config.log_format)
    with asyncio.Runner(loop_factory=loop_of(role)) as runner:
        return runner.run(_serve(role, config))


def loop_of(role: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of a role; None for that of Python.

    A request spends most of its time in the loop, and uvloop's takes two thirds of that. What
    folds and learns does not notice, so it goes without.
    """
    if role in (WORKER, LEARNER):
        return None
    try:
        import uvloop
    except ImportError:
        # Windows, PyPy and whatever else has no wheel.
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def main() -> None:
    """Entry point of ``python -m streams.app ROLE``."""
    mask_output()
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
