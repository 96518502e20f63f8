"""Chunks of all partitions, folded together.

A viewer likes, saves and views within seconds: folded together, the chunks that are there already
cost one write a viewer instead of one a chunk. Folds follow each other, because offsets must reach
the store in order; what a fold has to send is on its way while the next one is computed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from infra.kafka import Message
from infra.metrics import EVENT_AGE, EVENTS
from streams.clock import now_ms
from streams.ingest import Ingest, Part
from streams.transport import Chunk

#: Folds whose messages are under way. More would only hide a broker that does not keep up.
MAX_SENDING: Final = 2


class Batches:
    """Collects chunks of event topics and folds what has come so far.

    Args:
        most_records: how many records may wait; as many, and a chunk, are folded at once.
    """

    def __init__(self, ingest: Ingest, most_records: int) -> None:
        self._ingest = ingest
        self._most_records = most_records
        self._waiting: deque[Chunk] = deque()
        self._waiting_records = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._sending = asyncio.Semaphore(MAX_SENDING)

    async def put(self, chunk: Chunk) -> None:
        """Hand over a chunk; waits while too many records wait already."""
        while self._waiting_records >= self._most_records:
            self._taken.clear()
            await self._taken.wait()
        self._waiting.append(chunk)
        self._waiting_records += len(chunk)
        self._arrived.set()

    async def run(self) -> None:
        """Fold, send, finish, until cancelled; raises what goes wrong."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                chunks = list(self._waiting)
                self._waiting.clear()
                self._waiting_records = 0
                self._taken.set()
                parts = [Part(c.tp.topic, c.tp.partition, c.records) for c in chunks]
                messages = await self._ingest.fold(parts, now_ms())
                stored_ms = now_ms()
                for chunk in chunks:
                    EVENTS.labels(chunk.tp.topic).inc(len(chunk))
                    EVENT_AGE.observe(max(stored_ms - chunk.records[0].timestamp, 0) / 1000)
                await self._sending.acquire()
                tasks.create_task(self._finish(chunks, messages))

    async def _finish(self, chunks: Sequence[Chunk], messages: Sequence[Message]) -> None:
        await self._ingest.send(messages)
        for chunk in chunks:
            chunk.finish()
        self._sending.release()
