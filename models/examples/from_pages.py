"""Served pages and what viewers did on them → labelled pages, each once.

A page waits until its labels are known: `window_ms` of acting on it and `late_ms` for events on
their way. An event names its page by `request_id`; without one it counts for the newest waiting
page of the viewer that showed the media, with another one it belongs elsewhere.

Which items were seen: where the client tells of views on the page, those viewed and those acted
on; where it never does, all of them.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

import msgspec
import numpy as np

from models.actions import HEAD_NAMES, HEADS, STRONG_HEADS, VIEWS, Action
from models.arrays.id_table import hash_id
from models.events import Id, MediaEvent, check, check_ids, check_times, decode_value
from models.examples.examples import Examples
from models.examples.from_events import sample_share
from models.explore.impressions import (
    LAST_POSITION,
    MOST_ITEMS,
    Impression,
    unpack_features,
)


class LabelledPage(msgspec.Struct, frozen=True, kw_only=True):
    """A served page with what came of it, as ``explore.examples`` carries it.

    Attributes:
        request_id: of the page; there is one record for each.
        served_ms: when it was served.
        feature_version, features: as served, of all items (:mod:`models.explore.impressions`).
        media_ids: of all items, in order.
        first_position: place of the first item in the viewer's series of pages, from 1.
        propensities: probability that each item was shown where it was.
        seen: positions within the page of the items that were seen.
        labels: action → positions within the page of the items it was done on.
        versions: live versions when the page was made.
    """

    viewer_id: Id
    request_id: Id
    served_ms: int
    feature_version: str
    features: str
    media_ids: list[str]
    first_position: int
    propensities: list[float]
    seen: list[int]
    labels: dict[str, list[int]]
    versions: dict[str, str] = {}


class JoinConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How long labels are waited for.

    Attributes:
        window_ms: an event counts for a page served at most this long before it.
        late_ms: how much longer a page waits, for events that come late.
        page_size: items of a page that is full, as all but the last of a series are.
        max_pages: pages that wait at most; beyond, the oldest is labelled early.
        max_remembered: request ids remembered, so that a page read twice is labelled once.
    """

    window_ms: int = 10 * 60 * 1000
    late_ms: int = 60 * 1000
    page_size: int = 25
    max_pages: int = 50_000
    max_remembered: int = 1_000_000


#: Where a record stands: topic, partition and offset.
Place = tuple[str, int, int]
_NOWHERE: Final = ("", 0, 0)


class _Waiting(msgspec.Struct):
    page: Impression
    place: Place
    events: list[tuple[int, bool, Action, str, Place]] = []


class ExampleJoin:
    """Joins labels to pages.

    Pages and events come in any order as long as both come before :meth:`due` is asked with a
    time beyond the page's window; an event before its page waits for it.

    Attributes:
        late: events that came after their page was labelled.
    """

    def __init__(self, config: JoinConfig | None = None) -> None:
        self.config = config or JoinConfig()
        self.late = 0
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        # Viewer → request ids of the pages that wait, oldest first.
        self._of_viewer: dict[str, list[str]] = {}
        self._done: OrderedDict[str, None] = OrderedDict()
        # Read before the page they may belong to, by time of arrival.
        self._events: deque[tuple[Place, Action, MediaEvent]] = deque()

    def remember(self, request_ids: Iterable[str]) -> None:
        """Pages that were labelled by an earlier process."""
        for request_id in request_ids:
            self._done[request_id] = None
        while len(self._done) > self.config.max_remembered:
            self._done.popitem(last=False)

    def add_page(self, page: Impression, place: Place = _NOWHERE) -> None:
        """A page was served; one that waits or was labelled already is the same page.

        Args:
            place: of its record, for :meth:`held`.
        """
        if page.request_id in self._waiting or page.request_id in self._done or not page.items:
            return
        self._waiting[page.request_id] = _Waiting(page, place)
        self._of_viewer.setdefault(page.viewer_id, []).append(page.request_id)

    def add_event(self, action: Action, event: MediaEvent, place: Place = _NOWHERE) -> None:
        """Something was done on a media."""
        self._events.append((place, action, event))

    def due(self, now_ms: int) -> Iterator[LabelledPage]:
        """Label the pages whose events are all there.

        Args:
            now_ms: everything sent up to this time has been read.
        """
        self._assign(now_ms)
        wait_ms = self.config.window_ms + self.config.late_ms
        ready = [name for name, of in self._waiting.items() if of.page.served_ms + wait_ms < now_ms]
        beyond = len(self._waiting) - len(ready) - self.config.max_pages
        if beyond > 0:
            chosen = set(ready)
            ready += [name for name in self._waiting if name not in chosen][:beyond]
        for request_id in ready:
            waiting = self._waiting.pop(request_id)
            of_viewer = self._of_viewer[waiting.page.viewer_id]
            of_viewer.remove(request_id)
            if not of_viewer:
                del self._of_viewer[waiting.page.viewer_id]
            self.remember((request_id,))
            yield self._label(waiting)

    def held(self) -> dict[tuple[str, int], int]:
        """Topic and partition → the lowest offset that has to be read again after a crash."""
        lowest: dict[tuple[str, int], int] = {}
        waiting = (
            place
            for of in self._waiting.values()
            for place in (of.place, *(event[4] for event in of.events))
        )
        for topic, partition, offset in chain(waiting, (event[0] for event in self._events)):
            known = lowest.get((topic, partition), offset)
            lowest[topic, partition] = min(known, offset)
        return lowest

    def _assign(self, now_ms: int) -> None:
        """Give each event to its page, keep those whose page may still come."""
        kept: deque[tuple[Place, Action, MediaEvent]] = deque()
        oldest_ms = now_ms - self.config.late_ms
        for place, action, event in self._events:
            waiting = self._page_of(event)
            if waiting is not None:
                waiting.events.append((event.ts, event.undo, action, event.media_id, place))
            elif event.request_id is not None and event.request_id in self._done:
                self.late += 1
            elif event.ts >= oldest_ms:
                kept.append((place, action, event))
        self._events = kept

    def _page_of(self, event: MediaEvent) -> _Waiting | None:
        if event.request_id is not None:
            waiting = self._waiting.get(event.request_id)
            return waiting if waiting and waiting.page.viewer_id == event.viewer_id else None
        for request_id in reversed(self._of_viewer.get(event.viewer_id, [])):
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


