"""Keeps a map of the accounts drawn of what is live, one drawing after the other."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Final

import msgspec

from infra.apart import ApartError, said_apart
from infra.artifacts import ArtifactError, ArtifactStore
from infra.errors import FreshgridError
from infra.metrics import ACCOUNT_MAPS
from streams.account_maps import map_of
from streams.versions import Version

#: The library that a drawing needs, and where it comes from.
LIBRARY: Final = "openTSNE"
_EXTRA: Final = "pip install 'freshgrid[map]'"
_DRAWING: Final = (sys.executable, "-m", "streams.learning.map_drawing")
#: How often it is looked whether a map is due.
LOOK_S: Final = 5.0
#: A drawing that takes longer is given up.
LIMIT_S: Final = 3600.0
#: After one that failed.
AGAIN_S: Final = 600.0

logger = logging.getLogger(__name__)


class MapDrawingError(FreshgridError):
    """A map that could not be drawn; the one before stays."""


class Order(msgspec.Struct, frozen=True):
    """What to draw: a version of ig2vec, and where the artifacts are."""

    artifacts_url: str
    ig2vec: str


class AccountMaps:
    """Has maps drawn of what is live: of each new space, and of one that learns on every so often.

    Args:
        live: tells the live version of ig2vec; without a space while its vectors are not sent.
        every_s: seconds from one map of a space to the next; 0 draws none.
        draw: draws one.
    """

    def __init__(
        self,
        artifacts: ArtifactStore,
        live: Callable[[], Version | None],
        every_s: float,
        draw: Callable[[Order], Awaitable[str]] | None = None,
    ) -> None:
        self._artifacts, self._live, self._every_s = artifacts, live, every_s
        self._draw = draw or _drawn_apart
        self._space: str | None = None
        self._due_s = -math.inf

    async def run(self) -> None:
        """Look for a map that is due again and again; never ends."""
        if self._every_s and find_spec(LIBRARY) is None:
            logger.warning("no map of the accounts is drawn: %s is missing; %s", LIBRARY, _EXTRA)
            self._every_s = 0
        while True:
            await asyncio.sleep(LOOK_S)
            if self._every_s:
                await self.look()

    async def look(self) -> None:
        """Draw a map if one is due; whatever goes wrong, it is tried again later."""
        live = self._live()
        if live is None or not live.space:
            return
        if live.space == self._space and time.monotonic() < self._due_s:
            return
        self._space, self._due_s = live.space, time.monotonic() + self._every_s
        if await asyncio.to_thread(map_of, self._artifacts, live.version) is not None:
            return
        try:
            name = await self._draw(Order(self._artifacts.url, live.version))
        except (ArtifactError, MapDrawingError, OSError) as error:
            ACCOUNT_MAPS.labels("failed").inc()
            self._due_s = time.monotonic() + AGAIN_S
            logger.error("no map of ig2vec %s, the last one stays: %s", live.version, error)
        else:
            ACCOUNT_MAPS.labels("drawn").inc()
            logger.info("drew map %s of ig2vec %s", name, live.version)


async def _drawn_apart(order: Order) -> str:
    """Have a map drawn in a process of its own.

    Raises:
        MapDrawingError: it fails, or takes longer than :data:`LIMIT_S`.
    """
    try:
        said = await said_apart(_DRAWING, LIMIT_S, msgspec.json.encode(order))
    except ApartError as error:
        raise MapDrawingError(str(error)) from error
    return said.decode().strip()
