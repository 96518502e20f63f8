"""A real server that answers what servers answer at bad times, by the first word of the answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from infra.embedded import redis_process_id

#: A port that nobody listens on: a replica of whoever is there has no primary.
NOBODY = 9


@contextmanager
def readonly(client: redis.Redis) -> Iterator[None]:
    """Demoted: as after a failover, to those that were connected before."""
    client.execute_command("REPLICAOF", "127.0.0.1", NOBODY)
    try:
        yield
    finally:
        client.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def masterdown(client: redis.Redis) -> Iterator[None]:
    """Demoted, and with data that it takes for stale: no reads either."""
    with _configured(client, "replica-serve-stale-data", "no"), readonly(client):
        yield


@contextmanager
def noreplicas(client: redis.Redis) -> Iterator[None]:
    with _configured(client, "min-replicas-to-write", "1"):
        yield


@contextmanager
def oom(client: redis.Redis) -> Iterator[None]:
    with _configured(client, "maxmemory", "1"):
        yield


@contextmanager
def misconf(client: redis.Redis) -> Iterator[None]:
    """Cannot save: a folder stands where its snapshot belongs."""
    in_the_way = Path(client.config_get("dir")["dir"]) / "dump.rdb"
    in_the_way.unlink(missing_ok=True)
    in_the_way.mkdir()
    with _configured(client, "save", "3600 100000"):
        try:
            client.bgsave()
            while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
                time.sleep(0.01)
            yield
        finally:
            in_the_way.rmdir()
    client.bgsave()
    while client.info("persistence")["rdb_last_bgsave_status"] != "ok":
        time.sleep(0.01)


@contextmanager
def busy(client: redis.Redis) -> Iterator[None]:
    """In a script that does not end."""

    def never_ends() -> None:
        with suppress(redis.RedisError), redis.Redis(**_address(client)) as other:
            other.eval("while true do end", 0)

    with _configured(client, "busy-reply-threshold", "10"):
        script = threading.Thread(target=never_ends)
        script.start()
        time.sleep(0.1)
        try:
            yield
        finally:
            client.script_kill()
            script.join()


@contextmanager
def noauth(client: redis.Redis) -> Iterator[None]:
    """The password is another one now; who is connected is not any more."""
    with _configured(client, "requirepass", "another"):
        client.execute_command("AUTH", "another")
        client.client_kill_filter(_type="normal", skipme=True)
        yield


@contextmanager
def hung(client: redis.Redis) -> Iterator[None]:
    process = redis_process_id(_address(client)["host"], _address(client)["port"])
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


Answer = Callable[[redis.Redis], object]
#: Reads are answered; writes are not.
NO_WRITES = {
    "READONLY": readonly, "NOREPLICAS": noreplicas, "OOM": oom, "MISCONF": misconf,
}  # fmt: skip
#: Nothing is answered.
NOTHING = {"MASTERDOWN": masterdown, "BUSY": busy, "NOAUTH": noauth, "hung": hung}
ANSWERS = {**NO_WRITES, **NOTHING}


@contextmanager
def answering(url: str, answer: str) -> Iterator[None]:
    """Let the server at `url` answer this meanwhile."""
    with redis.Redis.from_url(url, single_connection_client=True) as client:
        client.ping()
        with ANSWERS[answer](client):
            yield


@contextmanager
def _configured(client: redis.Redis, name: str, value: str) -> Iterator[None]:
    before = client.config_get(name)[name]
    client.config_set(name, value)
    try:
        yield
    finally:
        client.config_set(name, before)


def _address(client: redis.Redis) -> dict[str, object]:
    known = client.connection_pool.connection_kwargs
    return {"host": known["host"], "port": known["port"]}
