"""Served pages and what viewers did on them → labelled pages, each once.

A page waits until its labels are known: `window_ms` of acting on it and `late_ms` for events on
their way. An event names its page by `request_id`; without one it counts for the newest waiting
page of the viewer that showed the media, with another one it belongs elsewhere. An event that is
read before its page waits for it, `late_ms` beyond its own time or the time of reading, whichever
is earlier: a clock that is ahead makes nothing wait longer.

Both rooms in which something waits are ordered by when the waiting ends and hold so much at most,
so a look at them costs what comes and goes, not what waits.

Which items were seen: where the client tells of views on the page, those viewed and those acted
on; where it never does, all of them.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

from models.actions import HEADS, STRONG_HEADS, VIEWS, Action
from models.events import MediaEvent
from models.examples.from_pages import LabelledPage
from models.explore.impressions import Impression


class JoinConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How long labels are waited for.

    Attributes:
        window_ms: an event counts for a page served at most this long before it.
        late_ms: how much longer a page waits, for events that come late.
        page_size: items of a page that is full, as all but the last of a series are.
        max_pages: pages that wait at most; beyond, the oldest is labelled early.
        max_events: events that wait for their pages at most; beyond, those that would wait for the
            shortest time are dropped.
        max_remembered: request ids remembered, so that a page read twice is labelled once.
    """

    window_ms: int = 10 * 60 * 1000
    late_ms: int = 60 * 1000
    page_size: int = 25
    max_pages: int = 50_000
    max_events: int = 200_000
    max_remembered: int = 1_000_000


#: Where a record stands: topic, partition and offset.
Place = tuple[str, int, int]
_NOWHERE: Final = ("", 0, 0)
#: An event that names no page is looked for on so many pages of its viewer, the newest.
_LOOKED_AT: Final = 100


class _Waiting(msgspec.Struct, eq=False):
    page: Impression
    place: Place
    events: list[tuple[int, bool, Action, str, Place]] = []


class _Early(msgspec.Struct, eq=False):
    """An event that waits for its page, until a time."""

    until_ms: int
    action: Action
    event: MediaEvent
    place: Place


