"""What every viewer liked, as far back as memory allows: what item weights are fitted on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays.growing import GrowingColumns
from models.arrays.stored import Arrays
from models.arrays.types import Rows


class PositivePairs(NamedTuple):
    """Who liked what, each once.

    Attributes:
        viewer_n: viewers as whole numbers from 0 on.
        media_n: media rows.
    """

    viewer_n: NDArray[np.int64]
    media_n: Rows


class PositiveLog:
    """The newest positives of everybody.

    Args:
        most: positives kept; 13 bytes each.

    Attributes:
        added: positives taken in so far, undos among them.
    """

    def __init__(self, most: int = 5_000_000) -> None:
        self._most = most
        self._events = self._empty()
        self.added = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, viewer_n: NDArray[np.int64], media_n: Rows, sign_n: NDArray[np.integer]) -> None:
        """Append positives in the order they come.

        Args:
            viewer_n: key of each viewer.
            media_n: media rows.
            sign_n: 1 for an action, −1 for its undo.
        """
        start = len(self._events)
        self._events.grow(start + len(viewer_n))
        for name, values in (("viewer", viewer_n), ("media", media_n), ("sign", sign_n)):
            self._events[name][start:] = values
        self.added += len(viewer_n)
        if len(self._events) > 2 * self._most:
            old, self._events = self._events, self._empty()
            self._events.grow(self._most)
            for name in ("viewer", "media", "sign"):
                self._events[name][:] = old[name][-self._most :]

    def pairs(self, each: int) -> PositivePairs:
        """Who liked what among the newest positives, of each viewer the newest `each`."""
        viewer_n = self._events["viewer"][-self._most :]
        media_n, sign_n = (self._events[name][-self._most :] for name in ("media", "sign"))
        _, viewer_n = np.unique(viewer_n, return_inverse=True)
        key_n = viewer_n << 32 | media_n
        # A pair stands where it came last; one that was taken back as often as done is gone.
        keys, place_n, at_n = np.unique(key_n[::-1], return_index=True, return_inverse=True)
        standing = np.bincount(at_n, sign_n[::-1], minlength=len(keys)) > 0
        keys, place_n = keys[standing], place_n[standing]
        viewer_k = keys >> 32
        order = np.lexsort((place_n, viewer_k))
        begin = np.searchsorted(viewer_k[order], viewer_k[order])
        newest = order[np.arange(len(order)) - begin < each]
        return PositivePairs(viewer_k[newest], (keys[newest] & 0xFFFFFFFF).astype(np.int32))

    def forget(self, viewer_f: NDArray[np.int64]) -> None:
        """Forget what these viewers liked; how many were taken in stays."""
        left_n = np.isin(self._events["viewer"], viewer_f)
        if left_n.any():
            old, self._events = self._events, self._empty()
            self._events.load({name: column[~left_n] for name, column in old.to_arrays().items()})

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """A copy of all columns."""
        return self._events.to_arrays()

    def load(self, arrays: Arrays, added: int) -> None:
        """Hold what :meth:`to_arrays` gave instead, of so many that were taken in.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        self._events.load(arrays)
        self.added = added

    @staticmethod
    def _empty() -> GrowingColumns:
        return GrowingColumns(viewer=(np.int64, 0), media=(np.int32, 0), sign=(np.int8, 0))
