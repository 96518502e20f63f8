"""A producer that loses nothing: what the broker did not acknowledge is sent again.

Whatever that sends twice is what a producer's retry is, so no idempotence is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra.config import Settings
from infra.kafka import Ends, Message

#: Records not acknowledged at most.
UNDER_WAY: Final = 5000
#: A batch that waited so long for a broker that is away is given up, and sent again.
REQUEST_TIMEOUT_MS: Final = 10_000
POLL_S: Final = 0.01

Sent = asyncio.Future[object]


class Producer(threading.Thread):
    """Sends records in the background, at a rate and not beyond what it is allowed.

    Attributes:
        sent: records acknowledged, those that :meth:`send_now` was given among them.
        resent: of those, how many were sent more than once because nobody acknowledged them.
        ends: where the partitions end, as far as acknowledged.
        error: why it ended before it was done.
    """

    def __init__(self, settings: Settings, records: Sequence[Message], rate: float) -> None:
        super().__init__(name="producer", daemon=True)
        self._settings = settings
        self.records = records
        self._rate = rate
        self._allowed = 0
        self._more: deque[Message] = deque()
        self._finishing = False
        self.sent = self.resent = 0
        self.error: BaseException | None = None
        self._ends: dict[tuple[str, int], int] = {}

    def allow(self, records: int) -> None:
        """Go on until so many records are sent; the rate no longer counts for the last one."""
        self._allowed = records

    def send_now(self, message: Message) -> None:
        """Send one more, beside the others."""
        self._more.append(message)

    def finish(self) -> None:
        """Send what is left, and end."""
        self.allow(len(self.records))
        self._finishing = True

    @property
    def ends(self) -> Ends:
        """Partition → the offset after its last record."""
        return dict(self._ends)

    def run(self) -> None:
        """Send everything."""
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self.error = error

    async def _run(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka_bootstrap_servers,
            acks="all",
            linger_ms=5,
            max_request_size=self._settings.max_message_bytes,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=100,
        )
        await producer.start()
        under_way: deque[tuple[Message, Sent]] = deque()
        began, number = time.monotonic(), 0
        try:
            while number < len(self.records) or self._more or not self._finishing:
                while self._more:
                    message = self._more.popleft()
                    under_way.append((message, await self._send(producer, message)))
                due = min((time.monotonic() - began) * self._rate, self._allowed)
                if self._finishing:
                    due = self._allowed  # the faults are over
                if number >= min(due, len(self.records)):
                    await self._settle(producer, under_way, 0)
                    await asyncio.sleep(POLL_S)
                    continue
                message = self.records[number]
                number += 1
                under_way.append((message, await self._send(producer, message)))
                if len(under_way) >= UNDER_WAY or number % 100 == 0:
                    await self._settle(producer, under_way, UNDER_WAY - 1)
            while under_way:
                await self._settle(producer, under_way, 0)
        finally:
            await producer.stop()

    async def _send(self, producer: AIOKafkaProducer, message: Message) -> Sent:
        """Hand a record over; there may be no room for it while the broker is away."""
        while True:
            with contextlib.suppress(KafkaError):
                sent: Sent = await producer.send(
                    message.topic, message.value, key=message.key.encode()
                )
                return sent
            await asyncio.sleep(0.1)

    async def _settle(
        self, producer: AIOKafkaProducer, under_way: deque[tuple[Message, Sent]], most: int
    ) -> None:
        """Take in answers until at most `most` are open; what failed is sent again."""
        while under_way and (under_way[0][1].done() or len(under_way) > most):
            message, sent = under_way.popleft()
            try:
                stored: Any = await sent
            except KafkaError:
                self.resent += 1
                under_way.append((message, await self._send(producer, message)))
            else:
                self.sent += 1
                place = stored.topic, stored.partition
                self._ends[place] = max(self._ends.get(place, 0), stored.offset + 1)
