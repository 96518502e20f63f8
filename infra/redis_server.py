"""One Redis or Valkey server: its functions and connections, waiting for it, its errors as ours."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import redis
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from infra.config import Settings
from infra.errors import UnreachableError, reason_of
from infra.metrics import REDIS_FAILURES
from infra.redis_bulk import NOT_NOW, Command, MissingFunctionError, connect, exchange
from infra.redis_clients import blocking_redis
from infra.redis_sentinel import close_client
from infra.refusals import redis_remedy
from infra.secrets import masked
from infra.stores import StoreMemory

FUNCTIONS: Final = Path(__file__).with_name("redis_function.lua")
#: Redis Functions came with version 7.
MIN_REDIS: Final = 7
#: A Redis that restarts is back within seconds; a command waits that long before it fails.
PATIENCE_S: Final = 6.0
#: Attempts come at most this far apart, and waiting is logged this often.
MAX_PAUSE_S: Final = 1.0
LOG_EVERY_S: Final = 10.0

#: A server that is away or hangs, and what redis-py makes of some answers of :data:`NOT_NOW`.
PASSING_ERRORS: Final = (
    RedisConnectionError,
    RedisTimeoutError,
    OSError,
    OutOfMemoryError,
    ReadOnlyError,
    ClusterDownError,
    MasterDownError,
    TryAgainError,
)

T = TypeVar("T")

logger = logging.getLogger(__name__)


class OtherTypeError(UnreachableError):
    """A key holds another type than what is read there: somebody else wrote it."""


class RedisServer:
    """What the adapters of one process share.

    Args:
        patient: wait for a server that is away, stuck or full as long as it takes.

    Attributes:
        client: for what a list of commands cannot say; its calls belong inside :meth:`attempt`.
    """

    def __init__(self, settings: Settings, *, patient: bool = False) -> None:
        self.client = connect(settings)
        self._url = settings.redis_url
        self._replicas = settings.redis_wait_replicas
        self._patience_s = math.inf if patient else PATIENCE_S
        self._logged_s = -math.inf

    async def start(self, *, wait: bool = True) -> None:
        """Load the functions; another process loading the same ones at once is fine."""
        await self.exchange([("FUNCTION", "LOAD", "REPLACE", FUNCTIONS.read_text())], wait=wait)

    async def close(self) -> None:
        """Close all connections to the server."""
        await close_client(self.client)

    async def exchange(self, commands: Sequence[Command], *, wait: bool = True) -> list[Any]:
        """Send commands in order; loads the functions again where a server lost them.

        Repeated as a whole, so the commands must bear being executed twice.

        Args:
            wait: as :meth:`attempt` takes it.

        Raises:
            UnreachableError: the server does not answer, or refuses.
        """
        return await self.attempt(
            lambda: exchange(self.client, commands, self._replicas), wait=wait
        )

    async def attempt(self, do: Callable[[], Awaitable[T]], *, wait: bool = True) -> T:
        """Call `do` until the server takes it, as long as this process has patience.

        Args:
            wait: no for what need not be stored: it is tried once.

        Raises:
            UnreachableError: the server does not answer, or refuses.
            OtherTypeError: it refuses because of what a key holds.
        """
        until_s = time.monotonic() + (self._patience_s if wait else 0.0)
        failures, loaded = 0, False
        while True:
            try:
                return await do()
            except MissingFunctionError as error:
                if loaded:
                    raise self._refused(error) from error
                loaded = True
                await self.start(wait=wait)
            except (RedisError, OSError) as error:
                if str(error).startswith("WRONGTYPE"):
                    raise OtherTypeError(str(self._refused(error))) from error
                if not _passes(error):
                    raise self._refused(error) from error
                # redis-py may swallow a cancellation that comes while it takes a connection.
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise asyncio.CancelledError from error
                REDIS_FAILURES.inc()
                failures += 1
                if time.monotonic() >= until_s:
                    raise self._not_now(error) from error
                self._log(error)
                await asyncio.sleep(_pause_s(failures))

    def _log(self, error: Exception) -> None:
        """Say what is waited for: at once, and now and then."""
        now_s = time.monotonic()
        if now_s - self._logged_s >= LOG_EVERY_S:
            self._logged_s = now_s
            logger.warning("waiting for Redis at %s: %s", self._url, reason_of(error))

    def _not_now(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"Redis does not answer at {self._url}, or cannot now ({reason_of(error)}); "
            f"{redis_remedy(error)}"
        )

    def _refused(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"Redis at {self._url} does not do what it should ({reason_of(error)}); "
            f"{redis_remedy(error)}, then run this again"
        )


def _passes(error: Exception) -> bool:
    """Whether waiting helps against an error."""
    return isinstance(error, PASSING_ERRORS) or str(error).partition(" ")[0] in NOT_NOW


def _pause_s(failures: int) -> float:
    """Seconds until the next attempt; not the same for all who wait."""
    return min(MAX_PAUSE_S, 0.05 * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)


def redis_memory(settings: Settings, timeout_s: float) -> StoreMemory:
    """How much memory a server uses, and how much it may.

    Raises:
        UnreachableError: it does not answer in time.
    """
    try:
        with _asked(settings, timeout_s) as client:
            info: dict[str, Any] = client.info("memory")
    except (RedisError, OSError) as error:
        raise UnreachableError(
            f"Redis at {masked(settings.redis_url)} does not answer ({reason_of(error)})"
        ) from error
    # 0 says that there is no limit.
    return StoreMemory(int(info["used_memory"]), int(info.get("maxmemory", 0)) or None)


def _asked(settings: Settings, timeout_s: float) -> redis.Redis:
    return blocking_redis(settings, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)


def redis_hello(settings: Settings, timeout_s: float) -> str:
    """What a Redis-protocol server says about itself.

    Raises:
        UnreachableError: it does not answer in time, or is too old for Redis Functions.
        SettingsError: the settings of the connection cannot be used.
    """
    url = settings.redis_url
    try:
        with _asked(settings, timeout_s) as client:
            info: dict[str, object] = client.info("server")
            where = _where(client, url)
    except (RedisError, OSError) as error:
        raise UnreachableError(
            f"Redis at {masked(url)} does not answer ({reason_of(error)}); {redis_remedy(error)}"
        ) from error
    compatible = str(info["redis_version"])
    if int(compatible.split(".")[0]) < MIN_REDIS:
        raise UnreachableError(
            f"Redis at {masked(url)} is version {compatible}; "
            f"Freshgrid needs Redis {MIN_REDIS} or Valkey"
        )
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {compatible}"
    return f"{where}, {name}"


def _where(client: redis.Redis, url: str) -> str:
    """Host and port of the server that answers: behind sentinels, of the primary."""
    pool: Any = client.connection_pool
    if (primary := getattr(pool, "master_address", None)) is not None:
        return f"{primary[0]}:{primary[1]}, named by sentinels"
    told = pool.connection_kwargs
    return f"{told['host']}:{told['port']}" if "host" in told else masked(url)
