"""Events per second that one ranker takes over HTTP, each acknowledged by the broker.

Batches of NDJSON over a few connections that stay open, from a process of their own; an answer
counts when every record of it is in Kafka.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from infra.config import Settings
from infra.errors import FreshgridError
from infra.http.bodies import NDJSON
from infra.http.events import Accepted
from infra.supervisor import free_port
from models.actions import MEDIA_EVENT_TOPIC_OF
from streams.bench.population import Population
from streams.bench.progress import say
from streams.bench.servers import bench_servers
from streams.local.stack import role_argv

EVENTS: Final = 200_000
BATCH: Final = 100
#: Batches on their way at once. A product sends from several places.
CONNECTIONS: Final = 16
#: Sent first, and not counted.
WARM: Final = 20_000

_ACTION_OF: Final = {topic: action for action, topic in MEDIA_EVENT_TOPIC_OF.items()}
_accepted = msgspec.json.Decoder(Accepted)


class NotTakenError(FreshgridError):
    """The ranker did not take a batch of good events."""


class Address(NamedTuple):
    """Host and port that a ranker answers on."""

    host: str
    port: int


def run(
    settings: Settings,
    *,
    events: Annotated[int, Meta(ge=BATCH, description="Events to send.")] = EVENTS,
) -> dict[str, Any]:
    """Start a broker and a ranker, and send it events."""
    with bench_servers(settings) as servers:
        at = Address("127.0.0.1", free_port())
        servers.start("ranker", "env", f"HTTP_PORT={at.port}", *role_argv("ranker"))
        servers.wait_ready()
        return measure_events_in(at, events)


def measure_events_in(at: Address, events: int = EVENTS) -> dict[str, Any]:
    """Send events to a ranker that is ready; the figures of it.

    Raises:
        NotTakenError: an event is not taken.
    """
    say(f"{events} events over HTTP in batches of {BATCH} …")
    requests = list(_requests(at, WARM + events))
    asyncio.run(_send_all(at, requests[: WARM // BATCH]))
    seconds, latency_s = asyncio.run(_send_all(at, requests[WARM // BATCH :]))
    latency_s.sort()
    return {
        "events_in_per_s": round((len(requests) - WARM // BATCH) * BATCH / seconds),
        "events_in_p50_ms": round(1000 * latency_s[len(latency_s) // 2], 2),
        "events_in_p99_ms": round(1000 * latency_s[int(0.99 * len(latency_s))], 2),
        "events_in_batch": BATCH,
        "events_in_connections": CONNECTIONS,
        "events_in": events,
    }


def _requests(at: Address, events: int) -> Iterator[bytes]:
    """Whole requests of `BATCH` events each."""
    population = Population()
    now_ms = int(time.time() * 1000)
    viewers = population.viewers_for(events)
    start_ts = now_ms - int(population.lasts(viewers, events))
    stream = population.stream(viewers, events, start_ts=start_ts)
    lines = (
        b'{"action":"%s",%s\n' % (_ACTION_OF[topic].encode(), (value or b"")[1:])
        for topic, _, value in stream
    )
    while batch := list(islice(lines, BATCH)):
        body = b"".join(batch)
        yield (
            b"POST /v1/events HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: %s\r\n"
            b"Content-Length: %d\r\n\r\n%s"
        ) % (at.host.encode(), at.port, NDJSON.encode(), len(body), body)


async def _send_all(at: Address, requests: Sequence[bytes]) -> tuple[float, list[float]]:
    """Send requests over several connections; seconds in all, and of each until its answer."""
    waiting, latency_s = iter(requests), list[float]()

    async def send() -> None:
        reader, writer = await asyncio.open_connection(at.host, at.port)
        for request in waiting:
            asked_s = time.perf_counter()
            writer.write(request)
            await _taken(reader, BATCH)
            latency_s.append(time.perf_counter() - asked_s)
        writer.close()
        await writer.wait_closed()

    started_s = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
    return time.perf_counter() - started_s, latency_s


async def _taken(reader: asyncio.StreamReader, events: int) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *fields = head.split("\r\n")
    names = dict(field.lower().split(": ", 1) for field in fields if field)
    body = await reader.readexactly(int(names["content-length"]))
    if " 202 " not in f"{status} " or _accepted.decode(body).accepted != events:
        raise NotTakenError(f"a batch of {events} events was answered {status}: {body[:300]!r}")
