"""Unit vectors of media's pictures, beside the catalogue.

Nothing is allocated until the first vector comes. Stored as float16, which costs less than a
thousandth of a cosine, and searched by a flat scan: pictures are a second opinion on media, so far
fewer of them are looked up than accounts.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.growing import GrowingColumns
from models.arrays.stored import ANY, Arrays, StoredArraysError, taken
from models.arrays.types import UNKNOWN, Rows

#: Vectors compared at once: bounds the memory of a search.
_CHUNK: Final = 32_768


class ImageSpace:
    """Image vectors by media row.

    Args:
        dimension: length of every vector.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._slot_of_media: GrowingColumns | None = None
        self._slots: GrowingColumns | None = None
        self._free: list[int] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def bytes(self) -> int:
        """Memory of the arrays: 0 before the first vector."""
        if self._slots is None or self._slot_of_media is None:
            return 0
        return self._slots.bytes + self._slot_of_media.bytes

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Media rows, ascending, and their vectors as they are stored."""
        if self._slots is None:
            return {
                "media": np.empty(0, np.int32),
                "vector": np.empty((0, self.dimension), np.float16),
            }
        slots = np.flatnonzero(self._slots["media"] != UNKNOWN)
        slots = slots[self._slots["media"][slots].argsort()]
        return {name: self._slots[name][slots] for name in ("media", "vector")}

    def load(self, arrays: Arrays, media: int) -> None:
        """Hold these vectors too.

        Args:
            media: known to the catalogue.

        Raises:
            StoredArraysError: these are not arrays that :meth:`to_arrays` gives.
        """
        media_n = taken(arrays, "media", np.int32, ANY, rows=media)
        vectors_nd = taken(arrays, "vector", np.float16, len(media_n), self.dimension)
        if (np.diff(media_n, prepend=UNKNOWN) <= 0).any():
            raise StoredArraysError("pictures are not of media in the order of their rows")
        self.put(media_n, vectors_nd)

    def put(self, media_rows: Rows, vectors_nd: NDArray[np.floating]) -> None:
        """Add or replace unit vectors; of a row given twice the last one stays."""
        if not len(media_rows):
            return
        if self._slot_of_media is None or self._slots is None:
            self._slot_of_media = GrowingColumns(slot=(np.int32, UNKNOWN))
            self._slots = GrowingColumns(
                media=(np.int32, UNKNOWN), vector=(np.float16, 0.0, self.dimension)
            )
        self._slot_of_media.grow(int(media_rows.max()) + 1)
        slot_of = self._slot_of_media["slot"]
        new = [row for row in dict.fromkeys(media_rows.tolist()) if slot_of[row] == UNKNOWN]
        slots = [self._free.pop() for _ in range(min(len(self._free), len(new)))]
        slots += range(len(self._slots), len(self._slots) + len(new) - len(slots))
        if slots:
            self._slots.grow(max(slots) + 1)
            slot_of[new] = slots
            self._slots["media"][slots] = new
            self._size += len(new)
        self._slots["vector"][slot_of[media_rows]] = vectors_nd

    def remove(self, media_rows: Rows) -> None:
        """Forget vectors; media without one are ignored."""
        if self._slot_of_media is None or self._slots is None:
            return
        slot_of = self._slot_of_media["slot"]
        rows = np.unique(media_rows[(media_rows >= 0) & (media_rows < len(slot_of))])
        rows = rows[slot_of[rows] != UNKNOWN]
        slots = slot_of[rows]
        self._slots["media"][slots] = UNKNOWN
        slot_of[rows] = UNKNOWN
        self._free += slots.tolist()
        self._size -= len(slots)

    def vectors_of(self, media_rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Unit vectors_nd of media (zeros where there is none) and whether each has one."""
        vectors_nd = np.zeros((len(media_rows), self.dimension), np.float32)
        known_n = np.zeros(len(media_rows), np.bool_)
        if self._slot_of_media is None or self._slots is None:
            return vectors_nd, known_n
        slot_of = self._slot_of_media["slot"]
        known_n = (media_rows >= 0) & (media_rows < len(slot_of))
        known_n[known_n] = slot_of[media_rows[known_n]] != UNKNOWN
        vectors_nd[known_n] = self._slots["vector"][slot_of[media_rows[known_n]]]
        return vectors_nd, known_n

    def nearest(self, vectors_qd: NDArray[np.float32], k: int) -> tuple[Rows, NDArray[np.float32]]:
        """Media rows_qk and cosines_qk nearest to each unit vector, best first.

        Equal cosines are in the order of their rows; which of several equals is the last of `k` is
        open. Where there are fewer than `k`, the rest is row −1 with cosine −inf.
        """
        queries = len(vectors_qd)
        best_rows_qk = np.full((queries, k), UNKNOWN, np.int32)
        best_qk = np.full((queries, k), -np.inf, np.float32)
        if self._slots is None or not k:
            return best_rows_qk, best_qk
        media_s, vectors_sd = self._slots["media"], self._slots["vector"]
        for start in range(0, len(media_s), _CHUNK):
            media_c = media_s[start : start + _CHUNK]
            cosines_qc = vectors_qd @ vectors_sd[start : start + _CHUNK].astype(np.float32).T
            cosines_qc[:, media_c == UNKNOWN] = -np.inf
            rows_qc = np.broadcast_to(media_c, cosines_qc.shape)
            if k < len(media_c):
                chosen_qk = np.argpartition(-cosines_qc, k - 1, axis=1)[:, :k]
                rows_qc = np.take_along_axis(rows_qc, chosen_qk, axis=1)
                cosines_qc = np.take_along_axis(cosines_qc, chosen_qk, axis=1)
            rows_qm = np.concatenate([best_rows_qk, rows_qc], axis=1)
            all_qm = np.concatenate([best_qk, cosines_qc], axis=1)
            order_qk = np.lexsort((rows_qm, -all_qm), axis=1)[:, :k]
            best_qk = np.take_along_axis(all_qm, order_qk, axis=1)
            best_rows_qk = np.take_along_axis(rows_qm, order_qk, axis=1)
        best_rows_qk[np.isneginf(best_qk)] = UNKNOWN
        return best_rows_qk, best_qk