class ExampleJoin:
    """Joins labels to pages.

    Pages and events come in any order as long as both come before :meth:`due` is asked with a
    time beyond the page's window.

    Attributes:
        late: events that came after their page was labelled.
        dropped: events that were dropped because too many waited.
    """

    def __init__(self, config: JoinConfig | None = None) -> None:
        self.config = config or JoinConfig()
        self.late = self.dropped = 0
        self._number = 0
        self._waiting: dict[str, _Waiting] = {}
        # When a page's window begins by its own time or ours, and its request id, as a heap.
        self._order: list[tuple[int, int, str]] = []
        # Viewer → request ids of the pages that wait, oldest first.
        self._of_viewer: dict[str, dict[str, None]] = {}
        self._done: OrderedDict[str, None] = OrderedDict()
        self._room = _Room()
        # Came since the last look.
        self._events: list[_Early] = []
        self._pages: list[Impression] = []
        self._held = _Held()

    def remember(self, request_ids: Iterable[str]) -> None:
        """Pages that were labelled by an earlier process."""
        for request_id in request_ids:
            self._done[request_id] = None
        while len(self._done) > self.config.max_remembered:
            self._done.popitem(last=False)

    def add_page(
        self, page: Impression, place: Place = _NOWHERE, read_ms: int | None = None
    ) -> None:
        """A page was served; one that waits or was labelled already is the same page.

        Args:
            place: of its record, for :meth:`held`.
            read_ms: when it was read; no page was served later.
        """
        if page.request_id in self._waiting or page.request_id in self._done or not page.items:
            return
        self._waiting[page.request_id] = _Waiting(page, place)
        self._of_viewer.setdefault(page.viewer_id, {})[page.request_id] = None
        served_ms = page.served_ms if read_ms is None else min(page.served_ms, read_ms)
        self._number += 1
        heapq.heappush(self._order, (served_ms, self._number, page.request_id))
        self._pages.append(page)
        self._held.hold(place)

    def add_event(
        self,
        action: Action,
        event: MediaEvent,
        place: Place = _NOWHERE,
        read_ms: int | None = None,
    ) -> None:
        """Something was done on a media.

        Args:
            place: of its record, for :meth:`held`.
            read_ms: when it was read; nothing was done later.
        """
        at_ms = event.ts if read_ms is None else min(event.ts, read_ms)
        self._events.append(_Early(at_ms + self.config.late_ms, action, event, place))
        self._held.hold(place)

    def due(self, now_ms: int) -> Iterator[LabelledPage]:
        """Label the pages whose events are all there.

        Args:
            now_ms: everything sent up to this time has been read.
        """
        self._assign(now_ms)
        wait_ms = self.config.window_ms + self.config.late_ms
        while self._order and (
            self._order[0][0] + wait_ms < now_ms or len(self._waiting) > self.config.max_pages
        ):
            _, _, request_id = heapq.heappop(self._order)
            waiting = self._waiting.pop(request_id, None)
            if waiting is None:
                continue  # of a viewer who was forgotten
            of_viewer = self._of_viewer[waiting.page.viewer_id]
            del of_viewer[request_id]
            if not of_viewer:
                del self._of_viewer[waiting.page.viewer_id]
            self.remember((request_id,))
            self._held.release(waiting.place)
            for *_, place in waiting.events:
                self._held.release(place)
            yield self._label(waiting)

    def forget(self, is_forgotten: Callable[[str], bool]) -> None:
        """Forget the pages of viewers, by id, and what was done on them.

        Events that wait for their pages leave by themselves after `late_ms`.
        """
        for viewer_id in [name for name in self._of_viewer if is_forgotten(name)]:
            for request_id in self._of_viewer.pop(viewer_id):
                waiting = self._waiting.pop(request_id)
                for place in (waiting.place, *(place for *_, place in waiting.events)):
                    self._held.release(place)
        for early in [one for one in self._events if is_forgotten(one.event.viewer_id)]:
            self._events.remove(early)
            self._held.release(early.place)

    def held(self) -> dict[tuple[str, int], int]:
        """Topic and partition → the lowest offset that has to be read again after a crash."""
        return self._held.lowest()

    def waiting(self) -> dict[str, int]:
        """How many pages wait for their labels, and how many events for their pages."""
        return {"pages": len(self._waiting), "events": len(self._room) + len(self._events)}

    def _assign(self, now_ms: int) -> None:
        """Give each event to its page, keep those whose page may still come."""
        for page in self._pages:
            # One of a newer page may have been waiting for an older one, too.
            self._events += self._room.leave(page.request_id, page.viewer_id)
        self._pages = []
        events, self._events = self._events, []
        for early in events:
            event = early.event
            waiting = self._page_of(event)
            if waiting is not None:
                waiting.events.append(
                    (event.ts, event.undo, early.action, event.media_id, early.place)
                )
                continue
            if event.request_id is not None and event.request_id in self._done:
                self.late += 1
            elif early.until_ms >= now_ms:
                self._room.enter(early)
                continue
            self._held.release(early.place)
        for early in self._room.over(now_ms):
            self._held.release(early.place)
        for early in self._room.beyond(self.config.max_events):
            self.dropped += 1
            self._held.release(early.place)

    def _page_of(self, event: MediaEvent) -> _Waiting | None:
        if event.request_id is not None:
            waiting = self._waiting.get(event.request_id)
            return waiting if waiting and waiting.page.viewer_id == event.viewer_id else None
        of_viewer = self._of_viewer.get(event.viewer_id, {})
        for request_id in islice(reversed(of_viewer), _LOOKED_AT):
            waiting = self._waiting[request_id]
            if waiting.page.served_ms <= event.ts and any(
                item.media_id == event.media_id for item in waiting.page.items
            ):
                return waiting
        return None

    def _label(self, waiting: _Waiting) -> LabelledPage:
        page = waiting.page
        at = {item.media_id: number for number, item in enumerate(page.items)}
        until = page.served_ms + self.config.window_ms
        done: dict[Action, set[int]] = {}
        for ts, undo, action, media_id, _ in sorted(waiting.events):
            number = at.get(media_id)
            if number is None or ts > until:
                continue
            if undo:
                done.get(action, set()).discard(number)
            else:
                done.setdefault(action, set()).add(number)
        viewed = set[int]().union(*(done.get(action, set()) for action in VIEWS))
        acted = set[int]().union(*(done.get(action, set()) for action in STRONG_HEADS))
        seen = viewed | acted if viewed else set(range(len(page.items)))
        return LabelledPage(
            viewer_id=page.viewer_id,
            request_id=page.request_id,
            served_ms=page.served_ms,
            feature_version=page.versions.get("features", ""),
            features=page.features,
            media_ids=[item.media_id for item in page.items],
            first_position=page.page * self.config.page_size + 1,
            propensities=[item.propensity for item in page.items],
            seen=sorted(seen),
            labels={head.word: sorted(places) for head in HEADS if (places := done.get(head))},
            versions=page.versions,
        )


