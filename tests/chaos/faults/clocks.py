"""The clock of a role is an hour off."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Final

from tests.chaos.faults.fault import Fault, fault
from tests.chaos.faults.processes import API_AWAY
from tests.chaos.processes import Processes
from tests.chaos.scene import Scene

HOUR_S: Final = 3600.0


def _off(scene: Scene, processes: Processes, off_s: float) -> Iterator[None]:
    """Replaced by one with the wrong clock, and that by one with a right clock again."""
    right = processes.pick(scene.rng)
    # Of rankers both would want the port.
    if processes is scene.rankers:
        processes.end(right, signal.SIGTERM)
    wrong = processes.start(off_s)
    scene.wait_ready(processes)
    processes.end(right, signal.SIGTERM)
    scene.rest(1.0)
    yield
    processes.end(wrong, signal.SIGTERM)
    processes.start()


@fault("worker's clock an hour ahead", "clock", group="clock", lasts_s=(1.0, 3.0))
def worker_ahead(scene: Scene) -> Iterator[None]:
    """The worker is replaced by one whose clock is an hour ahead, and that by a right one."""
    yield from _off(scene, scene.workers, HOUR_S)


@fault("worker's clock an hour behind", "clock", group="clock", lasts_s=(1.0, 3.0))
def worker_behind(scene: Scene) -> Iterator[None]:
    """The worker is replaced by one whose clock is an hour behind, and that by a right one."""
    yield from _off(scene, scene.workers, -HOUR_S)


@fault("ranker's clock an hour off", "clock", group="clock", lasts_s=(1.0, 3.0), excuses=API_AWAY)
def ranker_off(scene: Scene) -> Iterator[None]:
    """The ranker is replaced by one whose clock is an hour ahead or behind, and back again."""
    yield from _off(scene, scene.rankers, scene.rng.choice([HOUR_S, -HOUR_S]))


FAULTS: Final[tuple[Fault, ...]] = (worker_ahead, worker_behind, ranker_off)
