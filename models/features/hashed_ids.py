"""Ids as buckets of a fixed number: the sparse columns, by what they depend on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import UNKNOWN, Rows
from models.feature_schema import ID_NAMES, SPARSE_BUCKETS

#: int32; −1 for the hash of an id that is not known, 0 for its bucket.
HashedIds = NDArray[np.int32]

#: Columns that depend on the media; those that are the same for all media of a viewer.
OF_MEDIA: Final = [
    ID_NAMES.index(name) for name in ("author_id", "media_id", "seed_id", "topic", "language")
]
OF_VIEWER: Final = [
    ID_NAMES.index("viewer_id"),
    ID_NAMES.index("hour"),
    *range(len(ID_NAMES), len(SPARSE_BUCKETS)),
]
assert sorted(OF_MEDIA + OF_VIEWER) == list(range(len(SPARSE_BUCKETS)))

#: Buckets for ids that are known.
_KNOWN_S: Final = np.array(SPARSE_BUCKETS, np.int32) - 1


def buckets(hash_sn: HashedIds, columns: Sequence[int]) -> HashedIds:
    """Buckets of the hashes of these columns, in their place."""
    known_sn = hash_sn >= 0
    hash_sn %= _KNOWN_S[columns, None]
    hash_sn += 1
    hash_sn *= known_sn
    return hash_sn


def hash_of(hash_r: HashedIds, rows: Rows) -> HashedIds:
    """Hashes of `rows`; an unknown row has an unknown hash."""
    if not len(hash_r):
        return np.full(rows.shape, UNKNOWN, np.int32)
    hashes = hash_r[rows]
    hashes[rows == UNKNOWN] = UNKNOWN
    return hashes


def hash_of_code(hash_c: HashedIds, codes: HashedIds) -> HashedIds:
    """Hashes of codes; code 0 is "none"."""
    return np.where(codes > 0, hash_c[codes], np.int32(UNKNOWN))
