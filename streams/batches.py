"""Chunks of several partitions, handled together.

A viewer likes, saves and views within seconds: folded together, the chunks that are there already
cost one write a viewer instead of one a chunk. And one chunk after the other, each would wait for
Redis on its own, and hold up those behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from infra.kafka import Message
from infra.metrics import EVENT_AGE, EVENTS
from streams.clock import now_ms
from streams.ingest import Ingest, ParsedBatch, Part
from streams.transport import Chunk

#: Batches whose messages are under way. More would only hide a broker that does not keep up.
MAX_SENDING: Final = 2
DRAIN_POLL_S: Final = 0.005


class Collector:
    """Chunks that wait to be handled.

    Args:
        most_records: how many records may wait; as many, and a chunk, are taken at once.
    """

    def __init__(self, most_records: int) -> None:
        self._most_records = most_records
        self._unfinished: list[Chunk] = []
        self._open = True
        self._waiting: deque[Chunk] = deque()
        self._waiting_records = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    async def put(self, chunk: Chunk) -> None:
        """Hand over a chunk; waits while too many records wait, for ever once drained."""
        while self._waiting_records >= self._most_records or not self._open:
            self._taken.clear()
            await self._taken.wait()
        self._waiting.append(chunk)
        self._waiting_records += len(chunk)
        self._arrived.set()

    async def take(self) -> list[Chunk]:
        """Everything that waits, as soon as there is something."""
        await self._arrived.wait()
        self._arrived.clear()
        chunks = list(self._waiting)
        self._waiting.clear()
        self._waiting_records = 0
        self._taken.set()
        self._unfinished = [chunk for chunk in self._unfinished if not chunk.finished] + chunks
        return chunks

    async def drain(self) -> None:
        """Take nothing more, and return once everything taken is finished."""
        self._open = False
        while self._waiting or not all(chunk.finished for chunk in self._unfinished):
            await asyncio.sleep(DRAIN_POLL_S)


async def handle_together(
    collector: Collector, handle: Callable[[Sequence[Chunk]], Awaitable[None]]
) -> None:
    """Handle what is there, finish it, until cancelled; raises what goes wrong."""
    while True:
        chunks = await collector.take()
        await handle(chunks)
        for chunk in chunks:
            chunk.finish()


async def fold_together(collector: Collector, ingest: Ingest) -> None:
    """Read events, store, send, finish, until cancelled; raises what goes wrong.

    Batches are stored one after the other, because offsets must reach the store in order; while
    one is being stored, the next is read, and what the one before has to send is on its way.
    """
    sending = asyncio.Semaphore(MAX_SENDING)

    async def store(chunks: Sequence[Chunk], batch: ParsedBatch) -> None:
        messages = await ingest.store(batch)
        stored_ms = now_ms()
        for chunk in chunks:
            EVENTS.labels(chunk.tp.topic).inc(len(chunk))
            EVENT_AGE.observe(max(stored_ms - chunk.records[0].timestamp, 0) / 1000)
        await sending.acquire()
        tasks.create_task(send(chunks, messages))

    async def send(chunks: Sequence[Chunk], messages: Sequence[Message]) -> None:
        await ingest.send(messages)
        for chunk in chunks:
            chunk.finish()
        sending.release()

    async with asyncio.TaskGroup() as tasks:
        storing: asyncio.Task[None] | None = None
        while True:
            chunks = await collector.take()
            parts = [Part(c.tp.topic, c.tp.partition, c.records) for c in chunks]
            batch = ingest.read(parts, now_ms())
            if storing is not None:
                await storing
            storing = tasks.create_task(store(chunks, batch))
            # It hands its commands to the connection before the next batch is read.
            await asyncio.sleep(0)
