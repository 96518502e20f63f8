"""Whether a worker gets slower when Redis holds more viewers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.memory_store import MemoryStore
from infra.open_stores import open_stores
from models.viewers.state import ViewerState
from streams.bench.population import FIRST_NUMBER, Population
from streams.bench.progress import say
from streams.bench.servers import BenchServers, bench_servers, redis_version
from streams.bench.states import fixture_states, move_to_log, write_states
from streams.bench.verification import fold_offline, verify
from streams.bench.worker_run import WorkerRun, run_worker

#: Enough that the wait for the last commit, a second at most, weighs little.
EVENTS: Final = 1_000_000
FEW: Final = 10_000
MANY: Final = 1_000_000


class Run(msgspec.Struct):
    """One measured run.

    Attributes:
        viewers: in Redis before the first event.
        active: how many of them the events are of.
    """

    viewers: int
    active: int
    worker: WorkerRun


def run(
    settings: Settings,
    *,
    events: Annotated[int, Meta(ge=1, description="Events to fold.")] = EVENTS,
    viewers: Annotated[int, Meta(ge=1, description="Viewers of the runs with many.")] = MANY,
) -> dict[str, Any]:
    """The same traffic with few and with many viewers stored, and then with all of the many active.

    Events of more viewers are fewer of each, so a batch holds more slices, which costs more
    whatever is stored. The first two runs leave that out, the third is all of it.

    A broker may get slower with every run, since its log grows: the few are measured before and
    after, and each run is compared with what they would have reached in its place.
    """
    population = Population()
    states = asyncio.run(fixture_states(settings, population.fixture_viewers))
    with bench_servers(settings) as servers:
        move_to_log(states, servers.cluster.log_id)
        bench = _Growth(servers, population, states, events)
        bench.store(FEW)
        few = bench.measure(FEW)
        servers.empty_redis()
        bench.store(viewers)
        many = bench.measure(FEW)
        all_active = bench.measure(viewers)
        servers.empty_redis()
        bench.store(FEW)
        runs = [few, many, all_active, bench.measure(FEW)]
        redis = redis_version(servers.redis)
    relative = _relative([run.worker.events_per_s for run in runs])
    return {
        "growth_viewers": round(relative[1], 3),
        "growth_viewers_all_active": round(relative[2], 3),
        "events_per_s": many.worker.events_per_s,
        "verified": True,
        "runs": [msgspec.to_builtins(each) for each in runs],
        "redis": redis,
    }


def _relative(per_s: list[float]) -> list[float]:
    """Each figure over the straight line between the first and the last."""
    steps = len(per_s) - 1
    first, last = per_s[0], per_s[-1]
    return [figure / (first + (last - first) * n / steps) for n, figure in enumerate(per_s)]


class _Growth:
    def __init__(
        self,
        servers: BenchServers,
        population: Population,
        states: list[ViewerState],
        events: int,
    ) -> None:
        self._servers = servers
        self._population = population
        self._states = states
        self._events = events
        self._sent = 0
        self._laps = 1
        self._stored = 0
        self._expected = MemoryStore(servers.settings)
        self._expects: set[str] = set()

    def store(self, viewers: int) -> None:
        """Write that many viewers into an empty Redis."""
        say(f"writing {viewers} viewers into Redis …")
        asyncio.run(self._write(viewers))
        self._stored = viewers
        self._expected = MemoryStore(self._servers.settings)
        self._expects = set()

    def measure(self, active: int) -> Run:
        """Send new events of `active` of the stored viewers, and time a worker over them."""
        population = self._population
        active = min(active, self._stored)
        messages = list(
            population.stream(
                active,
                self._events,
                # After everything that the viewers have done so far.
                start_ts=population.first_ts + self._laps * population.span_ms,
                first_event=self._sent,
                every=self._stored // active,
            )
        )
        lasted_ms = population.lasts(active, self._events)
        self._laps += 1 + int(lasted_ms // population.span_ms)
        names = {message.key for message in messages}
        say(f"{self._events} events of {len(names)} viewers, {self._stored} viewers in Redis …")
        servers = self._servers
        asyncio.run(self._expect(names))
        asyncio.run(fold_offline(self._expected, messages, servers.settings, self._sent))
        self._sent += self._events
        ends = asyncio.run(send_in_batches(servers.settings, messages))
        del messages
        worker = run_worker(servers, self._events, ends, drain=True)
        asyncio.run(verify(servers.settings, self._expected, names))
        say(f"{worker.events_per_s} events/s")
        return Run(self._stored, len(names), worker)

    async def _write(self, viewers: int) -> None:
        async with open_stores(self._servers.settings) as stores:
            await write_states(stores.viewers, self._states, range(viewers))

    async def _expect(self, names: Iterable[str]) -> None:
        """Put the viewers who act into memory, too."""
        new = sorted(set(names) - self._expects)
        self._expects.update(new)
        numbers = (int(name[1:]) - FIRST_NUMBER for name in new)
        await write_states(self._expected, self._states, numbers)
