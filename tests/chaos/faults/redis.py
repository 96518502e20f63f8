"""Redis ends, hangs, refuses, reads its data, or is another one that lags behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import redis

from tests.chaos.faults.fault import Fault, fault
from tests.chaos.processes import StuckError
from tests.chaos.scene import Scene
from tests.chaos.servers import Redis
from tests.redis_answers import ANSWERS, NOTHING, answering

NO_READS: Final = "Redis answers no reads"
#: How a real server is made to answer so.
DOES: Final = {
    "READONLY": "Demoted to a replica of nobody; promoted again.",
    "MASTERDOWN": "Demoted, and told to serve no stale data: no reads either; promoted again.",
    "NOREPLICAS": "Told to write only with a replica in step, of which there is none; told not to.",
    "OOM": "Told to take a byte of memory; told to take what it needs.",
    "MISCONF": "A folder stands where its snapshot belongs, and it may not write without; removed.",
    "BUSY": "In a script that does not end; the script is killed.",
    "NOAUTH": "Another password, and who was connected is not any more; the old one again.",
    "hung": "Stands still (SIGSTOP); goes on.",
}
#: A loading server takes so long for each key, in µs.
LOAD_DELAY_US: Final = 100
REPLICA_TIMEOUT_S: Final = 30.0
REBUILD_TIMEOUT_S: Final = 120.0


def _restarted(scene: Scene, how: signal.Signals) -> Iterator[None]:
    scene.redis.end(how)
    scene.rest_between(0, scene.longest_away_s)
    yield
    scene.redis.start()


@fault("Redis killed", "Redis", group="end", excuses=NO_READS)
def killed(scene: Scene) -> Iterator[None]:
    """`kill -9`; started again with its append-only file."""
    yield from _restarted(scene, signal.SIGKILL)


@fault("Redis restarted", "Redis", group="end", excuses=NO_READS)
def restarted(scene: Scene) -> Iterator[None]:
    """SIGTERM; started again with its append-only file."""
    yield from _restarted(scene, signal.SIGTERM)


@fault("Redis LOADING", "Redis", group="end", lasts_s=(0.0, 0.5), excuses=NO_READS)
def loading(scene: Scene) -> Iterator[None]:
    """Started again, and slow to read its data: it answers LOADING until it has."""
    scene.redis.end(signal.SIGTERM)
    scene.redis.start(
        *("--key-load-delay", str(LOAD_DELAY_US)),
        *("--loading-process-events-interval-bytes", "1024"),
        wait=False,
    )
    yield
    scene.redis.wait_ready()


def _answers(answer: str) -> Fault:
    def broken(scene: Scene) -> Iterator[None]:
        with answering(scene.redis.url, answer):
            yield

    name = "Redis hangs" if answer == "hung" else f"Redis {answer}"
    broken.__doc__ = DOES[answer]
    excuses = NO_READS if answer in NOTHING else ""
    group = "no reads" if excuses else "no writes"
    return fault(name, "Redis", group=group, lasts_s=(1.0, 4.0), excuses=excuses)(broken)


@fault("Redis fails over to a lagging replica", "Redis", excuses=NO_READS)
def failover(scene: Scene) -> Iterator[None]:
    """A replica falls behind, the primary is killed, the replica takes its address; the workers
    go on meanwhile. Then they are stopped, `freshgrid rebuild --force` runs, they start again."""
    replica = Redis(scene.folder / f"redis-{scene.number()}")
    replica.start("--replicaof", f"127.0.0.1 {scene.redis.port}")
    with replica.client() as client:
        _wait(scene, lambda: _in_step(client), "a replica in step")
        client.execute_command("REPLICAOF", "NO", "ONE")
    scene.rest_between(0.5, 2)
    scene.redis.end(signal.SIGKILL)
    replica.end(signal.SIGTERM)
    scene.redis.folder = replica.folder
    scene.redis.start()
    scene.rest_between(0.5, 1.5)
    yield
    workers = scene.workers.end_all()
    command = [sys.executable, "-m", "streams.cli", "rebuild", "--force"]
    given = scene.settings.model_dump(include=scene.settings.model_fields_set)
    done = subprocess.run(
        command,
        env={**os.environ, **{name.upper(): str(value) for name, value in given.items()}},
        capture_output=True,
        text=True,
        timeout=REBUILD_TIMEOUT_S,
    )
    if done.returncode:
        raise StuckError(f"the rebuild failed: {done.stderr.strip()}")
    for _ in range(workers):
        scene.workers.start()


def _in_step(client: redis.Redis) -> bool:
    found: dict[str, Any] = {}
    with suppress(redis.RedisError):
        found = client.info("replication") | client.info("persistence")
    return (
        found.get("master_link_status") == "up"
        and not found["aof_rewrite_in_progress"]
        and not found["aof_rewrite_scheduled"]
    )


def _wait(scene: Scene, condition: Callable[[], bool], what: str) -> None:
    scene.wait(condition, what, REPLICA_TIMEOUT_S)
    time.sleep(0.1)


FAULTS: Final[tuple[Fault, ...]] = (
    killed, restarted, loading, failover, *(_answers(answer) for answer in ANSWERS),
)  # fmt: skip
