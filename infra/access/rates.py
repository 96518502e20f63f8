"""How often somebody may ask: a token bucket for each, of which one number is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

#: Who was silent may ask so many seconds' worth at once: a page with its files is one look.
BURST_S: Final = 4.0
_ROUNDING_S: Final = 1e-6
#: Whose rate is kept at most; beyond, those go who asked for nothing lately, then the oldest.
MOST_KEPT: Final = 10_000


class Rates:
    """Tells who asks too often.

    Of each the time is kept at which the bucket is full again (GCRA), so a request costs one look
    and one write into a dictionary.

    Args:
        clock: seconds, never backwards.
    """

    def __init__(self, most: int = MOST_KEPT, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._full_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_s)

    def wait_s(self, who: str, per_s: float, cost: float = 1.0) -> float:
        """Take one request, or say in how many seconds there is room for it.

        Args:
            per_s: requests per second in the long run.
            cost: of this one, in usual ones.

        Returns:
            0 where it was taken.
        """
        now = self._clock()
        full_s = max(self._full_s.get(who, now), now)
        takes_s = cost / per_s
        # One that costs more than a whole bucket is taken from a full one.
        wait = full_s - now + min(takes_s, BURST_S) - BURST_S
        if wait > _ROUNDING_S:
            return wait
        self._full_s[who] = full_s + takes_s
        if len(self._full_s) > self._most:
            self._drop(now)
        return 0.0

    def _drop(self, now: float) -> None:
        self._full_s = {who: full for who, full in self._full_s.items() if full > now}
        for who in list(self._full_s)[: max(len(self._full_s) - self._most, 0)]:
            del self._full_s[who]
