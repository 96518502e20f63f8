"""Every client of Redis is made here: where the server is, by what protocol, as whom.

``REDIS_URL`` says where, the other ``REDIS_*`` settings what a URL should not hold.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import redis
from redis import asyncio as redis_asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from infra.certificates import client_context
from infra.config import Settings
from infra.errors import SettingsError
from infra.redis_sentinel import SENTINEL_TLS_SCHEME, is_sentinel, sentinel_client

TLS_SCHEME: Final = "rediss"


def redis_client(settings: Settings, **options: Any) -> redis_asyncio.Redis:
    """A client that tries everything once; `options` as redis-py takes them.

    Raises:
        SettingsError: the settings of the connection cannot be used.
    """
    client: redis_asyncio.Redis = _made(
        redis_asyncio.Redis, settings, retry=Retry(NoBackoff(), 0), **options
    )
    return client


def blocking_redis(settings: Settings, **options: Any) -> redis.Redis:
    """A client that is not asynchronous; raises as :func:`redis_client` does."""
    client: redis.Redis = _made(redis.Redis, settings, **options)
    return client


def _made(kind: Any, settings: Settings, **options: Any) -> Any:
    connection = _connection(settings)
    url = settings.redis_url
    try:
        if is_sentinel(url):
            return sentinel_client(kind, url, **connection, **options)
        return kind.from_url(url, **connection, **options)
    except ValueError:
        # What the error says may be a part of the password.
        raise SettingsError(
            f"REDIS_URL={url} cannot be used: write redis://USER:PASSWORD@HOST:PORT/DATABASE, or "
            "redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/SERVICE/DATABASE, with what is "
            "special in a URL percent-encoded"
        ) from None


def _connection(settings: Settings) -> dict[str, Any]:
    named = settings.redis_username, settings.redis_password
    options = {
        name: value for name, value in zip(("username", "password"), named, strict=True) if value
    }
    # redis-py would take what the URL says, and nobody hear of it.
    if options and "@" in settings.redis_url.partition("://")[2]:
        raise SettingsError(
            f"REDIS_URL={settings.redis_url} says who this is, and so does REDIS_USERNAME or "
            "REDIS_PASSWORD; take it out of the URL"
        )
    files = settings.redis_ca_file, settings.redis_certificate_file, settings.redis_key_file
    if not any(files):
        return options
    if urlsplit(settings.redis_url).scheme not in (TLS_SCHEME, SENTINEL_TLS_SCHEME):
        raise SettingsError(
            f"REDIS_URL={settings.redis_url} uses no certificates, though REDIS_CA_FILE or "
            f"REDIS_CERTIFICATE_FILE names one; write {TLS_SCHEME}://, or unset them"
        )
    key_password = settings.redis_key_password
    # redis-py reads the files itself, at the first connection: here what is wrong is one sentence.
    client_context("REDIS", *files, key_password)
    tls = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_certificate_file,
        "ssl_keyfile": settings.redis_key_file,
        "ssl_password": key_password,
    }
    return options | {name: value for name, value in tls.items() if value}
