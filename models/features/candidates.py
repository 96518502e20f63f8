"""One viewer's candidates: media with their provenance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import UNKNOWN, Rows
from models.feature_schema import SOURCES


@dataclass(frozen=True, slots=True)
class Candidates:
    """Media with their provenance.

    Attributes:
        media_n: media rows.
        source_n: codes of `sources`.
        seed_n: account row of the seed, −1 for none.
        score_n: the source's own score, comparable within one source only.
        rank_n: position within the source, from 0.
        sources: names of the codes; it begins with :data:`models.feature_schema.SOURCES`, and
            what a query brings in beside those has no feature of its own.
    """

    media_n: Rows
    source_n: NDArray[np.int16]
    seed_n: Rows
    score_n: NDArray[np.float32]
    rank_n: NDArray[np.int32]
    sources: tuple[str, ...] = SOURCES

    def __len__(self) -> int:
        return len(self.media_n)

    @classmethod
    def of(cls, media_n: Rows, source: str = "logged") -> Candidates:
        """Media of one source, in this order; without one, e.g. logged exposures."""
        n = len(media_n)
        return cls(
            np.asarray(media_n, np.int32),
            np.full(n, SOURCES.index(source), np.int16),
            np.full(n, UNKNOWN, np.int32),
            np.zeros(n, np.float32),
            np.arange(n, dtype=np.int32),
        )

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Candidates:
        """These rows (or where a mask is true), ranks as they were."""
        return Candidates(
            self.media_n[rows],
            self.source_n[rows],
            self.seed_n[rows],
            self.score_n[rows],
            self.rank_n[rows],
            self.sources,
        )
