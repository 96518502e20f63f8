"""Long work tells how far it is, for whoever looks at the page of operations.

What a command shows on its terminal nobody else sees. So it says the same to the store, from a
thread of its own: a store that is away, or slow, neither ends nor delays it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from infra.config import Settings
from infra.errors import FreshgridError
from infra.http.operations import Work
from infra.open_stores import open_stores
from infra.stores import WorkBoard
from streams.clock import now_ms

EVERY_S: Final = 1.0
#: Whoever said nothing for so long has ended, however that was.
GONE_MS: Final = 15_000
#: The last word is waited for so long.
LAST_S: Final = 2.0

Progress = Callable[[int, int], None]

logger = logging.getLogger(__name__)

_work: Final = msgspec.json.Decoder(Work)


async def under_way(board: WorkBoard, at_ms: int) -> list[Work]:
    """Long work that told of itself lately, what began first first.

    Raises:
        UnreachableError: the store does not answer.
    """
    found = []
    for name, said in (await board.all()).items():
        try:
            work = _work.decode(said)
        except msgspec.DecodeError as error:
            logger.warning("what the work %r says of itself is left out: %s", name, error)
            continue
        if work.at_ms > at_ms - GONE_MS:
            found.append(work)
    return sorted(found, key=lambda work: work.began_ms)


@contextmanager
def telling(settings: Settings, what: str, also: Progress | None = None) -> Iterator[Progress]:
    """Gives the callback that takes (done, total) and tells it on, until left.

    Args:
        what: the work, in words.
        also: is called with the same at once.
    """
    began_ms = now_ms()
    told: tuple[int | None, int | None] = (None, None)
    name = f"{what} {socket.gethostname()} {os.getpid()} {began_ms}"
    over = threading.Event()

    def progress(done: int, total: int) -> None:
        nonlocal told
        told = done, total
        if also is not None:
            also(done, total)

    async def tell() -> None:
        async with open_stores(settings) as stores:
            while True:
                is_over = over.is_set()
                try:
                    if is_over:
                        await stores.work.end(name)
                        return
                    work = Work(what, *told, began_ms, now_ms())
                    await stores.work.note(name, msgspec.json.encode(work))
                except FreshgridError as error:
                    if is_over:
                        return
                    logger.debug("nobody is told how far %s is: %s", what, error)
                await asyncio.to_thread(over.wait, EVERY_S)

    teller = threading.Thread(target=lambda: asyncio.run(tell()), name="work", daemon=True)
    teller.start()
    try:
        yield progress
    finally:
        over.set()
        teller.join(LAST_S)
