"""Apache Kafka itself for the tests: one node in KRaft mode with a log on disk, no Docker.

Its jars come by Maven once (``pom.xml`` beside this file) and stay in ``.cache/apache-kafka``.
Needs Java 17 or newer and Maven; :func:`apache_kafka_missing` says what is not there.

>>> with ApacheKafka(tmp_path) as kafka:                             # doctest: +SKIP
...     kafka.kill()
...     kafka.start()      # the same address, cluster id and log
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import hashlib
import random
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from infra.child import Child, ChildSpec, Watchdog
from infra.embedded import HOST, kafka_cluster_id
from infra.errors import EmbeddedError, PortInUseError
from infra.supervisor import check_port
from tests.paths import ROOT

POM: Final = Path(__file__).with_name("pom.xml")
CACHE: Final = ROOT / ".cache" / "apache-kafka"
OLDEST_JAVA: Final = 17
#: Maven fetches 46 MB, most of the time within seconds.
FETCH_TIMEOUT_S: Final = 240.0
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
# What starts fast on a small machine; the log of its log: warnings to stderr.
JAVA: Final = (
    *("java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    # Who was denied what, where there are access control lists.
    "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info",
)
HEAP: Final = "-Xmx512m"
PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
SETTINGS: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": ",".join(
        [*(f"{name}:{name}" for name in PROTOCOLS), "CONTROLLER:PLAINTEXT"]
    ),
    "auto.create.topics.enable": "false",
    "num.network.threads": "2",
    "num.io.threads": "4",
    # One node, and few groups and transactions.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    # Tests of rebalances and dead members need not wait as long as production should.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A killed broker may come back only after its controller has given it up: 9 s by default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # What retention may take is gone while a test looks on.
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "500",
    # Topics that are compacted are compacted while a test looks on.
    "log.cleaner.backoff.ms": "200",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
}


@functools.cache
def apache_kafka_missing(tell: Callable[[str], object] = print) -> str | None:
    """Why Apache Kafka cannot be started here, or None when it can; fetches its jars.

    Args:
        tell: is given one line before jars are fetched, which may take a minute.
    """
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            return f"Apache Kafka needs Java {OLDEST_JAVA} and Maven: there is no {program}"
    answer = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr
    version = re.search(r'version "(\d+)', answer)
    if version is None or int(version[1]) < OLDEST_JAVA:
        found = (answer.splitlines() or ["no version"])[0]
        return f"Apache Kafka needs Java {OLDEST_JAVA} or newer: java is {found}"
    try:
        _jars(tell)
    except EmbeddedError as error:
        return str(error)
    return None


class ApacheKafka:
    """A broker that can be stopped, killed and paused; whatever it is started with, it keeps.

    It ends with this process, and counts as started once it answered in its own protocol.

    Args:
        folder: of its configuration, its log (``data``) and what it prints (``kafka.log``). One
            that was used before is taken up again, with its port and cluster id.
        port: of clients; a free one unless given.
        settings: broker settings beside :data:`SETTINGS`.
        listeners: security protocols that it listens by besides PLAINTEXT.
        scram: password of each user, for both SCRAM mechanisms.
        cluster_id: of the cluster that it is a node of; one of its own unless given.
        heap: what the virtual machine is told of its memory.

    Attributes:
        bootstrap_servers: ``host:port`` of PLAINTEXT.
        secured: the same by each of `listeners`.
        cluster_id: the same for as long as the folder lives.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        *,
        listeners: Sequence[str] = (),
        scram: Mapping[str, str] | None = None,
        cluster_id: str = "",
        heap: str = HEAP,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._heap = heap
        self._child: Child | None = None
        self._config = folder / "server.properties"
        meta = folder / "data" / "meta.properties"
        if not meta.exists():
            lines = self._lines(port or lasting_port(), settings or {}, listeners)
            self._format(lines, scram or {}, cluster_id or new_cluster_id())
        self.secured = dict(
            listener.split("://") for listener in _property(self._config, "listeners").split(",")
        )
        self.bootstrap_servers = self.secured.pop("PLAINTEXT")
        self.port = int(self.bootstrap_servers.rpartition(":")[2])
        self.cluster_id = _property(meta, "cluster.id")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self.stop()

    @property
    def denied(self) -> list[str]:
        """What access control lists forbade so far, a line each."""
        return [line for line in self._printed().splitlines() if " is Denied " in line]

    def _printed(self) -> str:
        return (self._folder / "kafka.log").read_text()

    @property
    def pid(self) -> int | None:
        """Of the running broker."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start the broker and wait until it answers.

        Raises:
            ChildError: it ended, or did not answer in time.
        """
        self.begin()
        self.wait_ready()

    def begin(self) -> None:
        """Start the broker: one of several answers only once most of them are there."""
        assert self._child is None, "it is running"
        check_port(HOST, self.port, "the port of ApacheKafka")
        self._watchdog = Watchdog()
        spec = ChildSpec(
            name="kafka",
            argv=(*java_of("kafka.Kafka", self._heap), str(self._config)),
            probe=lambda _: kafka_cluster_id(HOST, self.port) == self.cluster_id,
            start_timeout_s=START_TIMEOUT_S,
        )
        self._child = Child(spec, self._folder / "kafka.log", self._watchdog)

    def wait_ready(self) -> None:
        """Wait until it answers.

        Raises:
            ChildError: it ended, or did not answer in time.
        """
        try:
            while not self._running().poll_ready():
                time.sleep(0.02)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it as an operator would: it writes out what it has."""
        self.resume()
        self._end(signal.SIGTERM, STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL, 0.0)

    def pause(self) -> None:
        """Make it stand still: connections stay open and nothing answers."""
        self._running().signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after a pause."""
        self._running().signal_group(signal.SIGCONT)

    def _running(self) -> Child:
        assert self._child is not None, "it is not running"
        return self._child

    def _end(self, how: signal.Signals, patience_s: float) -> None:
        child = self._running()
        child.signal_group(how)
        child.stop(time.monotonic() + patience_s)
        self._child = None
        self._watchdog.close()

    def _lines(
        self, port: int, settings: Mapping[str, str], secured: Sequence[str]
    ) -> dict[str, str]:
        controller = lasting_port()
        listeners = {"PLAINTEXT": port, **{name: lasting_port() for name in secured}}
        listeners["CONTROLLER"] = controller
        return {
            **SETTINGS,
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "listeners": ",".join(f"{name}://{HOST}:{at}" for name, at in listeners.items()),
            "log.dirs": str(self._folder / "data"),
            **settings,
        }

    def _format(self, lines: Mapping[str, str], scram: Mapping[str, str], cluster_id: str) -> None:
        self._config.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        command = [*java_of("kafka.tools.StorageTool"), "format"]
        command += [f"--cluster-id={cluster_id}", "--config", str(self._config)]
        for user, password in scram.items():
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                command += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise EmbeddedError(f"Apache Kafka does not format its log: {done.stderr.strip()}")


