"""Ids and bytes as arrays, for artifacts: one blob and where each ends in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Ids put together at once: nobody else of the process runs meanwhile.
_AT_ONCE: Final = 1 << 15


def pack_ids(
    ids: Sequence[str | None] | NDArray[Any],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The ids as (bytes, end offsets), both one-dimensional; None is an empty one."""
    lengths_n = np.empty(len(ids), np.int64)
    blobs: list[NDArray[np.uint8]] = [np.empty(0, np.uint8)]
    for start in range(0, len(ids), _AT_ONCE):
        encoded = [(name or "").encode() for name in ids[start : start + _AT_ONCE]]
        lengths_n[start : start + len(encoded)] = [len(name) for name in encoded]
        blobs.append(np.frombuffer(b"".join(encoded), np.uint8))
    return np.concatenate(blobs), np.cumsum(lengths_n)


def unpack_ids(blob: NDArray[np.uint8], ends_n: NDArray[np.int64]) -> list[str]:
    """The ids that :func:`pack_ids` packed.

    Raises:
        ValueError: the offsets do not fit the bytes, or the bytes are not UTF-8.
    """
    return [data.decode() for data in unpack_blobs(blob, ends_n)]


def pack_blobs(blobs: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of all as (bytes, end offsets), both one-dimensional."""
    lengths_n = np.fromiter(map(len, blobs), np.int64, len(blobs))
    return np.frombuffer(b"".join(blobs), np.uint8), np.cumsum(lengths_n)


def unpack_blobs(blob: NDArray[np.uint8], ends_n: NDArray[np.int64]) -> list[bytes]:
    """What :func:`pack_blobs` packed.

    Raises:
        ValueError: the offsets do not fit the bytes.
    """
    data = blob.tobytes()
    ends = ends_n.tolist()
    starts = [0, *ends[:-1]] if ends else []
    if (ends[-1] if ends else 0) != len(data) or any(
        a > b for a, b in zip(starts, ends, strict=True)
    ):
        raise ValueError(f"{len(ends)} offsets do not fit {len(data)} bytes")
    return [data[a:b] for a, b in zip(starts, ends, strict=True)]
