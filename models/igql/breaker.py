"""Sources that are slow or fail rest for a while, so that they cost their share and not the grid.

A kernel cannot be interrupted. But one that broke its budget or raised several times running is
left out for `rest_s`; then one execution tries it, and by how that goes it is back or rests again.
"""

from __future__ import annotations

from typing import Final

STRIKES: Final = 3
REST_S: Final = 5.0


class Breaker:
    """Counts of one source; times are of a monotonic clock, in seconds.

    Attributes:
        slow, failed, skipped: executions over budget, that raised, that left the source out.
    """

    def __init__(self, strikes: int = STRIKES, rest_s: float = REST_S) -> None:
        self.slow = 0
        self.failed = 0
        self.skipped = 0
        self._strikes = strikes
        self._rest_s = rest_s
        self._running = 0
        self._until_s: float | None = None

    def closed(self, now_s: float) -> bool:
        """Whether the source may run now; counts where it may not."""
        if self._until_s is not None and now_s < self._until_s:
            self.skipped += 1
            return False
        return True

    def went_well(self) -> None:
        """It gave rows within its budget."""
        self._running = 0
        self._until_s = None

    def was_slow(self, now_s: float) -> None:
        """It took more than its budget."""
        self.slow += 1
        self._strike(now_s)

    def raised(self, now_s: float) -> None:
        """It raised; several times running make it rest."""
        self.failed += 1
        self._strike(now_s)

    def _strike(self, now_s: float) -> None:
        self._running += 1
        if self._running >= self._strikes or self._until_s is not None:
            self._until_s = now_s + self._rest_s
