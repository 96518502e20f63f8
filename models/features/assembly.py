"""The ONE assembly of features, used by serving and by training alike.

Training passes the viewer, the world and the time as they were at an exposure, serving as they
are now; nothing else decides a value, so both see the same numbers. A pass pays for what it
reads: columns are computed when a pass first asks for them, and kept for the passes after it
(:mod:`models.features.dense` says how each one is computed).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Float
from models.arrays.viewer_pairs import spans_of
from models.feature_schema import ALL_COLUMNS, DENSE_INDEX, DENSE_NAMES, FeatureMatrix
from models.features.candidates import Candidates
from models.features.dense import BLOCKS
from models.features.rows import FeatureRows
from models.features.sparse import sparse_ids
from models.features.viewers import ViewerBatch
from models.viewers.context import ViewerContext
from models.world import World

_LOW: Final = np.float32(-1.0)
_HIGH: Final = np.float32(5.0)


def assemble(
    viewer: ViewerContext, candidates: Candidates, world: World, now_ms: int
) -> FeatureMatrix:
    """All features of one viewer's candidates at `now_ms`.

    Candidates are known media rows; logged exposures are ``Candidates.of(media_rows)``. Every
    value is finite and every dense one within [−1, 5].
    """
    return Assembly.of([viewer], candidates, [len(candidates)], world, now_ms).matrix()


class Assembly:
    """Features of a batch of viewers' candidates, computed as they are asked for.

    Args:
        rows: whose features they are.
    """

    __slots__ = ("_dense_fn", "_filled", "rows")

    def __init__(self, rows: FeatureRows) -> None:
        self.rows = rows
        self._dense_fn = np.empty((len(DENSE_NAMES), len(rows)), np.float32)
        self._filled: set[int] = set()

    @classmethod
    def of(
        cls,
        viewers: Sequence[ViewerContext],
        candidates: Candidates,
        sizes_v: Sequence[int] | NDArray[np.integer],
        world: World,
        now_ms: int,
    ) -> Assembly:
        """The assembly of known media rows, `sizes_v` of each viewer one after the other."""
        return cls(FeatureRows.of(ViewerBatch(viewers, world, now_ms), candidates, sizes_v))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: NDArray[np.integer]) -> Assembly:
        """The assembly of these rows, their viewers in order still; what is computed is kept."""
        taken = object.__new__(Assembly)
        taken.rows = self.rows.take(rows)
        taken._dense_fn = np.empty((len(DENSE_NAMES), len(rows)), np.float32)
        taken._filled = set(self._filled)
        for span in (_BLOCKS[block][0] for block in self._filled):
            self._dense_fn[span].take(rows, axis=1, out=taken._dense_fn[span], mode="clip")
        return taken

    def matrix(
        self, columns: tuple[int, ...] = ALL_COLUMNS, *, sparse: bool = True
    ) -> FeatureMatrix:
        """The features of all rows.

        Args:
            columns: which dense ones, in this order.
            sparse: whether the hashed ids are wanted.
        """
        self._fill(columns)
        dense_fn = self._dense_fn
        if columns != ALL_COLUMNS:
            dense_fn = dense_fn.take(columns, axis=0)
        if not sparse:
            # A view: a product of matrices reads it as well.
            return FeatureMatrix(dense_fn.T, np.empty((len(self), 0), np.int32), columns)
        return FeatureMatrix(np.ascontiguousarray(dense_fn.T), sparse_ids(self.rows), columns)

    def column(self, name: str) -> Float:
        """One dense column by name, (n,); computed at the first call."""
        self._fill((DENSE_INDEX[name],))
        value_n: Float = self._dense_fn[DENSE_INDEX[name]]
        return value_n

    def _fill(self, columns: tuple[int, ...]) -> None:
        for block in _blocks_of(columns) - self._filled:
            span, fill = _BLOCKS[block]
            out_kn = self._dense_fn[span]
            fill(self.rows, out_kn)
            np.maximum(out_kn, _LOW, out=out_kn)
            np.minimum(out_kn, _HIGH, out=out_kn)
            self._filled.add(block)


#: Dense columns of each block and how they are filled; the block of each column.
_BLOCKS: Final = list(zip(spans_of(map(len, BLOCKS)), BLOCKS.values(), strict=True))
_BLOCK_OF: Final = tuple(block for block, names in enumerate(BLOCKS) for _ in names)


@cache
def _blocks_of(columns: tuple[int, ...]) -> frozenset[int]:
    return frozenset(_BLOCK_OF[column] for column in columns)
