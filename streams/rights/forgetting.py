"""Forgetting viewers while a ranker serves: begun at once, seen through behind the answer."""

from __future__ import annotations

import asyncio
import logging

from infra.config import Settings
from infra.errors import FreshgridError
from infra.http.rights import ViewerForgotten
from infra.stores import Stores
from streams.rights.forget import Send, begin, finish

logger = logging.getLogger(__name__)


class Forgetting:
    """Forgets viewers that are asked for over HTTP."""

    def __init__(self, settings: Settings, stores: Stores, send: Send) -> None:
        self._settings, self._stores, self._send = settings, stores, send
        self._begun: asyncio.Queue[str] = asyncio.Queue()

    async def forget(self, viewer_id: str) -> ViewerForgotten:
        """Say it to everybody and delete what is stored; what comes meanwhile goes behind this."""
        report = await begin(self._settings, self._stores, self._send, viewer_id)
        self._begun.put_nowait(viewer_id)
        return report

    async def run(self) -> None:
        """See through what was begun, until cancelled."""
        while True:
            viewer_id = await self._begun.get()
            try:
                await finish(self._stores, viewer_id)
            except FreshgridError as error:
                logger.error("a viewer is not forgotten yet, ask for it again: %s", error)
