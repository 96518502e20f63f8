"""A simulated world as records: to Kafka at a set rate, or for a fixture to replay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from infra.batch_sender import batch_sender
from infra.config import Settings
from infra.kafka import Ends, Message
from models.actions import Action
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC
from models.simulation.delivery import deliver
from models.simulation.world import SimulatedWorld
from streams.simulated.loop import simulate
from streams.simulated.policy import RandomPolicy
from streams.simulated.product import messages_of

#: Records leave in small groups this often.
_TICK_S: Final = 0.05
_encoder = msgspec.json.Encoder()


def records(world: SimulatedWorld, size: int, shift_ms: int = 0) -> Iterator[Message]:
    """The catalogue, and then what viewers do with media at random, in the order of its arrival.

    Late and repeated events are among them. Media stand before all events, so none waits for its
    author.

    Args:
        size: positions of a grid.
        shift_ms: added to all times.
    """
    for a, account_id in enumerate(world.account_ids):
        yield Message(ACCOUNTS_TOPIC, account_id, _encoder.encode(world.account(a)))
    for m, media_id in enumerate(world.media_ids):
        media = world.media(m)
        media = msgspec.structs.replace(media, created_ts=media.created_ts + shift_ms)
        yield Message(MEDIA_TOPIC, media_id, _encoder.encode(media))
    outcome = simulate(world, RandomPolicy(world, size), size=size, oracle_every=0)
    events, _ = deliver(outcome.events, world.config)
    for action, event in messages_of(world, events):
        event = msgspec.structs.replace(
            event, ts=event.ts + shift_ms, long=action is Action.LONG_VIEW
        )
        yield Message(action.row.topic, event.viewer_id, _encoder.encode(event))


def as_line(message: Message) -> bytes:
    """A record as a line of a fixture."""
    value = msgspec.json.decode(message.value or b"{}")
    return _encoder.encode({"topic": message.topic, **value})


async def send(
    settings: Settings,
    messages: Iterator[Message],
    rate: float,
    on_sent: Callable[[int], None],
) -> Ends:
    """Send records at a steady rate; returns once the broker has all of them.

    Args:
        rate: records a second. What is sent late because the broker was slow is caught up with.
        on_sent: called with the number sent so far, many times a second.
    """
    async with batch_sender(settings) as sender:
        sent, started, over = 0, time.monotonic(), False
        while not over:
            due = int((time.monotonic() - started) * rate) + 1
            while sent < due and not over:
                message = next(messages, None)
                over = message is None
                if message is not None:
                    await sender.add(message)
                    sent += 1
            await sender.flush()
            on_sent(sent)
            await asyncio.sleep(_TICK_S)
        return await sender.finish()
