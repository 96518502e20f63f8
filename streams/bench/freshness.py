"""Like → changed grid readable in Redis."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from typing import Annotated, Any, Final, NamedTuple, Self

import msgspec
import numpy as np
from msgspec import Meta

from infra.config import Settings
from infra.errors import FreshgridError
from infra.kafka import committed_offsets, group_lag
from streams.bench.background import Sent
from streams.bench.population import TOPICS
from streams.local.bundled import Bundled
from streams.local.scenario import (
    GRID_TIMEOUT_S,
    LiveViewer,
    ScenarioError,
    get_json,
    live_viewer,
    replay_fixture,
    wait_trained,
)
from streams.local.stack import Stack, starting_stack
from streams.topology import WORKER_GROUP

LIKES: Final = 200
#: Grids nobody looks at are made in the background after a training; the stack is idle after it.
IDLE_TIMEOUT_S: Final = 600.0
POLL_S: Final = 0.5
#: So many likes without a grid say enough.
MAX_TIMED_OUT: Final = 5
#: Until the flow is steady, and queues that it overruns are as long as they are going to be.
WARM_UP_S: Final = 10.0
#: Likes come at random moments, so that they meet every phase of the waits on the way.
MEAN_PAUSE_S: Final = 0.15


class NotIdleError(FreshgridError):
    """The stack goes on working."""


def run(
    settings: Settings,
    *,
    likes: Annotated[int, Meta(ge=1, description="Likes to time.")] = LIKES,
    background: Annotated[int, Meta(ge=0, description="Other events per second meanwhile.")] = 0,
) -> dict[str, Any]:
    """Start a stack, replay the bundled events, train, and like.

    The events of the background come from a process of their own, and their viewers are somewhere
    else in the product: nobody asks for their grids, which are made anew all the same as far as
    there is time.
    """
    with starting_stack(settings, http_port=0) as stack:
        sent = replay_fixture(stack)
        stack.wait_ready()
        wait_trained(stack, sent)
        wait_idle(stack)
        if not background:
            return asyncio.run(measure(stack, likes))
        with Background(stack, background) as flow:
            figures = asyncio.run(measure(stack, likes))
            return figures | flow.figures()


class Background:
    """Events of other viewers while the context lasts, and what became of them.

    Attributes:
        rate: events per second to send.
    """

    def __init__(self, stack: Stack, rate: int) -> None:
        self._stack = stack
        self.rate = rate
        self._report = stack.run_dir / "background.json"
        self._places = [
            (topic, number) for topic in TOPICS for number in range(stack.settings.partitions)
        ]

    def __enter__(self) -> Self:
        module = "streams.bench.background"
        self._stack.start(
            "background", sys.executable, "-m", module, str(self.rate), str(self._report)
        )
        self._running = True
        self._stack.wait_ready("background")
        time.sleep(WARM_UP_S)
        self._before = self._look()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def figures(self) -> dict[str, Any]:
        """What was folded and ranked since the warm-up; ends the background.

        ``background_lag_events`` were sent but not committed by the worker at the end: up to a
        second's events wait for the next commit, more would mean that they pile up.
        """
        after = self._look()
        self._stop()
        sent = msgspec.json.decode(self._report.read_bytes(), type=Sent)
        ends = {(topic, partition): end for topic, partition, end in sent.ends}
        lag = asyncio.run(group_lag(self._stack.settings, WORKER_GROUP, ends))
        seconds = after.at - self._before.at
        return {
            "background_events_per_s": round((after.folded - self._before.folded) / seconds),
            "background_sent_per_s": round(sent.events / sent.seconds),
            "background_lag_events": lag,
            "grids_per_s": round((after.ranked - self._before.ranked) / seconds),
            "waiting_viewers": after.waiting,
            "seconds": round(seconds, 1),
        }

    def _stop(self) -> None:
        if self._running:
            self._running = False
            self._stack.stop_last()

    def _look(self) -> _Look:
        settings = self._stack.settings
        committed = asyncio.run(committed_offsets(settings, WORKER_GROUP, self._places))
        at = time.monotonic()
        status = get_json(f"{self._stack.endpoints.http}/v1/status")
        return _Look(
            at, sum(committed.values()), status["viewers_touched"], status["waiting_viewers"]
        )


class _Look(NamedTuple):
    at: float
    folded: int
    ranked: int
    waiting: int


async def measure(stack: Stack, likes: int) -> dict[str, Any]:
    """Milliseconds from producing a like to reading a grid that reflects it.

    Ends early when several likes were not reflected at all.
    """
    rng = random.Random(7)
    viewers = Bundled().who_like()
    waited_ms: list[float] = []
    changed = timed_out = 0
    async with live_viewer(stack.settings) as live:
        for number in range(likes):
            stack.check()
            viewer_id = viewers[number % len(viewers)]
            try:
                took_ms, different = await _one(stack, live, viewer_id, rng)
            except ScenarioError:
                # Counts as what it waited: leaving it out would flatter the figures.
                took_ms, different = GRID_TIMEOUT_S * 1000, False
                timed_out += 1
            waited_ms.append(took_ms)
            changed += different
            if timed_out == MAX_TIMED_OUT:
                break
            await asyncio.sleep(rng.expovariate(1 / MEAN_PAUSE_S))
    return {
        "p50_ms": round(float(np.percentile(waited_ms, 50)), 1),
        "p90_ms": round(float(np.percentile(waited_ms, 90)), 1),
        "p99_ms": round(float(np.percentile(waited_ms, 99)), 1),
        "max_ms": round(max(waited_ms), 1),
        "likes": len(waited_ms),
        "timed_out": timed_out,
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


def wait_idle(stack: Stack) -> None:
    """Wait until nobody waits for a grid.

    Raises:
        NotIdleError: somebody still does after `IDLE_TIMEOUT_S`.
    """
    deadline = time.monotonic() + IDLE_TIMEOUT_S
    while (waiting := get_json(f"{stack.endpoints.http}/v1/status")["waiting_viewers"]) > 0:
        stack.check()
        if time.monotonic() > deadline:
            raise NotIdleError(f"{waiting} viewers still wait for a grid; is the machine busy?")
        time.sleep(POLL_S)
