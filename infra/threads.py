"""Threads: one for BLAS and OpenMP, and those whose work nobody waits for at the end.

A process that ranks is one of several on its machine. Libraries read these variables when they are
loaded, so :func:`use_one_thread` comes before the first import of NumPy.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
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
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def tell(result: Result | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        try:
            told = work(), None
        except BaseException as error:
            told = None, error  # type: ignore[assignment]
        # The loop may be closed by then.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, *told)

    Thread(target=run, daemon=True).start()
    return await done
