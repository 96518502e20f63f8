"""Ids as arrays, for artifacts: one UTF-8 blob and where each id ends in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def pack_ids(ids: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The ids as (bytes, end offsets), both one-dimensional."""
    encoded = [name.encode() for name in ids]
    ends_n = np.cumsum([len(name) for name in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), dtype=np.uint8).copy(), ends_n


def unpack_ids(blob: NDArray[np.uint8], ends_n: NDArray[np.int64]) -> list[str]:
    """The ids that :func:`pack_ids` packed.

    Raises:
        ValueError: the offsets do not fit the bytes, or the bytes are not UTF-8.
    """
    data = blob.tobytes()
    ends = ends_n.tolist()
    starts = [0, *ends[:-1]] if ends else []
    if (ends[-1] if ends else 0) != len(data) or any(
        a > b for a, b in zip(starts, ends, strict=True)
    ):
        raise ValueError(f"{len(ends)} offsets do not fit {len(data)} bytes of ids")
    return [data[a:b].decode() for a, b in zip(starts, ends, strict=True)]
