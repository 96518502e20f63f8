"""Everything over TLS, with names, passwords and access control lists: Apache Kafka and Valkey."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest
import redis

from infra.batch_sender import started_producer
from infra.config import Settings
from infra.doctor import findings, kafka_hello
from infra.embedded import embedded_redis
from infra.errors import FreshgridError, UnreachableError
from infra.kafka import prepare_cluster
from infra.kafka_rights import allow as give_rights
from infra.log_reader import LogReader
from infra.open_stores import store_hello
from streams.access_lists import IDENTITIES, READER, kafka_rights, redis_rights
from streams.cli.send import send_event
from streams.local import scenario
from streams.local.scenario import live_viewer
from streams.local.stack import role_argv, starting_stack
from streams.roles.runtime import agent, faust_app, running
from streams.topology import COMMAND, OUTSIDE, ROLES, WORKER, WORKER_GROUP, flow
from streams.transport import Chunk
from tests.certificates import Authority
from tests.integration.commands import freshgrid
from tests.integration.conftest import TINY
from tests.kafka.apache_kafka import ApacheKafka, apache_kafka_missing
from tests.tls_proxy import tls_proxy

#: In each password, so that it is found in whatever is said.
MARK = "marked-5b0b4a10"
PASSWORD = f"{MARK}-{{}}-secret"
ADMIN = "admin"
JAAS = "org.apache.kafka.common.security"


class Secured(NamedTuple):
    """Servers that let in whoever is known, and let them do what they must be able to."""

    kafka: ApacheKafka
    authority: Authority
    redis_port: int
    redis_tls_port: int

    def redis_refusals(self) -> list[str]:
        """Who asked Redis for what access control lists forbid; those are then forgotten."""
        with redis.Redis(
            port=self.redis_port, username=ADMIN, password=PASSWORD.format(ADMIN)
        ) as client:
            asked: Any = client.acl_log()
            client.acl_log_reset()
        return [
            f"{one['username']} {one['reason']} {one['object']}"
            for one in asked
            if one["reason"] != "auth"
        ]

    def settings(self, identity: str, protocol: str = "SASL_SSL", **more: Any) -> Settings:
        return Settings(**self.given(identity, protocol) | more)

    def given(self, identity: str, protocol: str = "SASL_SSL") -> dict[str, Any]:
        mine = self.authority.issue(identity)
        given: dict[str, Any] = {
            "kafka_bootstrap_servers": self.kafka.secured[protocol],
            "kafka_security_protocol": protocol,
            "redis_url": f"rediss://127.0.0.1:{self.redis_tls_port}/0",
            "redis_username": identity,
            "redis_password": PASSWORD.format(identity),
            "redis_ca_file": str(self.authority.certificate),
            "redis_certificate_file": str(mine.certificate),
            "redis_key_file": str(mine.key),
            "partitions": 2,
            "session_timeout_s": 4.0,
        }
        if protocol.endswith("SSL"):
            given["kafka_ca_file"] = str(self.authority.certificate)
        if protocol == "SSL":
            given["kafka_certificate_file"] = str(mine.certificate)
            given["kafka_key_file"] = str(mine.key)
        else:
            given["kafka_username"] = identity
            given["kafka_password"] = PASSWORD.format(identity)
        return given


def token() -> str:
    """What the broker's own example of a validator takes: it is signed by nobody."""
    now_s = int(time.time())
    parts = {"alg": "none"}, {"sub": COMMAND, "iat": now_s, "exp": now_s + 600}
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts
    ]
    return ".".join([*encoded, ""])


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    if reason := apache_kafka_missing():
        pytest.skip(reason)
    authority = Authority(tmp_path_factory.mktemp("authority"))
    shown = authority.issue("server")
    known = {identity: PASSWORD.format(identity) for identity in IDENTITIES}
    plain = " ".join(f'user_{name}="{password}"' for name, password in known.items())
    modules = {
        "plain": f"{JAAS}.plain.PlainLoginModule required {plain};",
        "scram-sha-256": f"{JAAS}.scram.ScramLoginModule required;",
        "scram-sha-512": f"{JAAS}.scram.ScramLoginModule required;",
        "oauthbearer": f"{JAAS}.oauthbearer.OAuthBearerLoginModule required "
        'unsecuredLoginStringClaim_sub="broker";',
    }
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Whoever sets the test up, by the listener that is not secured.
        "super.users": "User:ANONYMOUS",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(shown.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        **{
            f"listener.name.{listener}.{mechanism}.sasl.jaas.config": module
            for listener in ("sasl_ssl", "sasl_plaintext")
            for mechanism, module in modules.items()
        },
    }
    with (
        ApacheKafka(
            tmp_path_factory.mktemp("apache"),
            settings=settings,
            listeners=("SSL", "SASL_PLAINTEXT", "SASL_SSL"),
            scram=known,
        ) as kafka,
        embedded_redis() as url,
        redis.Redis.from_url(url) as client,
    ):
        port = client.connection_pool.connection_kwargs["port"]
        allow(kafka, client)
        with tls_proxy(port, shown, str(authority.certificate)) as tls_port:
            yield Secured(kafka, authority, port, tls_port)


