"""Pages in random order from the log, with what came of them: what settings can be judged by.

Read once: the pages of ``explore.impressions`` that are in random order, then the actions. An
action belongs to the page that it names by its ``request_id``, otherwise to the last page before it
that showed the viewer the media, as ``freshgrid experiments`` joins them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import msgspec

from infra.config import Settings
from models.actions import HEADS, Action
from models.evaluation.random_orders import RandomPage
from models.events import InvalidEventError, MediaEvent
from models.explore.impressions import Impression, parse_impression
from streams.recorded.shown_and_done import read_shown_and_done

_TOPICS: Final = tuple(dict.fromkeys(head.row.topic for head in HEADS))
#: What stands in every page in random order and in no other.
_MARK: Final = b'"randomised":{'


class RandomPages:
    """Joins pages in random order and what viewers did with them.

    Args:
        window_ms: an action so long after a page is not of it.

    Attributes:
        skipped: records that could not be read.
    """

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._pages: dict[str, Impression] = {}
        #: Viewer and media → requests that showed it.
        self._shown: dict[tuple[str, str], list[str]] = defaultdict(list)
        #: Request, action and media → when it was last done or taken back, and which.
        self._acts: dict[tuple[str, Action, str], tuple[int, bool]] = {}
        self.skipped = 0

    def __len__(self) -> int:
        return len(self._pages)

    def show(self, value: bytes, at_ms: int) -> None:
        """Take a record of ``explore.impressions``; a page that was asked for again counts once."""
        if _MARK not in value:
            return
        try:
            page = parse_impression(value, at_ms)
        except InvalidEventError:
            self.skipped += 1
            return
        if page.request_id in self._pages or isinstance(page.randomised, msgspec.UnsetType):
            return
        self._pages[page.request_id] = page
        for item in page.items:
            self._shown[page.viewer_id, item.media_id].append(page.request_id)

    def act(self, action: Action, event: MediaEvent) -> None:
        """Join an action with its page; all pages must have been shown before."""
        requests = self._shown.get((event.viewer_id, event.media_id), ())
        named = [request for request in requests if request == event.request_id]
        before = [
            request
            for request in requests
            if 0 <= event.ts - self._pages[request].served_ms <= self._window_ms
        ]
        if not named and not before:
            return
        request = (named or sorted(before, key=lambda of: self._pages[of].served_ms))[-1]
        key, act = (request, action, event.media_id), (event.ts, event.undo)
        self._acts[key] = max(self._acts.get(key, act), act)

    def pages(self) -> list[RandomPage]:
        """All pages, and what was done with them and stands."""
        done: dict[str, dict[Action, set[str]]] = defaultdict(lambda: defaultdict(set))
        for (request, action, media_id), (_, undone) in self._acts.items():
            if not undone:
                done[request][action].add(media_id)
        viewers: dict[str, int] = {}
        found = []
        for request, page in self._pages.items():
            assert not isinstance(page.randomised, msgspec.UnsetType)
            of = done[request]
            found.append(
                RandomPage(
                    viewer=viewers.setdefault(page.viewer_id, len(viewers)),
                    order=page.randomised,
                    media_ids=[item.media_id for item in page.items],
                    done={
                        action: {
                            at for at, item in enumerate(page.items) if item.media_id in media_ids
                        }
                        for action, media_ids in of.items()
                    },
                )
            )
        return found


async def random_pages(settings: Settings, since_ms: int) -> RandomPages:
    """Pages in random order since a time, and what came of them.

    Raises:
        UnreachableError: Kafka does not answer.
        LogReadError: the log cannot be read to its end.
    """
    found = RandomPages(settings.label_window_ms)
    await read_shown_and_done(settings, since_ms, _TOPICS, found)
    return found
