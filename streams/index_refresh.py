"""Changed vectors → delta → rebuilt index → atomic swap, while lookups go on."""

from __future__ import annotations

import asyncio
from typing import Final

from models.world import World

#: How often the size of the delta is looked at.
LOOK_INTERVAL_S: Final = 1.0
#: The delta is searched exactly, so it may grow to a share of the main before a rebuild pays.
REBUILD_SHARE: Final = 0.2
REBUILD_AT_LEAST: Final = 2000


async def refresh_index(world: World) -> None:
    """Rebuild the account index in the background whenever its delta has grown; never ends."""
    while True:
        await asyncio.sleep(LOOK_INTERVAL_S)
        space = world.space
        if space is None:
            continue
        index = space.index
        if index.delta_size >= max(REBUILD_AT_LEAST, REBUILD_SHARE * index.main_size):
            main = await asyncio.to_thread(index.build_main)
            index.swap(main)
