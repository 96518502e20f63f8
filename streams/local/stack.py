"""The whole of Freshgrid on one machine: servers, worker, learner and ranker as one unit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from infra.certificates import http_url
from infra.config import Settings
from infra.doctor import HELLO_TIMEOUT_S, kafka_hello
from infra.embedded import start_kafka, start_redis
from infra.errors import SettingsError
from infra.open_stores import store_hello
from infra.supervisor import ChildSpec, Supervisor, check_port, free_port
from infra.threads import ONE_THREAD
from streams.topology import ROLES

#: The learner imports torch and gensim, which takes a while on a cold disk.
START_TIMEOUT_S: Final = 180.0

#: The embedded broker is not Apache Kafka: a group join waits for half the session timeout, and a
#: fetch that finds nothing waits out its time even when a record arrives, while looking at every
#: partition again and again. So the wait is short where a grid depends on it, and there are few
#: partitions: one worker needs no more.
EMBEDDED_KAFKA: Final[dict[str, object]] = {
    "partitions": 2,
    "session_timeout_s": 3.0,
    "rebalance_timeout_s": 3.0,
    "fetch_max_wait_ms": 20,
}


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
        run_dir: a folder that ends with it.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        settings: Settings,
        supervisor: Supervisor,
        env: Mapping[str, str],
    ) -> None:
        self.endpoints = endpoints
        self.settings = settings
        self.run_dir = supervisor.run_dir
        self._supervisor = supervisor
        self._env = env

    def wait_ready(self, *roles: str) -> None:
        """Block until these roles, or every part, are ready; raises ChildError if one dies."""
        self._supervisor.wait_ready(*roles)

    def start(self, name: str, *argv: str) -> None:
        """Start another process beside the roles, with their environment; it prints ``ready``."""
        self._supervisor.start(
            ChildSpec(name=name, argv=argv, env=self._env, default_env=ONE_THREAD)
        )

    def stop_last(self) -> None:
        """End what was started last."""
        self._supervisor.stop_last()

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
    with Supervisor() as supervisor:
        ours: dict[str, object] = {"http_host": host, "http_port": port}
        # Versions are announced in Kafka: artifacts of a log that is gone are of no use.
        profile = EMBEDDED_KAFKA | {"artifacts_url": str(supervisor.run_dir / "artifacts")}
        ours |= start_servers(settings, supervisor, profile)
        settings = settings.model_copy(update=ours)
        env = {name.upper(): str(value) for name, value in ours.items()}
        supervisor.start(
            *(
                ChildSpec(
                    name=role,
                    argv=argv_of(role),
                    env=env,
                    default_env=ONE_THREAD,
                    start_timeout_s=START_TIMEOUT_S,
                )
                for role in ROLES
            )
        )
        endpoints = Endpoints(
            kafka=settings.kafka_bootstrap_servers,
            redis=settings.redis_url,
            http=http_url(settings, port),
            artifacts=_absolute(settings.artifacts_url),
        )
        yield Stack(endpoints, settings, supervisor, env)


def start_servers(
    settings: Settings, supervisor: Supervisor, profile: Mapping[str, object] = EMBEDDED_KAFKA
) -> dict[str, object]:
    """Make sure of Kafka and Redis: those that the settings name, embedded ones for the others.

    Args:
        profile: settings for an embedded broker; those that are named go first.

    Returns:
        The settings that follow from it.

    Raises:
        FreshgridError: a wheel is missing, a named server is out of reach.
    """
    named = settings.model_fields_set
    ours: dict[str, object] = {}
    if "kafka_bootstrap_servers" in named:
        kafka_hello(settings)
    elif settings.kafka_security_protocol != "PLAINTEXT":
        raise SettingsError(
            f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol} is not for the embedded "
            "broker; name yours in KAFKA_BOOTSTRAP_SERVERS, or unset it"
        )
    else:
        ours["kafka_bootstrap_servers"] = start_kafka(supervisor)
        ours |= {name: value for name, value in profile.items() if name not in named}
    if "redis_url" in named:
        store_hello(settings, HELLO_TIMEOUT_S)
    elif settings.redis_username or settings.redis_password:
        raise SettingsError(
            "REDIS_USERNAME and REDIS_PASSWORD are not for the embedded server; name yours in "
            "REDIS_URL, or unset them"
        )
    else:
        ours["redis_url"] = start_redis(supervisor)
    return ours


def _absolute(artifacts_url: str) -> str:
    return artifacts_url if "://" in artifacts_url else str(Path(artifacts_url).resolve())
