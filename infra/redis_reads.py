"""One connection for reads that everybody waits for: many of them under way at once.

A connection from a pool serves one exchange after the other, and taking it costs more than a read.
Here reads of one turn of the event loop are sent together, and answers are given to those who wait
as they come, in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from infra.errors import UnreachableError, reason_of
from infra.redis_bulk import SOCKET_TIMEOUT_S, Command

#: Takes the replies to what was asked, or why there are none.
Told = Callable[[list[Any] | Exception], None]

logger = logging.getLogger(__name__)

_MORE: Final = object()
_pack: Callable[[Any], bytes] = hiredis.pack_command


class SharedReads:
    """Reads, each a few commands, over one connection of `redis` that is kept."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, *commands: Command) -> list[Any]:
        """The replies to commands that only read.

        Raises:
            UnreachableError: the server is away, or refuses one of them. Tried once.
        """
        line = self._line
        try:
            if line is None or line.closed:
                line = await self._connect()
            replies = await line.asked(b"".join(map(_pack, commands)), len(commands))
        except (RedisError, OSError) as error:
            raise UnreachableError(f"Redis does not answer a read ({reason_of(error)})") from error
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise UnreachableError(f"Redis refuses a read ({reply})")
        return replies

    def tell(self, told: Told, *commands: Command) -> bool:
        """Ask, and call `told` with the replies, or with why there are none.

        It is called by who reads the connection: it waits for nothing and raises nothing.

        Returns:
            False where there is no connection; then it is not called.
        """
        line = self._line
        if line is None or line.closed:
            return False
        line.ask(b"".join(map(_pack, commands)), len(commands), told)
        return True

    async def _connect(self) -> _Line:
        async with self._connecting:
            if self._line is None or self._line.closed:
                pool: Any = self._redis.connection_pool
                connection: Any = await pool.get_connection()

                async def give_back() -> None:
                    await connection.disconnect(nowait=True)
                    await pool.release(connection)

                # Opened and authenticated as every other; from here on what comes is ours.
                self._line = _Line(connection._writer.transport, give_back)
            return self._line


class _Line(asyncio.Protocol):
    """What is under way on a connection."""

    def __init__(self, transport: asyncio.Transport, give_back: Callable[[], Any]) -> None:
        self.closed = False
        self._transport = transport
        self._give_back = give_back
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._asked: deque[tuple[Told, int]] = deque()
        self._replies: list[Any] = []
        self._unsent: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._answered = 0
        #: Of the library, which waits for the end of the connection there.
        self._before: Any = transport.get_protocol()
        transport.set_protocol(self)

    def asked(self, packed: bytes, replies: int) -> asyncio.Future[list[Any]]:
        """Send commands; the future is of their replies."""
        future: asyncio.Future[list[Any]] = self._loop.create_future()

        def told(found: list[Any] | Exception) -> None:
            if future.done():
                return
            if isinstance(found, Exception):
                future.set_exception(found)
            else:
                future.set_result(found)

        self.ask(packed, replies, told)
        return future

    def ask(self, packed: bytes, replies: int, told: Told) -> None:
        """Send commands, at once or with whatever else is asked in this turn of the loop."""
        if not self._asked:
            # What is asked while nobody waits has nothing to go with.
            self._transport.write(packed)
        else:
            if not self._unsent:
                self._loop.call_soon(self._send)
            self._unsent.append(packed)
        self._asked.append((told, replies))
        if self._watch is None:
            self._watch = self._loop.call_later(SOCKET_TIMEOUT_S, self._look, self._answered)

    def data_received(self, data: bytes) -> None:
        """Give what came to those who wait for it."""
        reader, replies = self._reader, self._replies
        reader.feed(data)
        while (reply := reader.gets()) is not _MORE:
            replies.append(reply)
            told, wanted = self._asked[0]
            if len(replies) == wanted:
                self._asked.popleft()
                self._answered += 1
                _tell(told, replies)
                self._replies = replies = []

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody waits for a connection that is gone."""
        self._before.connection_lost(error)
        self._end(error or RedisConnectionError("the server closed the connection"))

    def eof_received(self) -> bool:
        """The server says no more."""
        return False

    def _send(self) -> None:
        packed, self._unsent = self._unsent, []
        if not self.closed:
            self._transport.write(b"".join(packed))

    def _look(self, answered: int) -> None:
        """Give up a server that has said nothing since the last look."""
        self._watch = None
        if not self._asked:
            return
        if self._answered == answered:
            self._transport.abort()
            self._end(RedisConnectionError(f"no answer within {SOCKET_TIMEOUT_S:g} s"))
        else:
            self._watch = self._loop.call_later(SOCKET_TIMEOUT_S, self._look, self._answered)

    def _end(self, error: Exception) -> None:
        if self.closed:
            return
        self.closed = True
        if self._watch is not None:
            self._watch.cancel()
        asked, self._asked = self._asked, deque()
        for told, _ in asked:
            _tell(told, error)
        cast(Any, self._loop).create_task(self._give_back())


def _tell(told: Told, found: list[Any] | Exception) -> None:
    """Nobody's fault takes the answers of others along."""
    try:
        told(found)
    except Exception:
        logger.exception("an answer of Redis could not be taken")
