"""Viewers as whole numbers, wherever something is kept of what one of them did.

A viewer's key is the beginning of her pseudonym: the same in every process, and no way back to the
id. Whoever is to be forgotten is told of by pseudonym (``explore.forgotten``), so her marks are
found without her id. That somebody has an id of the same key as another's takes 2^63 tries.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Mask

_BYTES: Final = 8
#: Copied for each id, which takes half the time of a new one.
_DIGEST: Final = blake2b(digest_size=16, person=b"forgotten")

#: Keys that are looked up and not made again, 13 MB of them.
_REMEMBERED: Final = 1 << 16

#: Keys of viewers, as signed numbers of 64 bits.
ViewerKeys = NDArray[np.int64]


def _digest(viewer_id: str) -> bytes:
    digest = _DIGEST.copy()
    digest.update(viewer_id.encode())
    return digest.digest()


def pseudonym(viewer_id: str) -> str:
    """32 hexadecimal digits that stand for a viewer: who knows an id can tell, nobody else."""
    return _digest(viewer_id).hex()


class _Keys(dict[str, int]):
    """Keys of viewers asked for lately: a digest takes six times as long as a look here."""

    def __missing__(self, viewer_id: str) -> int:
        if len(self) >= _REMEMBERED:
            self.clear()
        digest = _digest(viewer_id)[:_BYTES]
        key = self[viewer_id] = int.from_bytes(digest, "big", signed=True)
        return key


_keys: Final = _Keys()


def viewer_keys(viewer_ids: Sequence[str]) -> ViewerKeys:
    """The key of each viewer."""
    return np.fromiter(map(_keys.__getitem__, viewer_ids), np.int64, len(viewer_ids))


class ForgottenMarks(NamedTuple):
    """Of which viewers nothing may be kept.

    Attributes:
        viewer_f: their keys, ascending.
        until_ms_f: what they did up to this time is to be forgotten, epoch ms.
    """

    viewer_f: ViewerKeys
    until_ms_f: NDArray[np.int64]

    @classmethod
    def of(cls, until_ms: dict[str, int]) -> ForgottenMarks:
        """From pseudonyms, and until when each is forgotten."""
        told = sorted((_key_of(name), until) for name, until in until_ms.items())
        columns = np.array(told, np.int64).reshape(-1, 2)
        return cls(columns[:, 0].copy(), columns[:, 1].copy())

    def __bool__(self) -> bool:
        return len(self.viewer_f) > 0

    def cover(self, viewer_n: ViewerKeys, ts_n: NDArray[np.int64]) -> Mask:
        """Which marks are to be forgotten, by whose and of when they are; not asked of nobody."""
        return _cover(self.viewer_f, self.until_ms_f, viewer_n, ts_n)

    def cover_halves(self, half_n: NDArray[np.int64], ts_n: NDArray[np.int64]) -> Mask:
        """As :meth:`cover`, of viewers of whom only the upper 32 bits of their key are known."""
        half_f = self.viewer_f >> 32
        # Of two with one half the later time counts.
        begin_h = np.flatnonzero(np.append(True, half_f[1:] != half_f[:-1])[: len(half_f)])
        until_ms_h = np.maximum.reduceat(self.until_ms_f, begin_h)
        return _cover(half_f[begin_h], until_ms_h, half_n, ts_n)


NOBODY: Final = ForgottenMarks(np.empty(0, np.int64), np.empty(0, np.int64))


def _cover(
    key_f: NDArray[np.int64],
    until_ms_f: NDArray[np.int64],
    key_n: NDArray[np.int64],
    ts_n: NDArray[np.int64],
) -> Mask:
    at_n = np.minimum(key_f.searchsorted(key_n), len(key_f) - 1)
    covered_n: Mask = (key_f[at_n] == key_n) & (ts_n <= until_ms_f[at_n])
    return covered_n


def _key_of(pseudonym: str) -> int:
    return int.from_bytes(bytes.fromhex(pseudonym)[:_BYTES], "big", signed=True)
