"""One Redis or Valkey server: its functions, its connections, and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from infra.config import Settings
from infra.errors import UnreachableError, reason_of
from infra.redis_bulk import Command, MissingFunctionError, connect, exchange

FUNCTIONS: Final = Path(__file__).with_name("redis_function.lua")
#: Redis Functions came with version 7.
MIN_REDIS: Final = 7


class RedisServer:
    """What the adapters of one process share.

    Attributes:
        client: for what a list of commands cannot say; its calls belong inside :meth:`answering`.
    """

    def __init__(self, settings: Settings, *, patient: bool = False) -> None:
        self.client = connect(settings, patient=patient)
        self._url = _without_password(settings.redis_url)

    async def start(self) -> None:
        """Load the functions; another process loading the same ones at once is fine."""
        with self.answering():
            await self.client.function_load(FUNCTIONS.read_text(), replace=True)

    async def close(self) -> None:
        """Close all connections to the server."""
        await self.client.aclose()

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in order; loads the functions again where a server lost them.

        Retried as a whole, so the commands must bear being executed twice.

        Raises:
            UnreachableError: the server does not answer, or refuses.
        """
        with self.answering():
            try:
                return await exchange(self.client, commands)
            except MissingFunctionError:
                await self.start()
                return await exchange(self.client, commands)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Raise errors of the client library as :class:`infra.errors.UnreachableError`."""
        try:
            yield
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            raise UnreachableError(
                f"Redis does not answer at {self._url} ({error}); check REDIS_URL"
            ) from error
        except RedisError as error:
            raise UnreachableError(
                f"Redis at {self._url} does not do what it should ({error}); check REDIS_URL and "
                "the server, then run this again"
            ) from error


def redis_hello(url: str, timeout_s: float) -> str:
    """What a Redis-protocol server says about itself.

    Raises:
        UnreachableError: it does not answer in time, or is too old for Redis Functions.
    """
    try:
        with redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
        ) as client:
            info: dict[str, object] = client.info("server")
            shown = client.connection_pool.connection_kwargs
    except (RedisError, OSError, ValueError) as error:
        raise UnreachableError(
            f"Redis at {_without_password(url)} does not answer ({reason_of(error)}); start it, "
            "set REDIS_URL, or unset that to use the embedded server"
        ) from error
    compatible = str(info["redis_version"])
    if int(compatible.split(".")[0]) < MIN_REDIS:
        raise UnreachableError(
            f"Redis at {_without_password(url)} is version {compatible}; Freshgrid needs "
            f"Redis {MIN_REDIS} or Valkey"
        )
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {compatible}"
    return f"{shown.get('host', url)}:{shown.get('port', '')}, {name}"


def _without_password(url: str) -> str:
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else rest.rpartition("@")[2]