def allow(kafka: ApacheKafka, client: redis.Redis) -> None:
    """Give each identity what the table of rights says, by all the names that it comes under."""
    names = ("User:{}", "User:CN={}")
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers)
    give_rights(
        settings, {name.format(of): kafka_rights(of) for of in IDENTITIES for name in names}
    )
    for identity in IDENTITIES:
        if rights := redis_rights(identity):
            password = f">{PASSWORD.format(identity)}"
            client.execute_command("ACL", "SETUSER", identity, *rights.rules(), password)
    # Where a test asks what was refused; others must come by a name.
    client.execute_command("ACL", "SETUSER", ADMIN, "on", "+@all", f">{PASSWORD.format(ADMIN)}")
    client.execute_command("ACL", "SETUSER", "default", "off")


COMMANDS = (
    ("send", "like", "--viewer", "v", "--media", "m1", "--author", "a1"),
    ("versions", "list"),
    ("versions", "rollback", "items"),
    ("dead-letters", "list"),
    ("weights", "set", "like=3"),
    ("experiments",),
    ("inspect", "viewer", "v"),
    ("inspect", "index"),
    ("doctor",),
)

#: What an operator looks at.
SHOWN = ("/v1/status", "/v1/operations", "/healthz", "/readyz")

MODES = [
    ("SSL", {}),
    ("SASL_PLAINTEXT", {"kafka_sasl_mechanism": "PLAIN"}),
    ("SASL_PLAINTEXT", {"kafka_sasl_mechanism": "SCRAM-SHA-256"}),
    ("SASL_SSL", {"kafka_sasl_mechanism": "PLAIN"}),
    ("SASL_SSL", {"kafka_sasl_mechanism": "SCRAM-SHA-256"}),
    ("SASL_SSL", {"kafka_sasl_mechanism": "SCRAM-SHA-512"}),
    (
        "SASL_SSL",
        {
            "kafka_sasl_mechanism": "OAUTHBEARER",
            "kafka_token_provider": "tests.integration.test_secured:token",
        },
    ),
]


@pytest.mark.parametrize(
    ("protocol", "more"), MODES, ids=lambda of: of if isinstance(of, str) else None
)
async def test_every_client_gets_in(secured: Secured, protocol: str, more: dict[str, str]) -> None:
    settings = secured.settings(COMMAND, protocol, **more)
    topic = "events.like"
    cluster = await prepare_cluster(settings)
    assert cluster.log_id == secured.kafka.cluster_id
    first = await asyncio.to_thread(send_event, settings, topic, "somebody", media_id="m")
    producer = await started_producer(settings)
    sent = await producer.send_and_wait(topic, b"{}", key=b"somebody")
    await producer.stop()
    assert (sent.partition, sent.offset) == (first["partition"], first["offset"] + 1)
    async with LogReader(settings) as reader:
        spans = await reader.spans([(topic, sent.partition)])
        batches = [batch async for batch in reader.read(spans)]
    assert batches[-1].records[-1].offset == sent.offset

    app = faust_app(WORKER_GROUP, settings)
    came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def handle(chunk: Chunk) -> None:
        chunk.finish()
        last = chunk.records[-1].offset
        if (chunk.tp.topic, chunk.tp.partition, last) == (topic, sent.partition, sent.offset):
            came.set_result(None)

    agent(app, flow("ingest"), handle)
    async with running(app), asyncio.timeout(30):
        await came


