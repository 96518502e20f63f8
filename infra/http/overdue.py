"""A limit for many waits that are all as long: one timer for all of them.

Setting and cancelling a timer of the event loop costs more than most of what a ready page costs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Wait:
    """Something that is waited for.

    Attributes:
        until_s: by the loop's clock.
        late: called where it is not over in time; None once it is over.
    """

    __slots__ = ("late", "until_s")

    def __init__(self, until_s: float, late: Callable[[], None]) -> None:
        self.until_s = until_s
        self.late: Callable[[], None] | None = late

    def over(self) -> None:
        """It came: nobody is called."""
        self.late = None


class Overdue:
    """Calls back whoever waits for longer than a limit.

    Args:
        limit_s: of every wait.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        #: In the order of their ends.
        self._waits: deque[Wait] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, late: Callable[[], None]) -> Wait:
        """Wait from now on; `late` is called after the limit unless it is over before."""
        waits, loop = self._waits, asyncio.get_running_loop()
        while waits and waits[0].late is None:
            waits.popleft()
        wait = Wait(loop.time() + self._limit_s, late)
        waits.append(wait)
        if self._timer is None:
            self._timer = loop.call_later(self._limit_s, self._look)
        return wait

    def _look(self) -> None:
        loop, waits = asyncio.get_running_loop(), self._waits
        self._timer = None
        now_s = loop.time()
        while waits and (waits[0].late is None or waits[0].until_s <= now_s):
            if (late := waits.popleft().late) is not None:
                late()
        # Whoever was called may have begun another wait, and set the timer.
        if waits and self._timer is None:
            self._timer = loop.call_at(waits[0].until_s, self._look)
