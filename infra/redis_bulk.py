"""Thousands of Redis commands in one exchange.

redis-py's pipeline spends 15 µs of Python on each command, most of it on building objects that a
uniform batch does not need. Here commands are packed and replies parsed by hiredis, on connections
that redis-py opened, authenticated and keeps in its pool: below 2 µs a command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis
from redis.asyncio import Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from infra.config import Settings
from infra.redis_clients import TLS_SCHEME, redis_client
from infra.redis_sentinel import SENTINEL_SCHEME, SENTINEL_TLS_SCHEME

#: Name, keys and arguments of one command.
Command = tuple[bytes | str | int, ...]

#: Commands written at once: the server works on the first ones while the next are packed.
GROUP: Final = 256
READ_BYTES: Final = 256 * 1024
#: A server that says nothing for this long is taken for gone, and connected to anew.
SOCKET_TIMEOUT_S: Final = 5.0
#: A replica in step has a write within a millisecond; one that has not by then is tried again.
REPLICA_WAIT_MS: Final = 1000
#: What writes nothing has nothing that replicas could lack, and is answered while they are away.
READS: Final = frozenset(
    {
        *("DUMP", "EXISTS", "GET", "GETRANGE", "HGETALL", "HMGET", "LINDEX", "LLEN", "LRANGE"),
        *("PTTL", "SCAN", "STRLEN", "TTL", "ZCARD", "ZMSCORE", "ZRANGE", "ZRANGEBYSCORE", "ZSCORE"),
    }
)
#: First words of the answers of a server that cannot do now what it will do again: it is full,
#: busy with a script, reading its data, cannot save, lacks replicas or a part of the cluster, is no
#: primary any more, or does not know us (any more).
NOT_NOW: Final = frozenset(
    {
        *("OOM", "BUSY", "LOADING", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN"),
        *("READONLY", "MASTERDOWN", "NOAUTH", "WRONGPASS"),
    }
)

_MORE: Final = object()
_pack: Callable[[Any], Any] = hiredis.pack_command


class NotNowError(ResponseError):
    """The server answers that it cannot do this now (:data:`NOT_NOW`)."""


class MissingFunctionError(ResponseError):
    """A function was called that the server does not have (any more)."""


class _Bulk:
    """What both kinds of connection below can do."""

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands, return their replies.

        Raises:
            RedisConnectionError, RedisTimeoutError: the connection is closed; any part of the
                commands may have been executed.
            ResponseError: the first error among the replies. After a :class:`NotNowError` the
                connection is closed.
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
                refusal = _error(str(reply))
                if isinstance(refusal, NotNowError):
                    # The name may lead to another server by now: after a failover to the primary.
                    await connection.disconnect(nowait=True)
                raise refusal
        return replies


class BulkConnection(_Bulk, Connection):
    """A connection by TCP, for ``redis://`` URLs."""


class BulkSSLConnection(_Bulk, SSLConnection):
    """A connection by TLS, for ``rediss://`` URLs."""


class BulkUnixConnection(_Bulk, UnixDomainSocketConnection):
    """A connection by a socket in the file system."""


class BulkSentinelConnection(_Bulk, SentinelManagedConnection):
    """A connection to whom the sentinels name, by TCP."""


class BulkSentinelSSLConnection(_Bulk, SentinelManagedSSLConnection):
    """A connection to whom the sentinels name, by TLS."""


_CONNECTIONS: Final[dict[str, Any]] = {
    TLS_SCHEME: BulkSSLConnection,
    "unix": BulkUnixConnection,
    SENTINEL_SCHEME: BulkSentinelConnection,
    SENTINEL_TLS_SCHEME: BulkSentinelSSLConnection,
}


def connect(settings: Settings) -> Redis:
    """A client that tries everything once: who waits for a server is :mod:`infra.redis_server`.

    Raises:
        SettingsError: the settings of the connection cannot be used.
    """
    scheme = settings.redis_url.partition("://")[0]
    client = redis_client(settings, protocol=2, socket_timeout=SOCKET_TIMEOUT_S)
    # Not as an option: what the scheme of a URL stands for goes before those.
    client.connection_pool.connection_class = _CONNECTIONS.get(scheme, BulkConnection)
    return client


async def exchange(redis: Redis, commands: Sequence[Command], replicas: int = 0) -> list[Any]:
    """Send commands over one connection of `redis`, in order; returns their replies.

    Args:
        replicas: so many must have what was written before it counts.

    Raises:
        NotNowError: fewer have it in time.
        redis.exceptions.RedisError: as :meth:`_Bulk.exchange` does.
    """
    if not commands:
        return []
    if replicas and not all(command[0] in READS for command in commands):
        *told, have = await exchange(redis, [*commands, ("WAIT", replicas, REPLICA_WAIT_MS)])
        if have < replicas:
            raise NotNowError(f"NOREPLICAS {have} of {replicas} replicas have the write")
        return told
    pool: Any = redis.connection_pool
    connection: Any = await pool.get_connection()
    try:
        replies: list[Any] = await connection.exchange(commands)
        return replies
    finally:
        await pool.release(connection)


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
    if text.partition(" ")[0] in NOT_NOW:
        return NotNowError(text)
    if "Function not found" in text:
        return MissingFunctionError(text)
    return ResponseError(text)
