"""The versions that candidates are judged beside: the newest that went live, and the best of them.

A candidate may lose a little to the live version, or noise would refuse every other one. Judged
beside the live version alone, such losses add up; judged beside the best, they cannot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

Kept = TypeVar("Kept")
#: Versions that are kept loaded.
MOST: Final = 3


class KeptVersions(Generic[Kept]):
    """Some versions that went live, oldest first; of more than there is room for the oldest goes.

    One that is the best by some measure is not the oldest for that, however long it stays.

    Args:
        most: versions kept; the newest and the best by two measures need three.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[str, Kept] = {}
        self._figures: dict[str, dict[str, float]] = {}

    @property
    def newest(self) -> str | None:
        """Name of the version that went live last."""
        return next(reversed(self._kept), None)

    def all(self) -> dict[str, Kept]:
        """Name → version, oldest first."""
        return dict(self._kept)

    def reset(self, kept: Mapping[str, Kept]) -> None:
        """Forget all and keep these, oldest first: somebody else decided what is live."""
        self._kept, self._figures = dict(kept), {}

    def add(self, name: str, version: Kept) -> None:
        """Keep a version that went live."""
        self._kept.pop(name, None)
        self._kept[name] = version
        best = {self.best(measure) for measure in self._figures}
        for old in list(self._kept)[:-1]:
            if len(self._kept) > self._most and old not in best:
                del self._kept[old]

    def measured(self, measure: str, figures: Mapping[str, float]) -> None:
        """Take in figures of all versions kept, and of a candidate, made on the same data."""
        self._figures[measure] = dict(figures)

    def best(self, measure: str) -> str | None:
        """The version kept whose figure was highest when last measured; of equals the newest."""
        figures = self._figures.get(measure, {})
        names = [name for name in self._kept if math.isfinite(figures.get(name, -math.inf))]
        return max(reversed(names), key=lambda name: figures[name], default=None)
