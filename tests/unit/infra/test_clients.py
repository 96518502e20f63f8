"""Every client of Kafka and of Redis is made in one place, of the same settings."""

from __future__ import annotations

import re
import ssl
import subprocess
from pathlib import Path

import pytest

from infra.certificates import client_context
from infra.config import Settings
from infra.errors import SettingsError
from infra.kafka_clients import faust_credentials, kafka_consumer
from infra.redis_bulk import BulkConnection, BulkSSLConnection, BulkUnixConnection, connect
from infra.redis_clients import blocking_redis
from tests.certificates import Authority
from tests.paths import ROOT

MAKERS = {"infra/kafka_clients.py", "infra/redis_clients.py"}
#: Calls that make a client of their own; `Redis` is a name of types as well.
MADE = re.compile(
    r"\b(AIOKafka(Consumer|Producer|AdminClient)|Kafka(Consumer|Producer|AdminClient))\("
    r"|\bRedis(\.from_url)?\(|\b(redis|kind)\.from_url\("
)


def token() -> str:
    return "a token"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_nobody_else_makes_clients() -> None:
    found = {
        str(file.relative_to(ROOT))
        for folder in ("infra", "streams", "models")
        for file in (ROOT / folder).rglob("*.py")
        if MADE.search(file.read_text())
    }
    assert found == MAKERS


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kafka_ca_file": "ca.pem"}, "KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        ({"kafka_username": "worker"}, "KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        ({"kafka_security_protocol": "SASL_PLAINTEXT"}, "KAFKA_USERNAME and KAFKA_PASSWORD"),
        (
            {"kafka_security_protocol": "SSL", "kafka_ca_file": "/nowhere/ca.pem"},
            "KAFKA_CA_FILE=/nowhere/ca.pem cannot be read",
        ),
        (
            {"kafka_security_protocol": "SSL", "kafka_ca_file": str(ROOT / "README.md")},
            "holds no certificates",
        ),
        (
            {"kafka_security_protocol": "SSL", "kafka_key_file": "key.pem"},
            "KAFKA_KEY_FILE=key.pem is of no use without KAFKA_CERTIFICATE_FILE",
        ),
        (
            {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "OAUTHBEARER"},
            "KAFKA_TOKEN_PROVIDER=",
        ),
        (
            {
                "kafka_security_protocol": "SASL_PLAINTEXT",
                "kafka_sasl_mechanism": "OAUTHBEARER",
                "kafka_token_provider": "no_such_module:token",
            },
            "cannot be imported",
        ),
    ],
)
async def test_settings_of_kafka_that_do_not_fit_are_one_sentence(
    wrong: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(named)):
        kafka_consumer(Settings(**wrong))
    with pytest.raises(SettingsError, match=re.escape(named)):
        faust_credentials(Settings(**wrong))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"redis_ca_file": str(ROOT / "README.md")}, "uses no certificates"),
        (
            {"redis_url": "rediss://127.0.0.1", "redis_ca_file": str(ROOT / "README.md")},
            "REDIS_CA_FILE",
        ),
        (
            {"redis_url": "redis://me@127.0.0.1", "redis_username": "worker"},
            "take it out of the URL",
        ),
        ({"redis_url": "http://127.0.0.1"}, "cannot be used"),
    ],
)
def test_settings_of_redis_that_do_not_fit_are_one_sentence(
    wrong: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(named)):
        blocking_redis(Settings(**wrong))


def test_faust_is_given_what_the_other_clients_are(authority: Authority) -> None:
    mine = authority.issue("worker")
    files = {
        "kafka_ca_file": str(authority.certificate),
        "kafka_certificate_file": str(mine.certificate),
        "kafka_key_file": str(mine.key),
    }
    assert faust_credentials(Settings()) is None
    with_certificate = faust_credentials(Settings(kafka_security_protocol="SSL", **files))
    assert with_certificate.context.verify_mode == ssl.CERT_REQUIRED
    scram = faust_credentials(
        Settings(
            kafka_security_protocol="SASL_SSL", kafka_username="me", kafka_password="p", **files
        )
    )
    assert (scram.username, scram.password) == ("me", "p")
    assert (scram.protocol.value, scram.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")
    bearer = faust_credentials(
        Settings(
            kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_mechanism="OAUTHBEARER",
            kafka_token_provider=f"{__name__}:token",
        )
    )
    assert (bearer.protocol.value, bearer.ssl_context) == ("SASL_PLAINTEXT", None)


async def test_a_token_is_asked_of_the_named_function() -> None:
    bearer = faust_credentials(
        Settings(
            kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_mechanism="OAUTHBEARER",
            kafka_token_provider="uuid:uuid4",
        )
    )
    assert len(await bearer.oauth_cb.token()) == 36


def test_a_key_of_another_certificate_and_one_that_needs_a_password_are_told(
    authority: Authority, tmp_path: Path
) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    with pytest.raises(SettingsError, match="no certificate in PEM with its key"):
        client_context("KAFKA", "", str(one.certificate), str(other.key))
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", str(one.key), "-aes256", "-passout", "pass:open"]
    subprocess.run([*command, "-out", str(locked)], check=True)
    client_context("KAFKA", "", str(one.certificate), str(locked), "open")
    with pytest.raises(SettingsError, match="KAFKA_KEY_FILE"):
        client_context("KAFKA", "", str(one.certificate), str(locked))


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://127.0.0.1", BulkConnection),
        ("rediss://127.0.0.1", BulkSSLConnection),
        ("unix:///nowhere.sock", BulkUnixConnection),
    ],
)
async def test_connections_of_every_scheme_can_exchange(url: str, kind: type) -> None:
    client = connect(Settings(redis_url=url))
    assert type(client.connection_pool.make_connection()) is kind
    await client.aclose()


def test_passwords_do_not_show_in_settings() -> None:
    told = repr(Settings(kafka_password="marked-1", redis_password="marked-2"))
    assert "marked" not in told
