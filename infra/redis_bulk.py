"""Thousands of Redis commands in one exchange.

redis-py's pipeline spends 15 µs of Python on each command, most of it on building objects that a
uniform batch does not need. Here commands are packed and replies parsed by hiredis, on connections
that redis-py opened, authenticated and keeps in its pool: below 2 µs a command.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis
from redis.asyncio import Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    BusyLoadingError,
    OutOfMemoryError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from infra.config import Settings
from infra.metrics import REDIS_FAILURES

#: Name, keys and arguments of one command.
Command = tuple[bytes | str | int, ...]

#: Commands written at once: the server works on the first ones while the next are packed.
GROUP: Final = 256
READ_BYTES: Final = 256 * 1024
#: A server that says nothing for this long is taken for gone, and connected to anew.
SOCKET_TIMEOUT_S: Final = 5.0
#: A Redis that restarts is back within seconds; a call waits that long before it fails.
RETRIES: Final = 8
FOR_EVER: Final = -1
#: Waiting for Redis is logged at the first failure and then about this often.
LOG_EVERY_FAILURES: Final = 10

_MORE: Final = object()
_pack: Callable[[Any], Any] = hiredis.pack_command

logger = logging.getLogger(__name__)


class MissingFunctionError(ResponseError):
    """A function was called that the server does not have (any more)."""


class _Bulk:
    """What both kinds of connection below can do."""

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands, return their replies.

        Raises:
            RedisConnectionError, RedisTimeoutError: the connection is closed; any part of the
                commands may have been executed.
            ResponseError: the first error among the replies.
        """
        connection = cast(Any, self)
        try:
            for at in range(0, len(commands), GROUP):
                packed = b"".join(map(_pack, commands[at : at + GROUP]))
                connection._writer.write(packed)
                async with asyncio.timeout(SOCKET_TIMEOUT_S):
                    await connection._writer.drain()
            replies = await _read(connection._reader, len(commands))
        except TimeoutError as error:
            await connection.disconnect(nowait=True)
            raise RedisTimeoutError(f"no answer within {SOCKET_TIMEOUT_S:g} s") from error
        except OSError as error:
            await connection.disconnect(nowait=True)
            raise RedisConnectionError(str(error)) from error
        except BaseException:
            # Replies may still be on their way: nobody else may read them.
            await connection.disconnect(nowait=True)
            raise
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise _error(str(reply))
        return replies


class BulkConnection(_Bulk, Connection):
    """A connection by TCP, for ``redis://`` URLs."""


class BulkSSLConnection(_Bulk, SSLConnection):
    """A connection by TLS, for ``rediss://`` URLs."""


class BulkUnixConnection(_Bulk, UnixDomainSocketConnection):
    """A connection by a socket in the file system."""


class LoggedBackoff(ExponentialWithJitterBackoff):
    """Says in log and metrics that Redis does not answer."""

    def compute(self, failures: int) -> float:
        """Seconds until the next attempt."""
        REDIS_FAILURES.inc()
        if failures % LOG_EVERY_FAILURES == 1:
            logger.warning("Redis does not answer (%d failures in a row); trying again", failures)
        return float(super().compute(failures))


_CONNECTIONS: Final[dict[str, Any]] = {
    "rediss": BulkSSLConnection,
    "unix": BulkUnixConnection,
}


def connect(settings: Settings, *, patient: bool = False) -> Redis:
    """A client that rides out a restart of the server.

    Args:
        patient: wait for the server as long as it takes instead of failing after some seconds.
            For processes that have nothing else to do and lose nothing by waiting.
    """
    errors: Any = (RedisConnectionError, RedisTimeoutError, OSError, OutOfMemoryError)
    retry = Retry(
        LoggedBackoff(cap=2.0, base=0.05),
        FOR_EVER if patient else RETRIES,
        supported_errors=errors,
    )
    url = settings.redis_url
    return Redis.from_url(
        url,
        connection_class=_CONNECTIONS.get(url.partition("://")[0], BulkConnection),
        protocol=2,
        retry=retry,
        retry_on_error=[RedisConnectionError, RedisTimeoutError, OutOfMemoryError],
        socket_timeout=SOCKET_TIMEOUT_S,
        health_check_interval=30,
    )


async def exchange(redis: Redis, commands: Sequence[Command]) -> list[Any]:
    """Send commands over one connection of `redis`, in order; returns their replies.

    Retried as a whole, so the commands must bear being executed twice.

    Raises:
        redis.exceptions.RedisError: as :meth:`_Bulk.exchange` does, once retrying is given up.
    """
    if not commands:
        return []
    pool: Any = redis.connection_pool

    async def once() -> list[Any]:
        connection: Any = await pool.get_connection()
        try:
            replies: list[Any] = await connection.exchange(commands)
            return replies
        finally:
            await pool.release(connection)

    async def failed(_: Exception) -> None: ...

    retry: Any = redis.get_retry()
    replies: list[Any] = await retry.call_with_retry(once, failed)
    return replies


async def _read(stream: asyncio.StreamReader, count: int) -> list[Any]:
    reader = hiredis.Reader(notEnoughData=_MORE)
    replies: list[Any] = []
    while len(replies) < count:
        async with asyncio.timeout(SOCKET_TIMEOUT_S):
            data = await stream.read(READ_BYTES)
        if not data:
            raise RedisConnectionError("the server closed the connection")
        reader.feed(data)
        while (reply := reader.gets()) is not _MORE:
            replies.append(reply)
    return replies


def _error(text: str) -> Exception:
    if text.startswith("LOADING"):
        return BusyLoadingError(text)
    if text.startswith("OOM"):
        return OutOfMemoryError(text)
    if "Function not found" in text:
        return MissingFunctionError(text)
    return ResponseError(text)
