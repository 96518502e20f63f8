"""A sample of the grids made is ranked again without cuts, after the fact.

It tells what the earlier passes lose, and what they have to sort: the whole candidate set is
logged, and the learner distils them on it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from infra.metrics import CANDIDATE_SETS, FUNNEL_BEST, FUNNEL_LOST
from models.examples.candidate_log import logged_candidates
from models.explore.audit import Uncut, survival
from models.viewers.state import ViewerState

#: A larger record is not logged. Kafka takes 1 MiB with its frame, unless it is told otherwise.
MAX_BYTES: Final = 1_000_000

logger = logging.getLogger(__name__)


class SampledGrids:
    """Draws grids, so many a minute however many are made, and looks at them again.

    Args:
        per_minute: grids drawn at most: the first one made in each of as many parts of a minute.
        rank: ranks a viewer again, without cuts.
    """

    def __init__(self, per_minute: float, rank: Callable[[str, ViewerState], Uncut]) -> None:
        self._every_s = 60.0 / per_minute if per_minute else math.inf
        self._next_s = -math.inf if per_minute else math.inf
        self._rank = rank
        # One at a time: a ranking takes as long as a grid, and requests come in between.
        self._drawn: asyncio.Queue[tuple[str, ViewerState]] = asyncio.Queue(1)

    @property
    def waiting(self) -> int:
        """Grids drawn and not looked at yet."""
        return self._drawn.qsize()

    def sample(self, viewer_id: str, state: ViewerState) -> None:
        """A grid was made of this state: remember it if it is drawn."""
        now_s = time.monotonic()
        if now_s >= self._next_s and not self._drawn.full():
            self._next_s = now_s + self._every_s
            self._drawn.put_nowait((viewer_id, state))

    async def run(self, log: Callable[[str, bytes], Awaitable[None]]) -> None:
        """Look at what was drawn, until cancelled.

        Args:
            log: takes a viewer and her candidates, as ``explore.candidates`` carries them.
        """
        while True:
            viewer_id, state = await self._drawn.get()
            ranking = self._rank(viewer_id, state)
            lost = survival(ranking)
            FUNNEL_BEST.inc(lost.best)
            FUNNEL_LOST.labels("first").inc(lost.lost_first)
            FUNNEL_LOST.labels("second").inc(lost.lost_second)
            logger.info("funnel audit: %s", lost)
            count = len(ranking.trace.candidates)
            if not count:
                continue
            value = msgspec.json.encode(logged_candidates(ranking))
            if len(value) <= MAX_BYTES:
                await log(viewer_id, value)
            else:
                CANDIDATE_SETS.labels("oversize").inc()
                logger.warning(
                    "%d candidates of %s are not logged: %d bytes, and a record has at most %d; "
                    "let the query find fewer",
                    count, viewer_id, len(value), MAX_BYTES,
                )  # fmt: skip
