"""Events on media that the catalogue does not know yet, beyond what has rows.

What is counted has a row for good, and anybody can name media that there are none of. So there are
rows for only so many of them; of others events wait here for their media's first record, bounded in
number. Whoever names what never comes costs no more than that.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.stored import ANY, Arrays, as_texts, taken, texts
from models.inventory.acts import Act, Acts
from models.inventory.viewer_marks import ForgottenMarks

#: Of one media: one that never comes must not push out the others' events.
MOST_OF_ONE: Final = 1_000


class Uncatalogued:
    """Events by the media that they wait for.

    Args:
        most: events that wait at most; beyond, those of the media that waits longest are dropped.

    Attributes:
        dropped: events that were dropped so far.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: OrderedDict[str, deque[Act]] = OrderedDict()
        self._size = 0
        self.dropped = 0

    def __len__(self) -> int:
        """Events that wait."""
        return self._size

    def add(self, acts: Iterable[Act]) -> None:
        """Let events wait; of one media the newest `MOST_OF_ONE` stay."""
        for act in acts:
            of_media = self._waiting.setdefault(act.media_id, deque())
            of_media.append(act)
            self._size += 1
            if len(of_media) > MOST_OF_ONE:
                of_media.popleft()
                self._drop(1)
        while self._size > self._most:
            _, of_media = self._waiting.popitem(last=False)
            self._drop(len(of_media))

    def take(self, media_ids: Iterable[str]) -> list[Act]:
        """The events that waited for any of these media; they wait no longer."""
        if not self._waiting:
            return []
        found = [act for media_id in media_ids for act in self._waiting.pop(media_id, ())]
        self._size -= len(found)
        return found

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What waits, as columns, in the order in which it would be dropped."""
        acts = Acts.of([act for of_media in self._waiting.values() for act in of_media])
        told_n = np.array([author is not None for author in acts.author_ids], np.bool_)
        return {
            "media": as_texts(acts.media_ids),
            "author": as_texts(acts.author_ids),
            "author_told": told_n,
            "viewer": acts.viewer_n,
            "action": acts.action_n,
            "ts": acts.ts_n,
            "undo": acts.undo_n,
        }

    def load(self, arrays: Arrays) -> None:
        """Let wait what :meth:`to_arrays` gave, once packed.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        n = len(taken(arrays, "viewer", np.int64, ANY))
        told_n = taken(arrays, "author_told", np.bool_, n).tolist()
        authors = zip(texts(arrays, "author", n), told_n, strict=True)
        acts = Acts(
            texts(arrays, "media", n),
            [author if told else None for author, told in authors],
            taken(arrays, "viewer", np.int64, n),
            taken(arrays, "action", np.int8, n),
            taken(arrays, "ts", np.int64, n),
            taken(arrays, "undo", np.bool_, n),
        )
        self.add(acts.each())

    def forget(self, forgotten: ForgottenMarks) -> None:
        """Let nothing wait of what these viewers did."""
        waiting = [act for of_media in self._waiting.values() for act in of_media]
        if not waiting or not forgotten:
            return
        acts = Acts.of(waiting)
        covered_n = forgotten.cover(acts.viewer_n, acts.ts_n)
        if covered_n.any():
            self._waiting.clear()
            self._size = 0
            self.add(waiting[at] for at in np.flatnonzero(~covered_n).tolist())

    def _drop(self, events: int) -> None:
        self._size -= events
        self.dropped += events