def java_of(program: str, heap: str = HEAP) -> tuple[str, ...]:
    """The command line of one of its programs, named by its class."""
    return (*JAVA, heap, "-cp", f"{_jars()}/*", program)


def _jars(tell: Callable[[str], object] = print) -> Path:
    """The folder of the jars, fetched where they are not there.

    Raises:
        EmbeddedError: Maven cannot fetch them.
    """
    folder = CACHE / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    # Of several processes one fetches. A folder with the final name is complete.
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            tell("fetching Apache Kafka by Maven; this can take a minute, once")
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            _fetch(partial)
            partial.rename(folder)
    return folder


def _fetch(folder: Path) -> None:
    command = [
        *("mvn", "--batch-mode", "--quiet", "-Dstyle.color=never", "--file", str(POM)),
        "dependency:copy-dependencies",
        *(f"-DoutputDirectory={folder}", "-DincludeScope=runtime"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise EmbeddedError(f"Maven did not fetch {POM} in {FETCH_TIMEOUT_S:g} s") from None
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        why = (errors or ["it does not say why"])[0]
        raise EmbeddedError(f"Maven cannot fetch {POM}: {why}")


def new_cluster_id() -> str:
    """The id of a cluster that nobody has."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def lasting_port() -> int:
    """A free port outside the range from which the system takes those of outgoing connections.

    While a broker is down, one of its own clients could otherwise be given its port.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(PortInUseError):
            check_port(HOST, port, "")
            return port


def _property(file: Path, name: str) -> str:
    [value] = re.findall(rf"^{re.escape(name)}=(.*)$", file.read_text(), re.MULTILINE)
    return str(value)
