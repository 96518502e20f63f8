"""Means with 95 % intervals; viewers are what is independent, not their grids.

Viewers are drawn with replacement (percentile bootstrap; Efron, 1979), all of a viewer's grids
together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

DRAWS: Final = 1000
_CHUNK: Final = 50


class Mean(msgspec.Struct, frozen=True):
    """A mean and where it lies with 95 % confidence; null where there is nothing to average."""

    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Sums:
    """A figure summed over each viewer's grids.

    Attributes:
        sum_v: sums over the grids where it is known.
        count_v: how many those are.
    """

    sum_v: NDArray[np.float64]
    count_v: NDArray[np.float64]

    @classmethod
    def of(cls, value_g: NDArray[np.floating], viewer_g: NDArray[np.integer]) -> Sums:
        """Sum by viewer; NaN is not known."""
        viewers, at_g = np.unique(viewer_g, return_inverse=True)
        known_g = ~np.isnan(value_g)
        sum_v = np.bincount(at_g, np.where(known_g, value_g, 0.0), len(viewers)).astype(np.float64)
        return cls(sum_v, np.bincount(at_g, known_g, len(viewers)).astype(np.float64))

    @property
    def mean(self) -> float:
        """Mean over all grids, NaN without any."""
        total = self.count_v.sum()
        return float(self.sum_v.sum() / total) if total else float("nan")


class Bootstrap:
    """Draws of viewers; the same for all figures of the same viewers, so that they compare.

    Args:
        viewers: how many there are.
        seed: equal seeds give equal draws.
    """

    def __init__(self, viewers: int, seed: int, draws: int = DRAWS) -> None:
        rng, self._times_dv = np.random.default_rng(seed), np.zeros((draws, viewers), np.uint8)
        for times_v in self._times_dv if viewers else ():
            times_v[:] = np.minimum(
                np.bincount(rng.integers(0, viewers, viewers), None, viewers), 255
            )

    def mean(self, sums: Sums) -> Mean:
        """The mean of a figure."""
        drawn = _ratio(self._drawn(sums.sum_v), self._drawn(sums.count_v))
        return _interval(sums.mean, drawn)

    def ratio(self, sums: Sums, against: Sums) -> Mean:
        """The mean of a figure over that of another, of the same viewers."""
        whole = sums.mean / against.mean if against.mean else float("nan")
        ours = _ratio(self._drawn(sums.sum_v), self._drawn(sums.count_v))
        theirs = _ratio(self._drawn(against.sum_v), self._drawn(against.count_v))
        return _interval(whole, _ratio(ours, theirs))

    def _drawn(self, value_v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over each draw's viewers."""
        chunks = np.array_split(self._times_dv, max(len(self._times_dv) // _CHUNK, 1))
        return np.concatenate([chunk_dv.astype(np.float64) @ value_v for chunk_dv in chunks])


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio_d: NDArray[np.float64] = np.divide(a, b, out=np.full(len(a), np.nan), where=b != 0)
    return ratio_d


def _interval(mean: float, drawn: NDArray[np.float64]) -> Mean:
    drawn = drawn[~np.isnan(drawn)]
    if not np.isfinite(mean) or not len(drawn):
        return Mean(None, None, None)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Mean(float(mean), float(low), float(high))
