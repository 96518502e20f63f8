"""Which account rows changed since a version of an index, for the recent past."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Rows

#: Changes that can be told; who is further behind looks at everything.
KEPT: Final = 4096


class ChangeLog:
    """The last :data:`KEPT` changes at least, in the order of their versions."""

    def __init__(self) -> None:
        self._rows = np.empty(2 * KEPT, np.int32)
        self._versions = np.empty(2 * KEPT, np.int64)
        self._used = 0
        # Changes up to this version have been forgotten.
        self._forgotten = 0

    def add(self, version: int, rows_c: NDArray[np.int64]) -> None:
        """Rows that changed with a version later than all before."""
        if len(rows_c) > KEPT:
            self._used, self._forgotten = 0, version
            return
        if self._used + len(rows_c) > len(self._rows):
            kept = slice(self._used - KEPT, self._used)
            self._forgotten = int(self._versions[self._used - KEPT - 1])
            self._rows[:KEPT], self._versions[:KEPT] = self._rows[kept], self._versions[kept]
            self._used = KEPT
        at = slice(self._used, self._used + len(rows_c))
        self._rows[at], self._versions[at] = rows_c, version
        self._used = at.stop

    def since(self, version: int) -> Rows | None:
        """Distinct rows that changed after `version`; None where that has been forgotten."""
        if version < self._forgotten:
            return None
        first = int(np.searchsorted(self._versions[: self._used], version, side="right"))
        rows: Rows = np.unique(self._rows[first : self._used])
        return rows