def page_examples(page: LabelledPage, negative_rate: float) -> Examples:
    """The seen items of a page as examples, with the features of when they were served.

    Args:
        page: as it was labelled.
        negative_rate: share of the items that only views came of that is kept; the same
            ones every time.

    Raises:
        OtherFeaturesError: its features are of another version.
        ServedFeaturesError: they are broken.
    """
    features = unpack_features(page.features, len(page.media_ids), page.feature_version)
    labels_nh = np.zeros((len(page.media_ids), len(HEAD_NAMES)), np.float32)
    for h, name in enumerate(HEAD_NAMES):
        labels_nh[page.labels.get(name, []), h] = 1.0
    strong = [HEADS.index(head) for head in STRONG_HEADS]
    positive_n = labels_nh[:, strong].max(axis=1) > 0
    rows = np.array(
        [
            row
            for row in page.seen
            if positive_n[row] or sample_share(f"{page.request_id} {row}") < negative_rate
        ],
        np.int64,
    )
    n = len(rows)
    return Examples(
        features=features.take(rows),
        labels_nh=labels_nh[rows],
        weights_n=np.where(positive_n[rows], 1.0, 1.0 / negative_rate).astype(np.float32),
        groups_n=np.full(n, hash_id(page.viewer_id), np.int64),
        ts_n=np.full(n, page.served_ms, np.int64),
        positions_n=(page.first_position + rows).astype(np.int16),
    )


def parse_labelled_page(value: bytes | None, now_ms: int) -> LabelledPage:
    """Read one record of ``explore.examples``; its features are read by :func:`page_examples`.

    Raises:
        InvalidEventError: nothing can be learned from it.
    """
    page = decode_value(_page, value)
    check_ids(page, "viewer_id", "request_id")
    check_times(page, now_ms, "served_ms")
    n = len(page.media_ids)
    check(n <= MOST_ITEMS, "media_ids", f"are {n}; a page has at most {MOST_ITEMS}")
    last = page.first_position + n - 1
    check(
        page.first_position >= 1 and last <= LAST_POSITION,
        "first_position",
        f"{page.first_position} is not from 1 to {LAST_POSITION - n + 1}",
    )
    check(
        len(page.propensities) == n and all(0.0 < of <= 1.0 for of in page.propensities),
        "propensities",
        f"are not {n} numbers in (0, 1]",
    )
    for name, places in (("seen", page.seen), *page.labels.items()):
        check(
            all(0 <= place < n for place in places),
            name,
            f"names places that are not on a page of {n} items",
        )
        check(len(set(places)) == len(places), name, "names a place twice")
    return page


_page = msgspec.json.Decoder(LabelledPage)
