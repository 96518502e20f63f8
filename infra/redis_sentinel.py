"""Redis behind Sentinel: its URL, and clients that ask the sentinels who the primary is.

::

    redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/SERVICE[/DATABASE]
    rediss+sentinel://…                                             by TLS, the sentinels as well

User and password are those of Redis. Sentinels are asked without: who may ask them is a matter of
the network, or of their certificates.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from redis import asyncio as redis_asyncio
from redis import sentinel as blocking
from redis.asyncio import sentinel

SENTINEL_SCHEME: Final = "redis+sentinel"
SENTINEL_TLS_SCHEME: Final = "rediss+sentinel"
PORT: Final = 26379


class SentinelUrl(NamedTuple):
    """What a URL says.

    Attributes:
        sentinels: host and port of each.
        service: the name by which they know the primary.
        options: of connections to Redis, as redis-py takes them.
        tls: for both.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    options: dict[str, Any]
    tls: bool


def is_sentinel(url: str) -> bool:
    """Whether a URL names sentinels."""
    return urlsplit(url).scheme in (SENTINEL_SCHEME, SENTINEL_TLS_SCHEME)


def parse_sentinel(url: str) -> SentinelUrl:
    """Read a URL.

    Raises:
        ValueError: it is none of the form above.
    """
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not hosts or not service:
        raise ValueError("no sentinel, or no service")
    user, _, password = credentials.partition(":")
    named = {"username": unquote(user), "password": unquote(password), "db": int(database or 0)}
    return SentinelUrl(
        tuple(_address(host) for host in hosts.split(",")),
        service,
        {name: value for name, value in named.items() if value},
        parts.scheme == SENTINEL_TLS_SCHEME,
    )


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a sentinel without a host")
    return parts.hostname, parts.port or PORT


def sentinel_client(kind: Any, url: str, **options: Any) -> Any:
    """A client of the primary, whoever that is when it connects.

    Args:
        kind: ``redis.Redis`` or ``redis.asyncio.Redis``.
        options: of its connections; what concerns sockets and TLS is for the sentinels as well.

    Raises:
        ValueError: as :func:`parse_sentinel`.
    """
    of = parse_sentinel(url)
    both = {n: v for n, v in options.items() if n.startswith(("socket_", "ssl_"))}
    if of.tls:
        both["ssl"] = True
    asked: Any = sentinel.Sentinel if kind is redis_asyncio.Redis else blocking.Sentinel
    manager = asked(of.sentinels, sentinel_kwargs=both)
    return manager.master_for(of.service, kind, **(of.options | options | both))


async def close_client(client: redis_asyncio.Redis) -> None:
    """Close all connections of a client, and those to sentinels, which redis-py leaves open."""
    await client.aclose()
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    for one in () if manager is None else manager.sentinels:
        await one.aclose()
