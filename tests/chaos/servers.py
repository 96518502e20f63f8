"""Redis and Kafka as servers that can be ended, paused and started again with what they hold."""

from __future__ import annotations

import os
import random
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from infra.embedded import HOST, embedded_kafka, embedded_redis, redis_process_id
from infra.errors import PortInUseError
from infra.supervisor import check_port
from tests.kafka.apache_kafka import ApacheKafka


class Server(Protocol):
    """A server that keeps its address and its data when it is started again."""

    def start(self) -> None:
        """Start it and wait until it answers."""
        ...

    def end(self, how: signal.Signals) -> None:
        """End it by SIGTERM or SIGKILL and wait for its end."""
        ...

    def pause(self) -> None:
        """Make it stand still: connections stay open and nothing answers."""
        ...

    def resume(self) -> None:
        """Let it go on."""
        ...

    def close(self) -> None:
        """End it for good."""
        ...


class Redis:
    """The embedded Redis-protocol server with an append-only file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = _free_port()
        self._life = ExitStack()
        self._pid = 0
        self.url = f"redis://{HOST}:{self._port}/0"

    def start(self) -> None:
        self._life.enter_context(embedded_redis(self._port, self._folder))
        pid = redis_process_id(HOST, self._port)
        assert pid is not None, "it answered when it started"
        self._pid = pid

    def end(self, how: signal.Signals) -> None:
        os.kill(self._pid, how)
        self._life.close()

    def pause(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def close(self) -> None:
        self._life.close()


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
        self.servers = self._life.enter_context(embedded_kafka())

    def close(self) -> None:
        """End it for good."""
        self._life.close()


def _free_port() -> int:
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
