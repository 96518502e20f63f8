"""Who in this process follows which viewer's grid."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Followed:
    """Events by viewer; a viewer whom nobody follows any more is forgotten."""

    def __init__(self) -> None:
        self._events: dict[str, set[asyncio.Event]] = {}

    def __contains__(self, viewer_id: str) -> bool:
        return viewer_id in self._events

    def viewers(self) -> list[str]:
        """Those who are followed by somebody now."""
        return list(self._events)

    @contextmanager
    def by(self, viewer_id: str) -> Iterator[asyncio.Event]:
        """Follow a viewer until left; gives the event that :meth:`tell` sets."""
        changed = asyncio.Event()
        self._events.setdefault(viewer_id, set()).add(changed)
        try:
            yield changed
        finally:
            events = self._events[viewer_id]
            events.remove(changed)
            if not events:
                del self._events[viewer_id]

    def tell(self, viewer_id: str) -> None:
        """Set the event of everybody who follows this viewer."""
        for changed in self._events.get(viewer_id, ()):
            changed.set()
