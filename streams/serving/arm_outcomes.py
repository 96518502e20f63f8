"""What came of the arms, worked out by a process of its own when somebody asks.

A week of the log takes seconds to minutes to read, and a processor: whoever serves has neither. So
nobody waits for it: what was found last is told at once, and found anew behind that.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from infra.apart import ApartError, said_apart
from infra.errors import FreshgridError
from streams.clock import now_ms

#: What was found holds so long; it changes by what a minute adds to a week.
FRESH_S: Final = 60.0
#: Reading that takes longer is given up.
LIMIT_S: Final = 900.0
_READING: Final = (sys.executable, "-m", "streams.recorded.experiment_report")

logger = logging.getLogger(__name__)


class OutcomesError(FreshgridError):
    """What came of the arms cannot be told."""


class ArmOutcomesDesk:
    """Tells what was found last, and finds it anew when that is old; one reading at a time.

    Args:
        read: finds it (:func:`streams.recorded.experiment_report.experiment_report`).
        clock: seconds that only grow.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[dict[str, Any]]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._clock = read or _read_apart, clock
        self._found: dict[str, Any] | None = None
        self._found_s = 0.0
        self._problem: str | None = None
        self._began_ms = 0
        self._reading: asyncio.Task[None] | None = None

    def told(self) -> dict[str, Any]:
        """What was found last, whether it is being read anew, and what the last reading failed of.

        `outcomes` is None before anything was found; `reading_since_ms` while nobody reads.
        """
        old = self._found is None or self._clock() - self._found_s >= FRESH_S
        if old and (self._reading is None or self._reading.done()):
            self._began_ms = now_ms()
            self._reading = asyncio.ensure_future(self._find())
        reads = self._reading is not None and not self._reading.done()
        return {
            "outcomes": self._found,
            "reading_since_ms": self._began_ms if reads else None,
            "problem": self._problem,
        }

    async def close(self) -> None:
        """End what is being read."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _find(self) -> None:
        try:
            self._found, self._problem = {**await self._read(), "at_ms": now_ms()}, None
            self._found_s = self._clock()
        except (FreshgridError, OSError, msgspec.DecodeError) as error:
            self._problem = str(error)
            logger.warning("what came of the arms cannot be told: %s", error)


async def _read_apart() -> dict[str, Any]:
    """Have it read in a process of its own, which has the settings from the same environment.

    Raises:
        OutcomesError: it fails, or takes longer than :data:`LIMIT_S`.
    """
    try:
        said = await said_apart(_READING, LIMIT_S)
    except ApartError as error:
        raise OutcomesError(str(error)) from error
    found: dict[str, Any] = msgspec.json.decode(said)
    return found
