"""Events on media that the catalogue does not know yet, beyond what has rows.

What is counted has a row for good, and anybody can name media that there are none of. So there are
rows for only so many of them; of others events wait here for their media's first record, bounded in
number. Whoever names what never comes costs no more than that.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Final

from models.actions import Action
from models.events import MediaEvent

Done = tuple[Action, MediaEvent]
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
        self._waiting: OrderedDict[str, deque[Done]] = OrderedDict()
        self._size = 0
        self.dropped = 0

    def __len__(self) -> int:
        """Events that wait."""
        return self._size

    def add(self, events: Iterable[Done]) -> None:
        """Let events wait; of one media the newest `MOST_OF_ONE` stay."""
        for done in events:
            of_media = self._waiting.setdefault(done[1].media_id, deque())
            of_media.append(done)
            self._size += 1
            if len(of_media) > MOST_OF_ONE:
                of_media.popleft()
                self._drop(1)
        while self._size > self._most:
            _, of_media = self._waiting.popitem(last=False)
            self._drop(len(of_media))

    def take(self, media_ids: Iterable[str]) -> list[Done]:
        """The events that waited for any of these media; they wait no longer."""
        if not self._waiting:
            return []
        taken = [done for media_id in media_ids for done in self._waiting.pop(media_id, ())]
        self._size -= len(taken)
        return taken

    def _drop(self, events: int) -> None:
        self._size -= events
        self.dropped += events
