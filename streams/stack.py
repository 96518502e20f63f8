"""The whole of Freshgrid on one machine: servers, worker, learner and ranker as one unit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from infra.config import Settings
from infra.doctor import kafka_hello, redis_hello
from infra.embedded import start_kafka, start_redis
from infra.supervisor import ChildSpec, Supervisor, check_port, free_port, run_folder

ROLES: Final = ("worker", "learner", "ranker")
#: The learner imports torch and gensim, which takes a while on a cold disk.
START_TIMEOUT_S: Final = 180.0

#: One thread per process: the processes themselves already fill the cores.
ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
#: Tansu lets a group join wait for half the rebalance timeout, so it is set low. Few partitions
#: are enough for one worker, and every one costs each fetch.
EMBEDDED_KAFKA: Final = {"PARTITIONS": "4", "REBALANCE_TIMEOUT_S": "2"}


class Endpoints(msgspec.Struct, frozen=True):
    """Where a running stack is found: the one line that ``freshgrid up`` prints."""

    kafka: str
    redis: str
    http: str
    artifacts: str


class Stack:
    """A stack that starts or runs; see `starting_stack`.

    Attributes:
        endpoints: where its parts are.
        settings: those it was started with, pointing at its parts.
    """

    def __init__(self, endpoints: Endpoints, settings: Settings, supervisor: Supervisor) -> None:
        self.endpoints = endpoints
        self.settings = settings
        self._supervisor = supervisor

    def wait_ready(self, *roles: str) -> None:
        """Block until these roles, or every part, are ready; raises ChildError if one dies."""
        self._supervisor.wait_ready(*roles)

    def check(self) -> None:
        """Raise ChildError if any part is dead."""
        self._supervisor.check()

    def wait(self) -> None:
        """Block until a part dies, which raises ChildError, or a signal is raised."""
        self._supervisor.wait()


def role_argv(role: str) -> tuple[str, ...]:
    """The command line of one of the `ROLES`."""
    return (sys.executable, "-m", "streams.app", role)


@contextmanager
def starting_stack(
    settings: Settings,
    *,
    http_port: int | None = None,
    argv_of: Callable[[str], tuple[str, ...]] = role_argv,
) -> Iterator[Stack]:
    """Start everything side by side; leaving the context ends it all.

    Kafka and Redis are the ones that the settings name; those not named are embedded, and their
    data and, unless named, the artifacts go when the stack ends.

    Args:
        http_port: instead of ``settings.http_port``; 0 for any free port.
        argv_of: the command line of each role.

    Raises:
        FreshgridError: a port is taken, a wheel is missing, a server is out of reach.
    """
    host, port = settings.http_host, settings.http_port if http_port is None else http_port
    port = port or free_port()
    check_port(host, port, "HTTP_PORT or --port")
    named = settings.model_fields_set
    with run_folder() as folder, Supervisor(folder) as supervisor:
        kafka, redis, artifacts = (
            settings.kafka_bootstrap_servers,
            settings.redis_url,
            settings.artifacts_url,
        )
        if "kafka_bootstrap_servers" in named:
            kafka_hello(kafka)
        else:
            kafka = start_kafka(supervisor)
        if "redis_url" in named:
            redis_hello(redis)
        else:
            redis = start_redis(supervisor)
        if "artifacts_url" not in named and "kafka_bootstrap_servers" not in named:
            # Versions are announced in Kafka: artifacts of a log that is gone are of no use.
            artifacts = str(folder / "artifacts")
        elif "://" not in artifacts:
            artifacts = str(Path(artifacts).resolve())
        endpoints = Endpoints(kafka, redis, f"http://{host}:{port}", artifacts)
        places = {
            "kafka_bootstrap_servers": kafka,
            "redis_url": redis,
            "http_host": host,
            "http_port": port,
            "artifacts_url": artifacts,
        }
        env = {name.upper(): str(place) for name, place in places.items()}
        default_env = ONE_THREAD | ({} if "kafka_bootstrap_servers" in named else EMBEDDED_KAFKA)
        supervisor.start(
            *(
                ChildSpec(
                    name=role,
                    argv=argv_of(role),
                    env=env,
                    default_env=default_env,
                    start_timeout_s=START_TIMEOUT_S,
                )
                for role in ROLES
            )
        )
        yield Stack(endpoints, settings.model_copy(update=places), supervisor)
