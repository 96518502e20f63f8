"""Figures of the last minute, for whoever looks at a process without a Prometheus beside it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

#: What is older says little of now.
WITHIN_S: Final = 60.0
#: Figures kept at most; beyond, the oldest go. Enough for a p99.
MOST: Final = 4096


class Spread(msgspec.Struct, frozen=True):
    """Durations of the last minute.

    Attributes:
        count: how many there were, of those that are kept.
        p50_ms, p99_ms: in milliseconds.
    """

    count: int
    p50_ms: float
    p99_ms: float


class RecentSeconds:
    """The newest durations of one kind, in seconds.

    Args:
        clock: seconds that only grow.
    """

    def __init__(
        self,
        within_s: float = WITHIN_S,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._within_s, self._clock = within_s, clock
        self._kept: deque[tuple[float, float]] = deque(maxlen=most)

    def add(self, seconds: float) -> None:
        """Keep one more, as of now."""
        self._kept.append((self._clock(), seconds))

    def spread(self) -> Spread | None:
        """What the last minute was like, None where nothing happened in it."""
        since_s = self._clock() - self._within_s
        while self._kept and self._kept[0][0] < since_s:
            self._kept.popleft()
        if not self._kept:
            return None
        ordered = sorted(seconds * 1000 for _, seconds in self._kept)
        # Nearest rank: a figure that was there.
        p50, p99 = (ordered[-(-len(ordered) * per // 100) - 1] for per in (50, 99))
        return Spread(len(ordered), p50, p99)
