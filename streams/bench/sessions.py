"""How many viewers one worker looks at per second for sessions that have closed.

The viewers are those of the bundled events, repeated under ids of a population, with states as
large as those; Redis is a server beside it. All are due. They are looked at by the worker's own
sweep, once while their last session is still open, which is what most looks find, and once after
it has closed: then the session is sent, to nowhere, and the state is written.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from msgspec import Meta

from infra.config import Settings
from infra.metrics import SESSIONS_LOOKED_AT
from infra.open_stores import open_stores
from models.viewers.state import sessions
from streams.bench.population import Population, viewer_name
from streams.bench.progress import say
from streams.bench.servers import bench_servers
from streams.bench.states import BATCH, fixture_states, write_states
from streams.clock import now_ms
from streams.log.replay import Loopback
from streams.records import Touched
from streams.sessions import SETTLE_MS, Sessions


def run(
    settings: Settings,
    *,
    viewers: Annotated[int, Meta(ge=1, description="Viewers that are due.")] = 100_000,
) -> dict[str, Any]:
    """Look at as many viewers as there are, twice."""
    with bench_servers(settings) as servers:
        return asyncio.run(_run(servers.settings, viewers))


async def _run(settings: Settings, viewers: int) -> dict[str, Any]:
    async with open_stores(settings) as stores:
        await stores.viewers.start()
        say(f"states of {viewers} viewers are written …")
        states = await fixture_states(settings, Population().fixture_viewers)
        for state in states:
            # Every session but the last was sent when it closed.
            cut = sessions(state, settings.session_gap_ms)
            state.sessions_sent = cut[-2][-1].ts if len(cut) > 1 else 0
        await write_states(stores.viewers, states, range(viewers))
        looking = Sessions(stores.viewers, stores.sessions, Loopback(), settings.session_gap_ms)
        figures: dict[str, Any] = {}
        # By the stream's own time, which stands before all of them or after.
        for name, stream_ts in (("viewers_per_s", 1), ("closing_viewers_per_s", now_ms())):
            now = now_ms()
            for first in range(0, viewers, BATCH):
                batch = range(first, min(first + BATCH, viewers))
                await looking.touched([Touched(viewer_name(n), stream_ts) for n in batch], now)
            say(f"{viewers} viewers are looked at …")
            before_count, started = _looked_at(), time.perf_counter()
            closed = 0
            while _looked_at() - before_count < viewers:
                closed += await looking.sweep(now + SETTLE_MS)
            figures[name] = round(viewers / (time.perf_counter() - started))
        actions = [len(state.strong) + len(state.views) for state in states]
        return figures | {
            "viewers": viewers,
            "sessions_closed": closed,
            "actions_per_viewer": round(sum(actions) / len(actions), 1),
        }


def _looked_at() -> float:
    found: float = SESSIONS_LOOKED_AT._value.get()
    return found
