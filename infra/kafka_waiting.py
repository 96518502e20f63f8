"""Waiting for a Kafka that is away: as long as it takes, interruptible, and never in silence."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

from aiokafka.errors import KafkaError

from infra.errors import UnreachableError

#: It is tried again so soon at first and at most this far apart, and said this often.
FIRST_PAUSE_S: Final = 0.5
MOST_PAUSE_S: Final = 3.0
TELL_WAITING_S: Final = 10.0

#: A broker that is there answers before this; whoever waits longer is told for what.
TELL_FIRST_S: Final = 1.0

#: A start that is given up is waited for so long: one that finds a broker takes milliseconds.
START_OVER_S: Final = 2.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Client(Protocol):
    """A client of aiokafka, of whatever kind."""

    async def start(self) -> object:
        """Find the cluster; an error is raised where no broker answers."""
        ...


async def connect(client: Client) -> None:
    """Start a client; nobody is left connected where the start is given up.

    The library forgets the connection that it asks for the cluster if it is cancelled meanwhile. So
    a start is finished all the same; whoever called stops the client then.
    """
    starting = asyncio.ensure_future(client.start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting], timeout=START_OVER_S)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        raise


def is_away(error: Exception) -> bool:
    """Whether an error means that no broker answers now, and one may later."""
    if isinstance(error, KafkaError):
        return bool(error.retriable)
    # The library lets some of its own timeouts through as they are.
    return isinstance(error, UnreachableError | ConnectionError | TimeoutError)


async def once_there(attempt: Callable[[], Awaitable[T]]) -> T:
    """What an attempt returns that did not fail because Kafka is away.

    Args:
        attempt: closes what it opened when it fails. Other errors are raised as they are.
    """
    told_s, pause_s = -math.inf, FIRST_PAUSE_S
    while True:
        try:
            return await attempt()
        except Exception as error:
            if not is_away(error):
                raise
            if time.monotonic() - told_s >= TELL_WAITING_S:
                told_s = time.monotonic()
                logger.warning("waiting for Kafka: %s", str(error) or repr(error))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, MOST_PAUSE_S)


@contextmanager
def telling(address: str, most_s: float) -> Iterator[None]:
    """While a client that is not asynchronous waits for a broker, say so once, and how long."""
    said = "waiting for Kafka at %s, for %g s at most"
    timer = threading.Timer(TELL_FIRST_S, logger.warning, (said, address, most_s))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
