"""What goes wrong while events flow: which faults, in which order, and how each is done."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from infra.child import Child
from tests.chaos.servers import Server
from tests.chaos.workers import StuckError, Workers

KILL: Final = "kill -9 worker"
REBALANCE: Final = "rebalance 1 → 3 → 1"
PAUSE_WORKER: Final = "pause worker"
HOW: Final = {"SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
#: Longer than anything here takes on a loaded machine.
READY_TIMEOUT_S: Final = 180.0
POLL_S: Final = 0.02


def plan(rng: Random, kills: int, rounds: int, servers: Mapping[str, Server]) -> list[str]:
    """Faults in the order in which they happen.

    Args:
        kills: of workers, beside those of the rebalances.
        rounds: how often everything else happens; in one round alone a server is ended either
            way, chosen at random.
        servers: those that can be restarted and paused, by name.
    """
    faults = [KILL] * kills + [REBALANCE, PAUSE_WORKER] * rounds
    for name in servers:
        faults += [f"pause {name}"] * rounds
        ways = list(HOW)
        rng.shuffle(ways)
        faults += [f"restart {name} ({ways[i % len(ways)]})" for i in range(rounds)]
    rng.shuffle(faults)
    return faults


class Injector:
    """Does faults.

    Attributes:
        done: how often each happened; a rebalance also ends workers in both ways.
    """

    def __init__(
        self,
        rng: Random,
        workers: Workers,
        servers: Mapping[str, Server],
        pause_s: float,
        longest_away_s: float,
    ) -> None:
        self._rng = rng
        self._workers = workers
        self._servers = servers
        self._pause_s = pause_s
        self._longest_away_s = longest_away_s
        self.done: Counter[str] = Counter()

    def inject(self, fault: str) -> None:
        """Do one fault, as :func:`plan` names it."""
        what, _, rest = fault.partition(" ")
        if fault == KILL:
            self._kill()
        elif fault == REBALANCE:
            self._rebalance()
        elif fault == PAUSE_WORKER:
            self._pause_worker()
        elif what == "pause":
            self._pause(self._servers[rest])
        else:
            name, _, how = rest.partition(" ")
            self._restart(self._servers[name], HOW[how.strip("()")])
        if fault != KILL:
            self.done[fault] += 1

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float) -> None:
        """Wait for a condition; meanwhile workers that ended are started again.

        Raises:
            StuckError: it did not come about in time.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            self._workers.ready()
            if time.monotonic() > deadline:
                raise StuckError(f"after {timeout_s:g} s still not: {what}")
            time.sleep(POLL_S)

    def wait_ready(self) -> None:
        """Wait until every worker does its work."""
        self.wait(self._workers.ready, "all workers ready", READY_TIMEOUT_S)

    def _kill(self) -> None:
        # Mostly in the middle of its work, sometimes while it starts or joins.
        if self._rng.random() < 0.75:
            self.wait_ready()
        self._rest(self._rng.uniform(0, 1.5))
        self._end(self._workers.pick(self._rng), signal.SIGKILL)
        self._workers.start()

    def _rebalance(self) -> None:
        self._workers.start()
        self._rest(self._rng.uniform(0, 1))
        self._workers.start()
        self.wait_ready()
        self._rest(self._rng.uniform(0, 1))
        ways = list(HOW.values())
        self._rng.shuffle(ways)
        for how in ways:
            self._end(self._workers.pick(self._rng), how)
            self._rest(self._rng.uniform(0, 2))

    def _pause_worker(self) -> None:
        """Another one takes over; the paused one wakes up and believes it still has its part."""
        self.wait_ready()
        paused = self._workers.pick(self._rng)
        self._workers.start()
        self._rest(self._rng.uniform(0, 1))
        paused.signal_group(signal.SIGSTOP)
        self._rest(self._pause_s)
        paused.signal_group(signal.SIGCONT)
        self._rest(self._rng.uniform(0, 2))
        self.wait_ready()
        self._end(self._workers.pick(self._rng), signal.SIGTERM)

    def _pause(self, server: Server) -> None:
        server.pause()
        self._rest(self._pause_s)
        server.resume()

    def _restart(self, server: Server, how: signal.Signals) -> None:
        server.end(how)
        self._rest(self._rng.uniform(0, self._longest_away_s))
        server.start()

    def _end(self, child: Child, how: signal.Signals) -> None:
        self._workers.end(child, how)
        self.done[KILL if how is signal.SIGKILL else "SIGTERM worker"] += 1

    def _rest(self, seconds: float) -> None:
        """Let events flow for a while."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= until, "the end of a pause", seconds + 60)
