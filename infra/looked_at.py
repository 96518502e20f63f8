"""A figure that somebody else has to be asked for, which takes time and costs them something."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from infra.errors import FreshgridError

#: What is not told by then is not waited for any longer. Less than a request may take.
LIMIT_S: Final = 3.0
#: What is older is not told as what is so now.
STALE_S: Final = 30.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


class LookedAt(Generic[T]):
    """Looks anew when the last look is older than some time; one look at a time.

    Args:
        fresh_s: how long a look holds.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[T]],
        fresh_s: float,
        limit_s: float = LIMIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look, self._fresh_s, self._limit_s = look, fresh_s, limit_s
        self._clock = clock
        self._looking: asyncio.Task[None] | None = None
        self._seen: tuple[float, T] | None = None

    async def value(self) -> T | None:
        """What it is, None where it cannot be known now."""
        if self._seen is None or self._clock() - self._seen[0] >= self._fresh_s:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.ensure_future(self._look_anew())
            # Not cancelled when the time is over: whoever asks next gets what it finds.
            await asyncio.wait((self._looking,), timeout=self._limit_s)
        if self._seen is None or self._clock() - self._seen[0] >= STALE_S:
            return None
        return self._seen[1]

    def forget(self) -> None:
        """Look anew when asked next."""
        self._seen = None

    async def _look_anew(self) -> None:
        try:
            self._seen = (self._clock(), await self._look())
        except FreshgridError as error:
            self._seen = None
            logger.info("cannot be known now: %s", error)
