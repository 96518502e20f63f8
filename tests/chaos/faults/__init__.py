"""Everything that is broken on purpose, a room for each part that it happens to.

A fault is a function that breaks something, yields while it is broken, and heals it; its
docstring says what it does. :data:`ALL` has every one. It knows nothing of when it is done, nor of
what is looked at meanwhile.
"""

from __future__ import annotations

from typing import Final

from tests.chaos.faults import artifacts, clocks, inputs, kafka, processes, redis
from tests.chaos.faults.fault import Fault

ALL: Final[tuple[Fault, ...]] = (
    *processes.FAULTS,
    *redis.FAULTS,
    *kafka.FAULTS,
    *artifacts.FAULTS,
    *clocks.FAULTS,
    *inputs.FAULTS,
)

__all__ = ["ALL", "Fault"]
