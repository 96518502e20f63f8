"""Threads: one for BLAS and OpenMP, and those whose work nobody waits for at the end.

A process that ranks is one of several on its machine. Libraries read these variables when they are
loaded, so :func:`use_one_thread` comes before the first import of NumPy.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Final, TypeVar

Result = TypeVar("Result")

ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


def use_one_thread() -> None:
    """Let this process compute as one of the stack does, unless its environment says otherwise."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)


async def in_daemon_thread(work: Callable[[], Result]) -> Result:
    """The result of long work in a thread of its own, which ends where its process ends.

    A process waits for the threads of :func:`asyncio.to_thread` before it ends.
    """
    done: Future[Result] = Future()
    # Whoever gives up waiting does not stop it.
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(done)
