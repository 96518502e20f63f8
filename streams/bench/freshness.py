"""Like → changed grid readable in Redis."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, Final

import numpy as np

from infra.config import Settings
from infra.errors import FreshgridError
from streams.scenario import (
    LiveViewer,
    get_json,
    live_viewer,
    pick_viewers,
    replay_fixture,
    wait_trained,
)
from streams.stack import Stack, starting_stack

LIKES: Final = 200
#: Grids nobody looks at are made in the background after a training; the stack is idle after it.
IDLE_TIMEOUT_S: Final = 600.0
POLL_S: Final = 0.5
#: Likes come at random moments, so that they meet every phase of the waits on the way.
MEAN_PAUSE_S: Final = 0.15


class NotIdleError(FreshgridError):
    """The stack goes on working."""


def run(settings: Settings) -> dict[str, Any]:
    """Start a stack, replay the bundled events, train, and like."""
    with starting_stack(settings, http_port=0) as stack:
        sent = replay_fixture(stack)
        stack.wait_ready()
        wait_trained(stack, sent)
        _wait_idle(stack)
        return asyncio.run(measure(stack, LIKES))


async def measure(stack: Stack, likes: int) -> dict[str, Any]:
    """Milliseconds from producing a like to reading a grid that reflects it."""
    rng = random.Random(7)
    viewers = [viewer_id for viewer_id, _ in pick_viewers()]
    waited_ms: list[float] = []
    changed = 0
    async with live_viewer(stack.endpoints) as live:
        for number in range(likes):
            stack.check()
            viewer_id = viewers[number % len(viewers)]
            took_ms, different = await _one(stack, live, viewer_id, rng)
            waited_ms.append(took_ms)
            changed += different
            await asyncio.sleep(rng.expovariate(1 / MEAN_PAUSE_S))
    return {
        "p50_ms": round(float(np.percentile(waited_ms, 50)), 1),
        "p90_ms": round(float(np.percentile(waited_ms, 90)), 1),
        "p99_ms": round(float(np.percentile(waited_ms, 99)), 1),
        "max_ms": round(max(waited_ms), 1),
        "likes": likes,
        "changed_grids": changed,
    }


async def _one(
    stack: Stack, live: LiveViewer, viewer_id: str, rng: random.Random
) -> tuple[float, bool]:
    url = f"{stack.endpoints.http}/v1/explore/{viewer_id}"
    await asyncio.to_thread(get_json, url)
    before = await live.grid_reflecting(viewer_id, 0)
    liked = rng.choice(before.items)
    after, took_ms = await live.like(viewer_id, liked.media_id, liked.author_id)
    different = [i.media_id for i in after.items] != [i.media_id for i in before.items]
    return took_ms, different


def _wait_idle(stack: Stack) -> None:
    deadline = time.monotonic() + IDLE_TIMEOUT_S
    while (waiting := get_json(f"{stack.endpoints.http}/v1/status")["waiting_viewers"]) > 0:
        stack.check()
        if time.monotonic() > deadline:
            raise NotIdleError(f"{waiting} viewers still wait for a grid; is the machine busy?")
        time.sleep(POLL_S)
