"""Every client of Kafka is made here: where the brokers are, by what protocol, as whom.

Settings say it once (``KAFKA_*``); consumers, producers, admins and Faust get the same.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.abc import AbstractTokenProvider
from aiokafka.admin import AIOKafkaAdminClient

from infra.certificates import client_context
from infra.config import Settings
from infra.errors import SettingsError
from infra.kafka_waiting import telling

if TYPE_CHECKING:
    from faust.auth import Credentials
    from kafka import KafkaAdminClient, KafkaProducer

OAUTHBEARER: Final = "OAUTHBEARER"
#: Of a command that connects by itself: a broker that is there answers within milliseconds, one
#: that is just starting within seconds.
CONNECT_TIMEOUT_S: Final = 10.0


def kafka_consumer(settings: Settings, *topics: str, **options: Any) -> AIOKafkaConsumer:
    """A consumer, not started; `options` as aiokafka takes them.

    Raises:
        SettingsError: the settings of the connection cannot be used.
    """
    return AIOKafkaConsumer(*topics, **_connection(settings), **options)


def kafka_producer(settings: Settings, **options: Any) -> AIOKafkaProducer:
    """A producer, not started; raises as :func:`kafka_consumer` does."""
    return AIOKafkaProducer(**_connection(settings), **options)


def plain_producer(settings: Settings, **options: Any) -> KafkaProducer:
    """A producer of kafka-python, connected, for commands that are not asynchronous.

    Whoever waits for a broker is told, and given up after :data:`CONNECT_TIMEOUT_S`.

    Raises:
        SettingsError: the settings of the connection cannot be used.
        kafka.errors.KafkaError: no broker answers.
    """
    # Imported here: it takes half a second that nobody else needs to spend.
    from kafka import KafkaProducer as Producer

    with telling(settings.kafka_bootstrap_servers, CONNECT_TIMEOUT_S):
        return Producer(**_plain_connection(settings), **options)


def plain_admin(settings: Settings, **options: Any) -> KafkaAdminClient:
    """An admin client of kafka-python, connected; raises as :func:`plain_producer` does."""
    from kafka.admin import KafkaAdminClient as Admin

    with telling(settings.kafka_bootstrap_servers, CONNECT_TIMEOUT_S):
        return Admin(**_plain_connection(settings), **options)


def kafka_admin(settings: Settings, **options: Any) -> AIOKafkaAdminClient:
    """An admin client, not started; raises as :func:`kafka_consumer` does."""
    return AIOKafkaAdminClient(**_connection(settings), **options)


def faust_credentials(settings: Settings) -> Credentials | None:
    """What Faust gives to its own clients; None for a connection that is not secured.

    Raises:
        SettingsError: the settings of the connection cannot be used.
    """
    import faust

    connection = _connection(settings)
    protocol, context = connection["security_protocol"], connection.get("ssl_context")
    if protocol == "PLAINTEXT":
        return None
    if protocol == "SSL":
        return faust.SSLCredentials(context)
    if token := connection.get("sasl_oauth_token_provider"):
        from faust.auth import OAuthCredentials

        return OAuthCredentials(oauth_cb=token, ssl_context=context)
    return faust.SASLCredentials(
        username=settings.kafka_username,
        password=settings.kafka_password,
        ssl_context=context,
        mechanism=settings.kafka_sasl_mechanism,
    )


def _connection(settings: Settings) -> dict[str, Any]:
    """Options of every client of aiokafka."""
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": protocol,
    }
    if protocol.endswith("SSL"):
        options["ssl_context"] = _context(settings)
    elif settings.kafka_ca_file or settings.kafka_certificate_file:
        raise SettingsError(
            f"KAFKA_SECURITY_PROTOCOL={protocol} uses no certificates, though KAFKA_CA_FILE or "
            "KAFKA_CERTIFICATE_FILE names one; set it to SSL or SASL_SSL, or unset them"
        )
    if protocol.startswith("SASL"):
        options |= _sasl(settings)
    elif settings.kafka_username:
        raise SettingsError(
            f"KAFKA_SECURITY_PROTOCOL={protocol} sends no KAFKA_USERNAME; set it to SASL_SSL, or "
            "unset the name"
        )
    return options


def _plain_connection(settings: Settings) -> dict[str, Any]:
    """Options of every client of kafka-python."""
    from kafka.net.sasl.oauth import AbstractTokenProvider as PlainTokenProvider

    connection = _connection(settings)
    connection["bootstrap_timeout_ms"] = int(CONNECT_TIMEOUT_S * 1000)
    if "sasl_oauth_token_provider" in connection:
        ask = _token_function(settings.kafka_token_provider)
        told = type("Told", (PlainTokenProvider,), {"token": lambda self: str(ask())})
        connection["sasl_oauth_token_provider"] = told()
    return connection


def _sasl(settings: Settings) -> dict[str, Any]:
    mechanism = settings.kafka_sasl_mechanism
    if mechanism == OAUTHBEARER:
        return {
            "sasl_mechanism": mechanism,
            "sasl_oauth_token_provider": _Token(_token_function(settings.kafka_token_provider)),
        }
    password = settings.kafka_password
    if not settings.kafka_username or not password:
        raise SettingsError(
            f"KAFKA_SASL_MECHANISM={mechanism} needs KAFKA_USERNAME and KAFKA_PASSWORD"
        )
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": password,
    }


@lru_cache(maxsize=4)
def _context(settings: Settings) -> ssl.SSLContext:
    """One for all clients of a process: reading the system's certificates takes a while."""
    return client_context(
        "KAFKA",
        settings.kafka_ca_file,
        settings.kafka_certificate_file,
        settings.kafka_key_file,
        settings.kafka_key_password,
    )


class _Token(AbstractTokenProvider):  # type: ignore[misc]
    """Asks the function of the settings for each new connection."""

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask

    async def token(self) -> str:
        """In a thread: it may ask a server."""
        return str(await asyncio.to_thread(self._ask))


def _token_function(named: str) -> Callable[[], str]:
    module, _, name = named.partition(":")
    try:
        found: Callable[[], str] | None = (
            getattr(import_module(module), name) if module and name else None
        )
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"KAFKA_TOKEN_PROVIDER={named} cannot be imported: {error}") from error
    if not callable(found):
        raise SettingsError(
            f"KAFKA_TOKEN_PROVIDER={named} names no function that gives a token; write "
            "package.module:function"
        )
    function: Callable[[], str] = found
    return function
