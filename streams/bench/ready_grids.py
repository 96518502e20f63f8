"""A stack with a catalogue of its own and ready grids, for benchmarks of what serving hands out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from infra.batch_sender import send_in_batches
from infra.errors import FreshgridError
from infra.kafka import Message
from infra.open_stores import open_stores
from models.actions import FOLLOW_TOPIC
from models.events import ACCOUNTS_TOPIC, HOUR_MS, MEDIA_TOPIC
from streams.bench.progress import say
from streams.clock import now_ms
from streams.local.scenario import get_json
from streams.local.stack import Stack

MEDIA: Final = 2_000
ACCOUNTS: Final = 200
READ_TIMEOUT_S: Final = 60.0
#: Viewers asked for at once.
AT_ONCE: Final = 8
#: Far fewer grids than any machine makes in a second.
GRIDS_PER_S: Final = 20

_encoder = msgspec.json.Encoder()


class NotReadError(FreshgridError):
    """The ranker does not read what was sent."""


def media_message(number: int, **fields: object) -> Message:
    """The record of one media of the catalogue, with some fields of its own."""
    value = {
        "media_id": f"m{number}",
        "author_id": f"a{number % ACCOUNTS}",
        "created_ts": now_ms() - number * HOUR_MS // 60,
        "topics": [f"t{number % 7}"],
        **fields,
    }
    return Message(MEDIA_TOPIC, f"m{number}", _encoder.encode(value))


def account_message(number: int, **fields: object) -> Message:
    """The record of one account."""
    value = {"account_id": f"a{number}", **fields}
    return Message(ACCOUNTS_TOPIC, f"a{number}", _encoder.encode(value))


def send(stack: Stack, messages: Sequence[Message]) -> None:
    """Send records; returns once the broker has them."""
    asyncio.run(send_in_batches(stack.settings, messages))


def make_ready(stack: Stack, viewers: int) -> list[str]:
    """Fill the catalogue and make a grid of each of so many viewers ready; returns their ids.

    They have done nothing but to follow an author who posts nothing, so most are shown the same.
    """
    send(stack, [media_message(n) for n in range(MEDIA)])
    deadline = time.monotonic() + READ_TIMEOUT_S
    while get_json(f"{stack.endpoints.http}/v1/status")["media"] < MEDIA:
        stack.check()
        if time.monotonic() > deadline:
            raise NotReadError(f"the ranker has not read {MEDIA} media in {READ_TIMEOUT_S:g} s")
        time.sleep(0.05)
    say(f"{viewers} grids are made …")
    names = [f"reader{number}" for number in range(viewers)]
    send(stack, [_follow_message(name) for name in names])
    while lacking := asyncio.run(_without_grid(stack, names)):
        stack.check()
        if time.monotonic() > deadline + viewers / GRIDS_PER_S:
            raise NotReadError(f"{len(lacking)} viewers have no grid after all this time")
        # Who is asked for comes first, and is made at once.
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for _ in threads.map(lambda name: get_json(_url(stack, name)), lacking):
                pass
    return names


async def _without_grid(stack: Stack, names: Sequence[str]) -> list[str]:
    async with open_stores(stack.settings) as stores:
        grids = await stores.viewers.grids_of(names)
    return [name for name, grid in zip(names, grids, strict=True) if grid is None]


def _follow_message(name: str) -> Message:
    event = {
        "event_id": f"{name}-follows",
        "viewer_id": name,
        "author_id": "nobody",
        "kind": "follow",
        "ts": now_ms(),
    }
    return Message(FOLLOW_TOPIC, name, _encoder.encode(event))


def _url(stack: Stack, viewer_id: str) -> str:
    return f"{stack.endpoints.http}/v1/explore/{viewer_id}?fields=ids"


def chunks(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Some names after the other."""
    for first in range(0, len(names), size):
        yield names[first : first + size]
