"""The funnel audit: a sample of the grids made is ranked again without cuts, after the fact."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from infra.metrics import FUNNEL_BEST, FUNNEL_LOST
from models.funnel_audit import Survival
from models.viewer_state import ViewerState

#: Grids that wait to be audited at most: while more are made, the sample is smaller.
MAX_WAITING: Final = 16
#: Rest between two audits, so that grids and requests come in between.
REST_S: Final = 0.05

logger = logging.getLogger(__name__)


class FunnelAudit:
    """Draws grids and counts what the earlier passes lost of them.

    Args:
        share: of the grids made.
        measure: ranks a viewer again and compares.
    """

    def __init__(self, share: float, measure: Callable[[str, ViewerState], Survival]) -> None:
        self._share = share
        self._measure = measure
        self._waiting: asyncio.Queue[tuple[str, ViewerState]] = asyncio.Queue(MAX_WAITING)
        self._random = random.Random()

    @property
    def waiting(self) -> int:
        """Grids drawn and not audited yet."""
        return self._waiting.qsize()

    def sample(self, viewer_id: str, state: ViewerState) -> None:
        """A grid was made of this state: remember it if it is drawn."""
        if self._random.random() < self._share and not self._waiting.full():
            self._waiting.put_nowait((viewer_id, state))

    async def run(self) -> None:
        """Audit what was drawn, until cancelled."""
        while True:
            found = self._measure(*await self._waiting.get())
            FUNNEL_BEST.inc(found.best)
            FUNNEL_LOST.labels("first").inc(found.lost_first)
            FUNNEL_LOST.labels("second").inc(found.lost_second)
            logger.info("funnel audit: %s", found)
            await asyncio.sleep(REST_S)