class _Room:
    """Events that wait for their pages, in the order in which the waiting ends."""

    def __init__(self) -> None:
        self._number = 0
        self._size = 0
        # The key under which the page will ask → number → event.
        self._by_key: dict[tuple[str, str], dict[int, _Early]] = {}
        # Also of those that have left.
        self._ends: list[tuple[int, int, tuple[str, str]]] = []

    def __len__(self) -> int:
        return self._size

    def enter(self, early: _Early) -> None:
        """Wait for the page that the event names, or for any of its viewer's."""
        event = early.event
        named = event.request_id is not None
        key = ("page", event.request_id or "") if named else ("viewer", event.viewer_id)
        self._number += 1
        self._by_key.setdefault(key, {})[self._number] = early
        heapq.heappush(self._ends, (early.until_ms, self._number, key))
        self._size += 1

    def leave(self, request_id: str, viewer_id: str) -> list[_Early]:
        """Those that may belong to this page."""
        found: list[_Early] = []
        for key in (("page", request_id), ("viewer", viewer_id)):
            found += self._by_key.pop(key, {}).values()
        self._size -= len(found)
        return found

    def over(self, now_ms: int) -> Iterator[_Early]:
        """Those whose waiting has ended leave."""
        while self._ends and self._ends[0][0] < now_ms:
            yield from self._next()

    def beyond(self, most: int) -> Iterator[_Early]:
        """Those that would wait for the shortest time leave until there are so many."""
        while self._size > most:
            yield from self._next()

    def _next(self) -> Iterator[_Early]:
        _, number, key = heapq.heappop(self._ends)
        of_key = self._by_key.get(key, {})
        early = of_key.pop(number, None)
        if early is None:
            return
        if not of_key:
            del self._by_key[key]
        self._size -= 1
        yield early


class _Held:
    """The lowest offset of each partition that somebody holds."""

    def __init__(self) -> None:
        self._offsets: dict[tuple[str, int], list[int]] = {}
        self._holders: Counter[Place] = Counter()

    def hold(self, place: Place) -> None:
        """Hold the record at a place; twice is held until released twice."""
        self._holders[place] += 1
        if self._holders[place] == 1:
            topic, partition, offset = place
            heapq.heappush(self._offsets.setdefault((topic, partition), []), offset)

    def release(self, place: Place) -> None:
        """Let go of a record that is held."""
        self._holders[place] -= 1
        if not self._holders[place]:
            del self._holders[place]

    def lowest(self) -> dict[tuple[str, int], int]:
        """Topic and partition → the lowest offset held; partitions with none are left out."""
        found: dict[tuple[str, int], int] = {}
        for (topic, partition), offsets in self._offsets.items():
            while offsets and (topic, partition, offsets[0]) not in self._holders:
                heapq.heappop(offsets)
            if offsets:
                found[topic, partition] = offsets[0]
        return found
