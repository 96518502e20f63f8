"""Decayed popularity of media and authors, from the stream."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import Action
from models.arrays.forward_decay import ForwardDecay
from models.arrays.growing import GrowingColumns, TopRows
from models.arrays.stored import ANY, Arrays, copied, part_of, prefixed, taken
from models.arrays.types import UNKNOWN, Rows
from models.events import DAY_MS

ACTIONS: Final = len(Action)


class PopularityConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How popularity is counted.

    Attributes:
        half_life_ms: of the counts.
        worth_x: what each action adds to a media's overall popularity, by code.
    """

    half_life_ms: int = 3 * DAY_MS
    worth_x: tuple[float, ...] = tuple(action.row.popularity for action in Action)


class Popularity:
    """Decayed counts per media row, per author row and in total, one column per action.

    An author's counts are those of the author's media, so they follow when the catalogue names
    another one. Counts are never read as less than 0.
    """

    def __init__(self, config: PopularityConfig | None = None) -> None:
        self.config = config or PopularityConfig()
        self._decay = ForwardDecay(self.config.half_life_ms)
        self._media = GrowingColumns(
            count=(np.float64, 0.0, ACTIONS), score=(np.float64, 0.0), author=(np.int32, UNKNOWN)
        )
        self._authors = GrowingColumns(count=(np.float64, 0.0, ACTIONS))
        self._total = np.zeros(ACTIONS)
        self._top = TopRows()
        self._worth_x = np.array(self.config.worth_x)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Counts as they are stored, copied, and the landmark that they are of."""
        return {
            **prefixed("media", self._media.to_arrays()),
            **prefixed("authors", self._authors.to_arrays()),
            "total": copied(self._total),
            **self._decay.to_arrays(),
        }

    def load(self, arrays: Arrays, accounts: int) -> None:
        """Count on from what :meth:`to_arrays` gave; the arrays are kept, not copied.

        Args:
            accounts: known to the catalogue.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        taken(arrays, "media.author", np.int32, ANY, rows=accounts)
        self._media.load(part_of(arrays, "media"))
        self._authors.load(part_of(arrays, "authors"))
        self._total = taken(arrays, "total", np.float64, ACTIONS)
        self._decay.load(arrays)
        self._top.rescale()

    def add(
        self,
        media_rows: Rows,
        actions: NDArray[np.integer],
        ts: NDArray[np.int64],
        sign: NDArray[np.integer] | int = 1,
    ) -> None:
        """Count events for their media and its author, all arguments of one length.

        Args:
            media_rows: media of each event.
            actions: :class:`models.actions.Action` codes.
            ts: event times, epoch ms, in any order.
            sign: 1 to add, −1 to take away what was added at that time.
        """
        if not len(ts):
            return
        if (left := self._decay.advance(int(ts.max()))) != 1.0:
            self._shrink(left)
        weight = sign * self._decay.weights(ts)
        np.add.at(self._total, actions, weight)
        self._media.grow(int(media_rows.max()) + 1)
        np.add.at(self._media["count"], (media_rows, actions), weight)
        touched = np.unique(media_rows)
        self._media["score"][touched] = self._media["count"][touched] @ self._worth_x
        self._top.touch(touched)
        author_n = self._media["author"][media_rows]
        known = author_n != UNKNOWN
        np.add.at(self._authors["count"], (author_n[known], actions[known]), weight[known])

    def authors_of(self, media_rows: Rows) -> Rows:
        """Whose the counts of media are, −1 where nobody said."""
        author_m = self._media["author"]
        found_n = np.full(len(media_rows), UNKNOWN, np.int32)
        inside = media_rows < len(author_m)
        found_n[inside] = author_m[media_rows[inside]]
        return found_n

    def attribute(self, media_rows: Rows, author_rows: Rows) -> None:
        """Say whose media are, each once; what was counted of them goes to that author."""
        if not len(media_rows):
            return
        self._media.grow(int(media_rows.max()) + 1)
        self._authors.grow(int(author_rows.max()) + 1)
        before_n = self._media["author"][media_rows]
        moved = before_n != author_rows
        media_rows, before_n, author_rows = media_rows[moved], before_n[moved], author_rows[moved]
        self._media["author"][media_rows] = author_rows
        count_na = self._media["count"][media_rows]
        had = before_n != UNKNOWN
        np.subtract.at(self._authors["count"], before_n[had], count_na[had])
        np.add.at(self._authors["count"], author_rows, count_na)

    def decayed_media(self, rows: Rows, now_ms: int) -> NDArray[np.float64]:
        """Decayed counts_na of media rows at `now_ms`; rows never counted are zero."""
        return self._read(self._media, rows, now_ms)

    def decayed_authors(self, rows: Rows, now_ms: int) -> NDArray[np.float64]:
        """Decayed counts_na of author rows at `now_ms`; −1 and rows never counted are zero."""
        return self._read(self._authors, rows, now_ms)

    def decayed_total(self, now_ms: int) -> NDArray[np.float64]:
        """Decayed counts_a of everybody at `now_ms`."""
        total: NDArray[np.float64] = np.maximum(self._total, 0.0) * self._decay.left(now_ms)
        return total

    def most_popular(self, k: int) -> Rows:
        """Up to k media rows with the highest weighted counts above 0, best first."""
        return self._top.best(self._media["score"], k)

    def score(self, media_rows: Rows, now_ms: int) -> NDArray[np.float64]:
        """The weighted decayed count that :meth:`most_popular` orders by; 0 where never counted."""
        score_m = self._media["score"]
        inside = (media_rows >= 0) & (media_rows < len(score_m))
        if inside.all():
            return score_m.take(media_rows) * self._decay.left(now_ms)
        weighted = np.zeros(len(media_rows))
        weighted[inside] = score_m[media_rows[inside]] * self._decay.left(now_ms)
        return weighted

    def _read(self, columns: GrowingColumns, rows: Rows, now_ms: int) -> NDArray[np.float64]:
        count = columns["count"]
        inside = (rows >= 0) & (rows < len(count))
        if inside.all():
            found = count.take(rows, axis=0)
        else:
            found = np.zeros((len(rows), ACTIONS))
            found[inside] = count[rows[inside]]
        np.maximum(found, 0.0, out=found)
        found *= self._decay.left(now_ms)
        return found

    def _shrink(self, factor: float) -> None:
        counts = (self._media["count"], self._media["score"], self._authors["count"], self._total)
        for values in counts:
            values *= factor
        self._top.rescale()
