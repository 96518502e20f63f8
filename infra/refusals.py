"""Why a server did not let a client in, and what to do: certificates, passwords, rights."""

from __future__ import annotations

import logging
import ssl
import time
from typing import Final

from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)

from infra.config import Settings
from infra.errors import UnreachableError, reason_of

_UNKNOWN: Final = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    SaslAuthenticationFailed,
)
_FORBIDDEN: Final = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)
#: Longer than a client tries before it gives up.
LATELY_S: Final = 15.0
RIGHTS: Final = "allow this client what `freshgrid acls` prints"


class _Newest(logging.Filter):
    """Remembers why aiokafka could not connect: what it raises then says only that it could not."""

    def __init__(self) -> None:
        super().__init__()
        self._error: BaseException | None = None
        self._at_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        last = record.args[-1] if isinstance(record.args, tuple) and record.args else None
        if isinstance(last, BaseException):
            self._error, self._at_s = last, time.monotonic()
        return True

    def lately(self) -> BaseException | None:
        """Of a connection that was tried just now; an older one explains nothing."""
        return self._error if time.monotonic() - self._at_s < LATELY_S else None


_newest: Final = _Newest()
logging.getLogger("aiokafka").addFilter(_newest)


def kafka_unreachable(settings: Settings, what: str, error: BaseException) -> UnreachableError:
    """The error of a broker that does not do `what`, with the cause and the remedy."""
    cause = error
    if isinstance(error, KafkaConnectionError | TimeoutError):
        cause = _newest.lately() or error
    return UnreachableError(
        f"Kafka {what} at {settings.kafka_bootstrap_servers} ({reason_of(cause)}); "
        f"{_kafka_remedy(settings, cause)}"
    )


def _kafka_remedy(settings: Settings, cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            "check KAFKA_CA_FILE, and that the broker's certificate is of the name it is asked by"
        )
    if isinstance(cause, ssl.SSLError):
        return "check KAFKA_SECURITY_PROTOCOL, KAFKA_CERTIFICATE_FILE and the listener's port"
    if isinstance(cause, _UNKNOWN):
        if settings.kafka_sasl_mechanism == "OAUTHBEARER":
            return "check what KAFKA_TOKEN_PROVIDER gives"
        return "check KAFKA_USERNAME, KAFKA_PASSWORD and KAFKA_SASL_MECHANISM"
    if isinstance(cause, _FORBIDDEN):
        return RIGHTS
    return (
        "check KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL, or start a broker with "
        "`freshgrid up`"
    )


def redis_remedy(error: BaseException) -> str:
    """What to do about a server of Redis that does not answer or refuses."""
    says = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in says:
        return "check REDIS_CA_FILE, and that the certificate is of the name in REDIS_URL"
    if "SSL" in says:
        return "check whether REDIS_URL is to begin with rediss://, and REDIS_CERTIFICATE_FILE"
    if any(word in says for word in ("WRONGPASS", "NOAUTH", "username-password", "Authentication")):
        return "check REDIS_USERNAME and REDIS_PASSWORD"
    if "NOPERM" in says or "has no permissions" in says:
        return RIGHTS
    return "check REDIS_URL and the server"
