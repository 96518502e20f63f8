"""Changed vectors → delta → rebuilt index → atomic swap, while lookups go on."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from infra.index_files import IndexFileError, IndexFolder
from models.account_index.ann_main import AnnMain
from models.account_index.index import AccountIndex
from models.account_index.space import AccountSpace
from models.account_index.view import Main
from models.world import World

#: How often the size of the delta is looked at.
LOOK_INTERVAL_S: Final = 1.0
#: The delta is searched exactly, so it may grow to a share of the main before a rebuild pays: at a
#: million accounts its scan then takes about as long as the search of the main.
REBUILD_SHARE: Final = 0.05
REBUILD_AT_LEAST: Final = 2000

logger = logging.getLogger(__name__)


async def refresh_index(world: World, folder: IndexFolder | None = None) -> None:
    """Rebuild the account index in the background whenever its delta has grown; never ends.

    Args:
        folder: where the processes of this machine share what one of them built; None to build
            one's own.
    """
    while True:
        await asyncio.sleep(LOOK_INTERVAL_S)
        space = world.space
        if space is None or not is_due(space.index, space.index.delta_size):
            continue
        if folder is None:
            main: Main | None = await asyncio.to_thread(space.index.build_main)
        else:
            main = await asyncio.to_thread(shared_main, space, folder)
        if main is not None:
            await asyncio.to_thread(space.index.swap, main)


def is_due(index: AccountIndex, delta_size: int) -> bool:
    """Whether a delta of this size is worth a rebuild."""
    return delta_size >= max(REBUILD_AT_LEAST, REBUILD_SHARE * len(index))


def shared_main(space: AccountSpace, folder: IndexFolder) -> Main | None:
    """The newest main in the folder if it makes a rebuild needless, or else one built into it.

    None while another process builds: its main is the next to look at.
    """
    index = space.index
    newest = folder.newest(space.name)
    if newest is not None:
        try:
            main = index.bind_main(*folder.get(newest))
            if not is_due(index, len(index) - int(main.valid_m.sum())):
                return main
        except IndexFileError as error:
            logger.warning("a shared index is not used: %s", error)
    with folder.building() as ours:
        if not ours:
            return None
        rows_m, vectors_md, _ = index.snapshot()
        ann = AnnMain.build(vectors_md, index.config)
        version = folder.put(space.name, ann, index.ids_of(rows_m))
    # Read again, so that this process shares it too.
    return index.bind_main(*folder.get(version))
