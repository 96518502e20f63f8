"""Rows that features are computed for, and what several columns read of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays.packed_sort import Sorted
from models.arrays.types import Float, Rows
from models.arrays.viewer_pairs import Pairs, pairs
from models.features.candidates import Candidates
from models.features.viewers import Taste, ViewerBatch, account_vectors
from models.world import World


class OfViewer(NamedTuple):
    """Where the rows of one viewer are.

    Attributes:
        at: which viewer of the batch.
        taste: the viewer's.
        span: where the rows are.
        met: positions within `span` of rows whose author the viewer acted on; all others are by
            nobody whom the viewer liked or saw fewer of.
    """

    at: int
    taste: Taste
    span: slice
    met: NDArray[np.int64]


class Authors(NamedTuple):
    """Authors, each once.

    Attributes:
        rows_a: account rows, ascending.
        at_n: which of them is each row's.
    """

    rows_a: Rows
    at_n: NDArray[np.int64]


class FeatureRows:
    """Candidates of a batch of viewers, one viewer's after the other's.

    Args:
        batch: the viewers.
        candidates: known media rows of all viewers.
        viewer_n: position of each row's viewer, ascending.
        author_n: author rows.
        origin: the rows that all of these were taken from, and where they are there.
    """

    def __init__(
        self,
        batch: ViewerBatch,
        candidates: Candidates,
        viewer_n: NDArray[np.int64],
        author_n: Rows,
        origin: tuple[FeatureRows, NDArray[np.integer]] | None = None,
    ) -> None:
        self.batch = batch
        self.viewers = batch.viewers
        self.world: World = batch.world
        self.now_ms = batch.now_ms
        self.candidates = candidates
        self.viewer_n = viewer_n
        self.media_n: Rows = candidates.media_n
        self.author_n = author_n
        self._origin = origin

    @classmethod
    def of(
        cls,
        batch: ViewerBatch,
        candidates: Candidates,
        sizes_v: Sequence[int] | NDArray[np.integer],
    ) -> FeatureRows:
        """Candidates, `sizes_v` of each viewer."""
        viewer_n = np.arange(len(batch.viewers)).repeat(sizes_v)
        return cls(batch, candidates, viewer_n, batch.world.catalog.author_n[candidates.media_n])

    def __len__(self) -> int:
        return len(self.media_n)

    def take(self, rows: NDArray[np.integer]) -> FeatureRows:
        """These rows, their viewers in order still."""
        candidates, viewer_n = self.candidates.take(rows), self.viewer_n[rows]
        origin = (self, rows)
        if self._origin is not None:
            origin = (self._origin[0], self._origin[1][rows])
        return FeatureRows(self.batch, candidates, viewer_n, self.author_n[rows], origin)

    @property
    def vectors_nd(self) -> Float:
        """Vectors of the authors in steps, zeros where there is none."""
        return self._of_authors(0)

    @property
    def known_n(self) -> NDArray[np.bool_]:
        """Whether the author has a vector."""
        return self._of_authors(1)

    def _of_authors(self, which: int) -> NDArray[Any]:
        if self._origin is None:
            return self._vectors[which]
        of, rows = self._origin
        taken: NDArray[Any] = of._vectors[which][rows]
        return taken

    @cached_property
    def _vectors(self) -> tuple[Float, NDArray[np.bool_]]:
        vectors_ad, known_a = account_vectors(self.world, self.authors.rows_a)
        return vectors_ad.take(self.authors.at_n, axis=0), known_a.take(self.authors.at_n)

    @cached_property
    def authors(self) -> Authors:
        """The authors of all rows, each once: most viewers of a batch find some of the same."""
        by_author = Sorted(self.author_n + 1)
        first_n = by_author.begins(1)
        at_n = np.empty(len(self), np.int64)
        at_n[by_author.order_n] = first_n.cumsum() - 1
        return Authors(self.author_n[by_author.order_n[first_n]], at_n)

    @cached_property
    def age_n(self) -> NDArray[np.int64]:
        """Milliseconds since each media was posted."""
        return np.maximum(self.now_ms - self.world.catalog.created_ts_n[self.media_n], 0)

    @cached_property
    def author_p(self) -> Pairs:
        """Viewer and author of each row, packed into one number."""
        return pairs(self.viewer_n, self.author_n)

    @cached_property
    def met(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows whose author the viewer acted on, and where the counters of that are."""
        return self.batch.counters.find(self.author_p)

    @cached_property
    def _met_n(self) -> NDArray[np.bool_]:
        met_n = np.zeros(len(self), np.bool_)
        met_n[self.met[0]] = True
        return met_n

    @cached_property
    def spans(self) -> list[slice]:
        """Where each viewer's rows are."""
        bounds = np.searchsorted(self.viewer_n, np.arange(len(self.viewers) + 1))
        return [slice(start, end) for start, end in pairwise(bounds.tolist())]

    @cached_property
    def of_viewers(self) -> list[OfViewer]:
        """The viewers who have rows."""
        if self._origin is None:
            met = self.met[0]
        else:
            of, rows = self._origin
            met = of._met_n[rows].nonzero()[0]
        cuts = pairwise(np.searchsorted(met, [0, *(span.stop for span in self.spans)]).tolist())
        return [
            OfViewer(at, taste, span, met[first:last] - span.start)
            for at, (taste, span, (first, last)) in enumerate(
                zip(self.batch.tastes, self.spans, cuts, strict=True)
            )
            if span.stop > span.start
        ]
