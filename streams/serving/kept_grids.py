"""Ready grids that this process answered lately, for as long as the store answers no reads.

A store that is away for some seconds would take every page with it. What was read from it, or made
for it, a moment before is better than an error, if it says how old it is. The newest are kept, as
many as fit into a number of bytes.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple


class KeptGrid(NamedTuple):
    """A stored grid as it was.

    Attributes:
        json: as it is stored.
        age_s: seconds since it was the viewer's ready grid, of her state as it was then.
    """

    json: bytes
    age_s: float


class KeptGrids:
    """Stored grids by viewer, those longest unused dropped first.

    Args:
        most_bytes: of all grids, with what it takes to find them; 0 keeps none.
        within_s: nothing older is given.
        clock: seconds that only grow.
    """

    def __init__(
        self, most_bytes: int, within_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most_bytes, self._within_s, self._clock = most_bytes, within_s, clock
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def usable(self) -> bool:
        """Whether anybody's grid is kept that is not too old."""
        return any(self.of(viewer_id) is not None for viewer_id in reversed([*self._kept]))

    def keep(self, viewer_id: str, json: bytes) -> None:
        """This is the ready grid of a viewer now."""
        before = self._kept.pop(viewer_id, None)
        self._kept[viewer_id] = json, self._clock()
        self.bytes += _size(viewer_id, json) if before is None else len(json) - len(before[0])
        while self.bytes > self._most_bytes:
            self.drop(next(iter(self._kept)))

    def replace(self, viewer_id: str, json: bytes) -> None:
        """Keep the new grid of a viewer of whom one is kept, and of nobody else."""
        if viewer_id in self._kept:
            self.keep(viewer_id, json)

    def fill(self, viewer_id: str, json: bytes) -> None:
        """Keep a ready grid that nobody asked for here, where there is room, as the first to go."""
        if viewer_id not in self._kept and self.bytes + _size(viewer_id, json) <= self._most_bytes:
            self.keep(viewer_id, json)
            self._kept.move_to_end(viewer_id, last=False)

    def drop(self, viewer_id: str) -> None:
        """Forget what is kept of a viewer, if anything is."""
        if (kept := self._kept.pop(viewer_id, None)) is not None:
            self.bytes -= _size(viewer_id, kept[0])

    def forget(self, is_forgotten: Callable[[str], bool]) -> None:
        """Drop what is kept of viewers who are to be forgotten."""
        for viewer_id in list(filter(is_forgotten, self._kept)):
            self.drop(viewer_id)

    def of(self, viewer_id: str) -> KeptGrid | None:
        """What is kept of a viewer, None where that is nothing, or too old."""
        if (kept := self._kept.get(viewer_id)) is None:
            return None
        json, since_s = kept
        age_s = self._clock() - since_s
        if age_s > self._within_s:
            self.drop(viewer_id)
            return None
        return KeptGrid(json, age_s)


#: Places in the table, a tuple and a float.
_OTHER = 250


def _size(viewer_id: str, json: bytes) -> int:
    return sys.getsizeof(viewer_id) + len(json) + _OTHER
