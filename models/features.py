"""The ONE assembly of features, used by serving and by training alike.

Training passes the viewer, the world and the time as they were at an exposure, serving as they
are now; nothing else decides a value, so both see the same numbers. A pass pays for what it
reads: columns are computed when a pass first asks for them, and kept for the passes after it
(:mod:`models.feature_columns` says how each one is computed).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.candidates import Candidates
from models.columns import UNKNOWN, Rows
from models.feature_columns import BLOCKS, FeatureRows, seeds
from models.feature_schema import (
    ALL_COLUMNS,
    DENSE_INDEX,
    DENSE_NAMES,
    FEATURE_VERSION,
    FEATURES,
    ID_NAMES,
    MINIMAL,
    MINIMAL_COLUMNS,
    SOURCES,
    SPARSE_BUCKETS,
    SPARSE_NAMES,
    Feature,
    FeatureMatrix,
)
from models.viewer_batch import HOUR_MS, Float, ViewerBatch
from models.viewer_context import ViewerContext
from models.world import World

__all__ = [
    "ALL_COLUMNS",
    "DENSE_INDEX",
    "DENSE_NAMES",
    "FEATURES",
    "FEATURE_VERSION",
    "MINIMAL",
    "MINIMAL_COLUMNS",
    "SOURCES",
    "SPARSE_BUCKETS",
    "SPARSE_NAMES",
    "Assembly",
    "Feature",
    "FeatureMatrix",
    "assemble",
]

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
        viewer_n = np.repeat(np.arange(len(viewers), dtype=np.int64), sizes_v)
        return cls(FeatureRows(ViewerBatch(viewers, world, now_ms), candidates, viewer_n))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: NDArray[np.integer]) -> Assembly:
        """The assembly of these rows, their viewers in order still; what is computed is kept."""
        taken = object.__new__(Assembly)
        taken.rows = self.rows.take(rows)
        taken._dense_fn = self._dense_fn.take(rows, axis=1)
        taken._filled = set(self._filled)
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
        sparse_ns = self._sparse() if sparse else np.empty((len(self), 0), np.int32)
        return FeatureMatrix(np.ascontiguousarray(dense_fn.T), sparse_ns, columns)

    def column(self, name: str) -> Float:
        """One dense column."""
        self._fill((DENSE_INDEX[name],))
        value_n: Float = self._dense_fn[DENSE_INDEX[name]]
        return value_n

    def _fill(self, columns: Sequence[int]) -> None:
        for block in sorted({_BLOCK_OF[column] for column in columns} - self._filled):
            at, compute = _BLOCKS[block]
            self._dense_fn[at] = np.minimum(np.maximum(compute(self.rows), _LOW), _HIGH)
            self._filled.add(block)

    def _sparse(self) -> NDArray[np.int32]:
        rows, catalog = self.rows, self.rows.world.catalog
        # Hashes by feature, −1 for an unknown id.
        hashes: dict[str, NDArray[np.int32]] = {
            "author_id": _hash_of(catalog.account_hash_a, rows.author_n),
            "media_id": catalog.media_hash_n[rows.media_n],
            "seed_id": _hash_of(catalog.account_hash_a, seeds(rows)),
            "viewer_id": rows.batch.hash_v[rows.viewer_n],
            "topic": _code_hash(catalog.topic_hash_t, catalog.topic_n[rows.media_n]),
            "language": _code_hash(catalog.language_hash_l, catalog.language_n[rows.media_n]),
            "hour": np.full(len(rows), rows.now_ms // HOUR_MS % 24, np.int32),
        }
        liked_ln = _hash_of(catalog.account_hash_a, rows.batch.liked_lv)[:, rows.viewer_n]
        hash_sn = np.array([*(hashes[name] for name in ID_NAMES), *liked_ln])
        known_sn = hash_sn >= 0
        hash_sn %= _IDS_S1
        hash_sn += 1
        hash_sn *= known_sn
        return np.ascontiguousarray(hash_sn.T)


#: Dense columns of each block and how they are computed; the block of each column.
_BLOCKS: Final = [([DENSE_INDEX[name] for name in names], of) for names, of in BLOCKS.items()]
_BLOCK_OF: Final = {column: at for at, (of, _) in enumerate(_BLOCKS) for column in of}
#: Buckets of each sparse feature for ids that are known.
_IDS_S1: Final = np.array(SPARSE_BUCKETS, np.int32)[:, None] - 1


def _hash_of(hash_r: NDArray[np.int32], rows: Rows) -> NDArray[np.int32]:
    if not len(hash_r):
        return np.full(rows.shape, UNKNOWN, np.int32)
    hashes = hash_r[rows]
    hashes[rows == UNKNOWN] = UNKNOWN
    return hashes


def _code_hash(hash_c: NDArray[np.int32], codes: NDArray[np.int32]) -> NDArray[np.int32]:
    # Code 0 is "none".
    return np.where(codes > 0, hash_c[codes], np.int32(UNKNOWN))
