"""What a fault is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from tests.chaos.scene import Scene


class Fault(NamedTuple):
    """Something that breaks.

    Attributes:
        name: what the table calls it.
        part: what it happens to; a short run has one fault of each `group` of a part.
        does: what it does and how it heals, in a sentence.
        broken: breaks it when entered and heals it when left.
        lasts_s: stays broken for a random time between these.
        excuses: why lookups of ready grids may fail meanwhile; empty where none may.
        durable: needs a broker that keeps its log when it ends.
        last: what it takes away, a fault that rebuilds from the log would miss: it comes after all
            of those.
    """

    name: str
    part: str
    group: str
    does: str
    broken: Callable[[Scene], AbstractContextManager[None]]
    lasts_s: tuple[float, float]
    excuses: str
    durable: bool
    last: bool


Break = Callable[[Scene], Iterator[None]]


def fault(
    name: str,
    part: str,
    *,
    group: str = "",
    lasts_s: tuple[float, float] = (0.0, 0.0),
    excuses: str = "",
    durable: bool = False,
    last: bool = False,
) -> Callable[[Break], Fault]:
    """Make a fault of a function that breaks, yields once, and heals."""

    def make(do: Break) -> Fault:
        does = " ".join((do.__doc__ or "").split())
        broken = contextmanager(do)
        return Fault(name, part, group or name, does, broken, lasts_s, excuses, durable, last)

    return make
