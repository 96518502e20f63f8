"""Redis and Kafka as servers that can be ended, paused and started again with what they hold."""

from __future__ import annotations

import os
import random
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol

import redis

from infra.embedded import HOST, redis_binary, redis_process_id, start_kafka
from infra.errors import PortInUseError
from infra.supervisor import ChildSpec, Supervisor, check_port
from tests.kafka.apache_kafka import ApacheKafka

#: Of a loading server the machine may need so much longer.
START_TIMEOUT_S: Final = 60.0


class Server(Protocol):
    """A server that can stand still."""

    def pause(self) -> None:
        """Make it stand still: connections stay open and nothing answers."""
        ...

    def resume(self) -> None:
        """Let it go on."""
        ...

    def close(self) -> None:
        """End it for good."""
        ...


class DurableServer(Server, Protocol):
    """A server that keeps its address and its data when it is started again."""

    def start(self) -> None:
        """Start it and wait until it answers."""
        ...

    def end(self, how: signal.Signals) -> None:
        """End it by SIGTERM or SIGKILL and wait for its end."""
        ...


class Redis:
    """The embedded Redis-protocol server with an append-only file.

    Attributes:
        folder: of its file; another one may be given to it while it is ended.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._life = ExitStack()
        self.url = f"redis://{HOST}:{self.port}/0"

    def start(self, *arguments: str, wait: bool = True) -> None:
        """Start it with more arguments, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        check_port(HOST, self.port, "the port of Redis")
        self._supervisor = self._life.enter_context(Supervisor())
        self._supervisor.start(
            ChildSpec(
                name="redis",
                argv=(
                    *(redis_binary(), "--port", str(self.port), "--bind", HOST),
                    *("--dir", str(self.folder), "--daemonize", "no", "--logfile", ""),
                    *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
                    *arguments,
                ),
                probe=lambda pid: redis_process_id(HOST, self.port) == pid,
                start_timeout_s=START_TIMEOUT_S,
            )
        )
        if wait:
            self._supervisor.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it answers."""
        self._supervisor.wait_ready()

    def client(self) -> redis.Redis:
        """A client that tries everything once."""
        return redis.Redis.from_url(self.url, socket_timeout=5.0)

    def end(self, how: signal.Signals) -> None:
        if (pid := self._supervisor.pid("redis")) is not None:
            os.kill(pid, how)
        self._life.close()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        self._life.close()

    def _signal(self, number: signal.Signals) -> None:
        pid = self._supervisor.pid("redis")
        assert pid is not None, "it is running"
        os.kill(pid, number)


class Apache:
    """Apache Kafka with its log on disk."""

    def __init__(self, folder: Path) -> None:
        self._kafka = ApacheKafka(folder)
        self.servers = self._kafka.bootstrap_servers

    def start(self) -> None:
        self._kafka.start()

    def end(self, how: signal.Signals) -> None:
        (self._kafka.kill if how is signal.SIGKILL else self._kafka.stop)()

    def pause(self) -> None:
        self._kafka.pause()

    def resume(self) -> None:
        self._kafka.resume()

    def close(self) -> None:
        if self._kafka.pid is not None:
            self._kafka.kill()


class Embedded:
    """The embedded broker. Its log ends with it, so it is not ended while events flow."""

    def __init__(self) -> None:
        self._life = ExitStack()
        supervisor = self._life.enter_context(Supervisor())
        self.servers = start_kafka(supervisor)
        pid = supervisor.pid("kafka")
        assert pid is not None, "it is running"
        self._pid = pid

    def pause(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def close(self) -> None:
        self._life.close()


def free_port() -> int:
    """A port outside the range of outgoing connections.

    While a server is down, one of its own clients could otherwise be given its port.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        try:
            check_port(HOST, port, "")
        except PortInUseError:
            continue
        return port
