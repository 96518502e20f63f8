"""Table of contents: which agent turns which topic into what.

::

    events.like, .save, .see_fewer, .view, .follow ─▶ ingest   ─▶ Redis, explore.touched
    catalog.media, catalog.accounts                ─▶ catalog  ─▶ Redis, waiting events back
    explore.touched                                ─▶ sessions ─▶ explore.sessions
    explore.sessions                               ─▶ learner  ─▶ explore.embeddings, .versions
    explore.touched                                ─▶ ranking  ─▶ grid:{viewer}
    (whatever none of them can apply)                          ─▶ explore.dead_letters

An agent receives chunks (:mod:`streams.transport`) and finishes each one itself, after everything
the chunk caused is stored and acknowledged.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, cast

import faust
import msgspec

from infra.kafka import SESSIONS_TOPIC, TOUCHED_TOPIC
from infra.metrics import PARKED
from models.actions import EVENT_TOPICS
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC
from streams.batches import Collector, fold_together, handle_together
from streams.clock import now_ms
from streams.ingest import Ingest
from streams.packing import Touched
from streams.ranking import Ranking
from streams.sessions import Sessions
from streams.transport import BatchedConsumer, Chunk, ChunkSchema

#: How often open sessions and parked events are looked through.
SWEEP_INTERVAL_S = 1.0


class SessionSink(Protocol):
    """Takes closed sessions. A port, because the learner's embeddings need gensim."""

    def closed(self, values: Sequence[bytes], finish: Callable[[], None]) -> None:
        """Take in records of ``explore.sessions``; calls `finish` when they are learned."""
        ...


_touched = msgspec.json.Decoder(Touched)

logger = logging.getLogger(__name__)

Handler = Callable[[Chunk], Awaitable[None]]


def add_worker(
    app: faust.App,
    ingest: Ingest,
    sessions: Sessions,
    events: Collector,
    touched: Collector,
    parking_ttl_ms: int,
    media_partitions: int,
) -> list[Coroutine[Any, Any, None]]:
    """The agents of an ingest worker; returns what has to run beside them."""

    async def catalog(chunk: Chunk) -> None:
        apply = ingest.media if chunk.tp.topic == MEDIA_TOPIC else ingest.accounts
        await apply(chunk.tp.topic, chunk.tp.partition, chunk.records, now_ms())
        chunk.finish()

    async def note(chunks: Sequence[Chunk]) -> None:
        await sessions.touched([touch for chunk in chunks for touch in touches(chunk)], now_ms())

    _agent(app, "ingest", EVENT_TOPICS, events.put)
    _agent(app, "catalog", (MEDIA_TOPIC, ACCOUNTS_TOPIC), catalog)
    _agent(app, "sessions", (TOUCHED_TOPIC,), touched.put)

    async def sweep() -> None:
        await sessions.sweep(now_ms())
        until_ms = cast(BatchedConsumer, app.consumer).read_until_ms(MEDIA_TOPIC)
        read_ms = await ingest.catalog_read(until_ms, media_partitions)
        await ingest.expire_parked(read_ms, parking_ttl_ms)
        PARKED.set(await ingest.parked_media())

    app.timer(SWEEP_INTERVAL_S)(sweep)
    return [fold_together(events, ingest), handle_together(touched, note)]


def add_ranking(app: faust.App, ranking: Ranking) -> None:
    """The agent of a ranking worker; a chunk is finished when its last viewer has a grid."""

    async def touched(chunk: Chunk) -> None:
        ranking.touch(touches(chunk), chunk.finish)

    _agent(app, "ranking", (TOUCHED_TOPIC,), touched)


def add_embeddings(app: faust.App, embeddings: SessionSink) -> None:
    """The agent of a learner."""

    async def closed(chunk: Chunk) -> None:
        embeddings.closed([r.value for r in chunk.records if r.value is not None], chunk.finish)

    _agent(app, "embeddings", (SESSIONS_TOPIC,), closed)


def touches(chunk: Chunk) -> list[Touched]:
    """The records of a chunk of ``explore.touched``; what is none of ours is skipped."""
    found = []
    for record in chunk.records:
        try:
            found.append(_touched.decode(record.value or b""))
        except msgspec.DecodeError as error:
            logger.warning("a record of %s is skipped: %s", chunk.tp.topic, error)
    return found


def _agent(app: faust.App, name: str, topics: tuple[str, ...], handle: Handler) -> None:
    channel = app.topic(*topics, schema=ChunkSchema())

    async def consume(stream: Any) -> None:
        async for chunk in stream:
            await handle(chunk)

    app.agent(channel, name=f"freshgrid.{name}")(consume)