def test_who_is_not_known_is_told_and_not_let_in(secured: Secured, tmp_path: Path) -> None:
    stranger = Authority(tmp_path)
    wrong = secured.settings(WORKER, kafka_password="another", redis_password="another")
    with pytest.raises(UnreachableError, match="KAFKA_PASSWORD"):
        kafka_hello(wrong)
    with pytest.raises(UnreachableError, match="REDIS_PASSWORD"):
        store_hello(wrong, 5.0)
    ca_file = str(stranger.certificate)
    misled = secured.settings(WORKER, kafka_ca_file=ca_file, redis_ca_file=ca_file)
    with pytest.raises(UnreachableError, match="KAFKA_CA_FILE"):
        kafka_hello(misled)
    with pytest.raises(UnreachableError, match="REDIS_CA_FILE"):
        store_hello(misled, 5.0)
    foreign = stranger.issue(WORKER)
    shown = {
        "redis_certificate_file": str(foreign.certificate),
        "redis_key_file": str(foreign.key),
    }
    with pytest.raises(UnreachableError):
        store_hello(secured.settings(WORKER, **shown), 5.0)
    # The certificate is of an address, and of no name.
    named = secured.kafka.secured["SASL_SSL"].replace("127.0.0.1", "localhost")
    with pytest.raises(UnreachableError, match="KAFKA_CA_FILE"):
        kafka_hello(secured.settings(WORKER, kafka_bootstrap_servers=named))
    told = [finding.text for finding in findings(wrong) if finding.what in ("kafka", "redis")]
    assert all("PASSWORD" in text for text in told)
    assert "another" not in " ".join(told)


def test_an_event_goes_the_whole_way_and_nobody_is_allowed_more(
    secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each role runs with the rights of its table: worker, learner, ranker, and the commands."""
    shown = secured.authority.issue("api")
    given = secured.given(COMMAND) | {
        "http_certificate_file": str(shown.certificate),
        "http_key_file": str(shown.key),
        "artifacts_url": str(tmp_path / "artifacts"),
        "bootstrap_sessions": 150,
        "bootstrap_positives": 5,
        "account_map_every_s": 0,
    }
    for name, value in given.items():
        monkeypatch.setenv(name.upper(), str(value))
    # Who asks the API trusts the authority.
    monkeypatch.setenv("SSL_CERT_FILE", str(secured.authority.certificate))
    monkeypatch.setattr(scenario, "FIXTURE", TINY)

    def argv_of(role: str) -> tuple[str, ...]:
        mine = secured.given(role)
        return (
            "env",
            *(f"{name.upper()}={value}" for name, value in mine.items()),
            *role_argv(role),
        )

    with starting_stack(Settings(), http_port=0, argv_of=argv_of) as stack:
        sent = scenario.replay_fixture(stack)
        stack.wait_ready()
        scenario.wait_trained(stack, sent)
        producer = stack.settings.model_copy(
            update={
                "kafka_username": OUTSIDE,
                "kafka_password": secured.settings(OUTSIDE).kafka_password,
            }
        )

        async def like() -> Any:
            async with live_viewer(producer) as live:
                return await live.like("somebody-new", "m1", "a1")

        grid, _ = asyncio.run(like())
        assert grid.items
        assert stack.endpoints.http.startswith("https://")
        page = scenario.get_json(f"{stack.endpoints.http}/v1/explore/somebody-new")
        assert page["items"]
        changed = Request(
            f"{stack.endpoints.http}/v1/weights",
            method="PUT",
            data=b'{"who": "test", "weights": {"like": 2.0}}',
            headers={"Content-Type": "application/json"},
        )
        assert urlopen(changed, timeout=10).status == 200
        more = f"{stack.endpoints.http}/v1/explore/somebody-new?cursor={page['next']}"
        assert scenario.get_json(more)["items"]
        operations = scenario.get_json(f"{stack.endpoints.http}/v1/operations")
        assert operations["log"] is not None
        assert operations["memory"] is not None
        commanded = stack.settings
        said = [freshgrid(commanded, *command) for command in COMMANDS]
        assert freshgrid(commanded, "backup", str(tmp_path / "backup")).returncode == 0
        shown = [scenario.get_json(f"{stack.endpoints.http}{path}") for path in SHOWN]
        logs = {path.stem: path.read_text() for path in stack.run_dir.glob("*.log")}
        stack.check()
    assert logs.keys() >= set(ROLES)
    assert MARK not in f"{said} {shown} {logs}"
    # Once the workers are gone.
    freshgrid(commanded, "rebuild", "--force")
    assert secured.kafka.denied == []
    assert secured.redis_refusals() == []


def test_what_is_not_in_the_table_is_forbidden_and_told(secured: Secured) -> None:
    asyncio.run(prepare_cluster(secured.settings(COMMAND)))
    secured.redis_refusals()
    settings = secured.settings(OUTSIDE)

    async def read() -> None:
        async with LogReader(settings) as reader:
            await reader.spans([("events.like", 0)])

    with pytest.raises(FreshgridError, match=r"Authorization|allow this client what"):
        asyncio.run(read())
    assert any(f"User:{OUTSIDE} " in line for line in secured.kafka.denied)
    with pytest.raises(UnreachableError, match="freshgrid acls"):
        store_hello(secured.settings(READER), 5.0)
    assert secured.redis_refusals() == [f"{READER} command info"]
