"""What a kernel is given beside its set: the world, the viewers, their rankers, room to work in."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from models.arrays.types import Mask, Rows
from models.arrays.viewer_pairs import ViewerRows
from models.igql.registry import SetType
from models.igql.sets import ColumnSet
from models.rankers.protocol import Rankers
from models.viewers.context import ViewerContext
from models.world import World


class Scratch:
    """Tables over rows that are kept between executions, so that nothing as large as the
    catalogue is allocated for one viewer.
    """

    def __init__(self) -> None:
        self._marks = np.zeros(0, np.bool_)

    def marks(self, size: int) -> Mask:
        """A mask of at least `size` rows, all false: leave it so."""
        if len(self._marks) < size:
            self._marks = np.zeros(2 * size, np.bool_)
        return self._marks


class Execution:
    """One run of a plan for a batch of viewers.

    Attributes:
        viewers: of the batch; `viewer_n` of every set are positions in it.
        rankers: of the arm that all of them are in.
        served: for each viewer the media rows served already.
        notes: what a kernel has to tell about this run.
        failed: whether one has raised.
        kept: what kernels keep for the next call in this run, by keys of their own.
        sources: names of the codes in `source_n`.
    """

    def __init__(
        self,
        world: World,
        viewers: Sequence[ViewerContext],
        rankers: Rankers,
        now_ms: int,
        served: Sequence[Rows],
        sources: Sequence[str],
        scratch: Scratch | None = None,
    ) -> None:
        self.world = world
        self.viewers = viewers
        self.rankers = rankers
        self.now_ms = now_ms
        self.served = served
        self.sources = sources
        self.notes: list[str] = []
        self.failed = False
        self._scratch = scratch or Scratch()
        self.kept: dict[Hashable, Any] = {}
        self._authors: tuple[ColumnSet, Rows] | None = None

    def note(self, text: str) -> None:
        """Tell something that whoever reads the plan should know."""
        if text not in self.notes:
            self.notes.append(text)

    def fail(self, name: str, error: Exception) -> None:
        """Tell that an operator raised."""
        self.failed = True
        self.note(f"{name} failed: {error!r}")

    def each(self, rows: ColumnSet) -> Sequence[tuple[ViewerContext, slice]]:
        """The viewers who have rows, and where these are."""
        if len(self.viewers) == 1:
            return [(self.viewers[0], slice(0, len(rows)))] if len(rows) else []
        bounds = rows.bounds(len(self.viewers)).tolist()
        return [
            (viewer, slice(start, end))
            for viewer, start, end in zip(self.viewers, bounds, bounds[1:], strict=False)
            if end > start
        ]

    def among(
        self, rows: ColumnSet, row_n: Rows, key: Hashable, of_v: Callable[[], Sequence[Rows]]
    ) -> Mask:
        """Whether each of `row_n` is among its viewer's.

        Args:
            rows: whose viewers they are.
            row_n: media or account rows.
            key: names what `of_v` gives, which is asked once in a run.
            of_v: the rows of each viewer of the batch.
        """
        theirs: ViewerRows | None = self.kept.get(key)
        if theirs is None:
            catalog = self.world.catalog
            marks = self._scratch.marks(max(catalog.media_count, catalog.account_count))
            theirs = self.kept[key] = ViewerRows(of_v(), marks)
        return theirs.hold(rows.viewer_n, row_n)

    def authors(self, rows: ColumnSet) -> Rows:
        """Account row of each media's author, −1 where unknown; accounts are their own."""
        if rows.type is SetType.ACCOUNTS:
            return rows.row_n
        # Filters ask for those of one set one after the other.
        if self._authors is not None and self._authors[0] is rows:
            return self._authors[1]
        author_n = self.world.catalog.author_n.take(rows.row_n)
        self.know_authors(rows, author_n)
        return author_n

    def know_authors(self, media: ColumnSet, author_n: Rows) -> None:
        """Tell the authors of media that an operator makes, where it knows them anyway."""
        self._authors = media, author_n
