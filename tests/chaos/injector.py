"""Which faults, in which order, and what was seen of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from random import Random
from typing import Any, Final, NamedTuple

import msgspec
import redis

from infra.redis_store import grid_key
from tests.chaos.faults import ALL, Fault
from tests.chaos.reader import Reader
from tests.chaos.scene import Scene

#: A like that is in no grid after this will not come into one.
RECOVERY_TIMEOUT_S: Final = 90.0
LOOK_S: Final = 0.02
KILL: Final = "worker killed"


class Injected(NamedTuple):
    """A fault that was injected.

    Attributes:
        broken_s: how long something was broken.
        recovery_s: from healing until a like that was sent then is in a grid.
        crashed: processes that ended by themselves meanwhile.
    """

    name: str
    broken_s: float
    recovery_s: float
    crashed: int


def possible(durable: bool) -> list[Fault]:
    """The faults that can happen on a broker that keeps its log, or on one that does not."""
    return [fault for fault in ALL if durable or not fault.durable]


def each_once(rng: Random, faults: Sequence[Fault]) -> list[Fault]:
    """All faults, in random order."""
    return _ordered(rng.sample(faults, len(faults)))


def one_of_each_group(rng: Random, faults: Sequence[Fault]) -> list[Fault]:
    """One fault of each group, in random order."""
    by_group = groupby(sorted(faults, key=_group), _group)
    chosen = [rng.choice(list(of_group)) for _, of_group in by_group]
    return _ordered(rng.sample(chosen, len(chosen)))


def with_kills(rng: Random, faults: Sequence[Fault], kills: int) -> list[Fault]:
    """The same with as many more kills of workers in between."""
    [kill] = [fault for fault in ALL if fault.name == KILL]
    planned = list(faults)
    for _ in range(kills):
        planned.insert(rng.randint(0, len(planned)), kill)
    return _ordered(planned)


def _group(fault: Fault) -> tuple[str, str]:
    return fault.part, fault.group


def _ordered(faults: list[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: fault.last)


class Injector:
    """Does faults and sees how what runs takes them.

    Attributes:
        injected: what was done, in order.
    """

    def __init__(self, scene: Scene, reader: Reader, tell: Callable[[str], None]) -> None:
        self._scene = scene
        self._reader = reader
        self._tell = tell
        self.injected: list[Injected] = []

    def inject(self, fault: Fault) -> None:
        """Break, heal, and wait until a like is in its viewer's grid again.

        Raises:
            StuckError: it is not in time.
        """
        scene = self._scene
        crashed = self._exits()
        self._reader.during = fault.name
        began = time.monotonic()
        with fault.broken(scene):
            scene.rest_between(*fault.lasts_s)
        healed = time.monotonic()
        recovery_s = self._recovery_s()
        self._reader.during = ""
        done = Injected(fault.name, healed - began, recovery_s, self._exits() - crashed)
        self.injected.append(done)
        crashes = f", {done.crashed} processes ended by themselves" if done.crashed else ""
        self._tell(f"  broken for {done.broken_s:.1f} s, recovered in {recovery_s:.2f} s{crashes}")

    def _recovery_s(self) -> float:
        """Seconds until a like that is sent now is in its viewer's grid."""
        scene = self._scene
        viewer = f"probe-{scene.number()}"
        began = time.monotonic()
        ts = scene.like(viewer)
        scene.wait(
            lambda: reflects_ms(scene, viewer) >= ts,
            f"the like of {viewer} in her grid",
            RECOVERY_TIMEOUT_S,
        )
        return time.monotonic() - began

    def _exits(self) -> int:
        return sum(of.exits.total() for of in self._scene.processes)


def reflects_ms(scene: Scene, viewer: str) -> int:
    """Event time that a viewer's ready grid reflects; 0 where Redis shows none."""
    with suppress(redis.RedisError), scene.redis.client() as client:
        value: Any = client.get(grid_key(viewer))
        if value is not None:
            return int(msgspec.json.decode(value)["reflects_ts"])
    return 0
