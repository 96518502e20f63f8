"""Pages that were answered → ``explore.impressions``, behind the answers.

A page that is asked for again is the same impression, so it is logged once by each ranker: readers
of the topic know it by its name.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Final

from infra.metrics import IMPRESSIONS_DROPPED
from models.explore.impressions import impression_of
from models.explore.stamp import stamp_digits
from streams.clock import now_ms

#: Pages remembered as logged; beyond, one that is asked for again may be logged again.
MAX_REMEMBERED: Final = 50_000
#: Pages waiting to be logged at most, about 20 kB each; beyond, they are dropped.
MAX_WAITING: Final = 2_000

logger = logging.getLogger(__name__)


class ImpressionLog:
    """Logs answered pages, in order.

    Args:
        post: takes a viewer and the record; what it cannot send it drops.
    """

    def __init__(self, post: Callable[[str, bytes], Awaitable[None]]) -> None:
        self._post = post
        self._logged: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._waiting: deque[tuple[str, bytes, int]] = deque()
        self._wake = asyncio.Event()
        self._dropping = False

    def shown(self, viewer_id: str, stored: bytes) -> None:
        """A stored page (JSON) was answered."""
        name = viewer_id, stamp_digits(stored)
        if name in self._logged:
            return
        if len(self._waiting) >= MAX_WAITING:
            IMPRESSIONS_DROPPED.inc()
            if not self._dropping:
                logger.warning("pages are answered faster than they are logged; some are not")
            self._dropping = True
            return
        self._logged[name] = None
        if len(self._logged) > MAX_REMEMBERED:
            self._logged.popitem(last=False)
        self._waiting.append((viewer_id, stored, now_ms()))
        self._wake.set()

    async def run(self) -> None:
        """Log what waits, and then what comes, until cancelled."""
        while True:
            await self._wake.wait()
            while self._waiting:
                viewer_id, stored, served_ms = self._waiting.popleft()
                await self._post(viewer_id, impression_of(stored, served_ms))
            self._wake.clear()
            self._dropping = False
