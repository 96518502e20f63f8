"""A producer that sends events at a steady rate until it is asked to stop.

``python -m streams.bench.background RATE REPORT`` sends RATE events per second and, on SIGTERM,
writes to the file REPORT what it sent. Topics, media, authors and their shares are the fixture's;
the viewers are none of the fixture's, drawn evenly, and every event happens when it is sent.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from infra.batch_sender import batch_sender
from infra.config import Settings
from infra.kafka import Message
from streams.bench.population import Population, viewer_name
from streams.clock import now_ms

#: Viewers active at once: at 5,000 events/s each of them does something every 20 seconds.
VIEWERS: Final = 100_000
#: Events leave in small groups this often: steady for those who read them, cheap to send.
TICK_S: Final = 0.05


class Sent(msgspec.Struct):
    """What was sent.

    Attributes:
        ends: (topic, partition, offset after the last event there).
    """

    events: int
    seconds: float
    ends: list[tuple[str, int, int]]


async def send_steadily(settings: Settings, rate: int, stop: asyncio.Event) -> Sent:
    """Send until `stop`; what a tick sends late it sends nevertheless."""
    population, rng = Population(), random.Random(7)
    async with batch_sender(settings) as sender:
        print("ready", flush=True)
        sent, started = 0, time.monotonic()
        while not stop.is_set():
            due, now = int((time.monotonic() - started) * rate), now_ms()
            for number in range(sent, due):
                await sender.add(_event(population, rng, number, now))
            sent = max(sent, due)
            await sender.flush()
            await asyncio.sleep(TICK_S)
        seconds = time.monotonic() - started
        ends = await sender.finish()
    return Sent(sent, seconds, [(*place, end) for place, end in ends.items()])


def _event(population: Population, rng: random.Random, number: int, now: int) -> Message:
    template = population.templates[int(rng.random() * len(population.templates))]
    return template.message(viewer_name(int(rng.random() * VIEWERS)), number, now)


async def _until_asked(settings: Settings, rate: int) -> Sent:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return await send_steadily(settings, rate, stop)


def main() -> None:
    """Send events until SIGTERM, then write what was sent to a file."""
    rate, path = int(sys.argv[1]), Path(sys.argv[2])
    sent = asyncio.run(_until_asked(Settings(), rate))
    path.write_bytes(msgspec.json.encode(sent))


if __name__ == "__main__":
    main()
