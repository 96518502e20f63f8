"""Spans from a touch to its grid in the store."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from infra.tracing import Traces
from streams.records import Touched

#: Traced viewers who wait at most; of more, those who wait longest are not told of.
MOST: Final = 10_000


class GridTraces:
    """Ends the trace of an event where its grid is stored."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        #: Viewer → when she was first touched, epoch ns, and the traces of her touches.
        self._waiting: OrderedDict[str, tuple[int, list[str]]] = OrderedDict()

    def touched(self, touches: Iterable[Touched]) -> None:
        """These viewers wait for a grid from now on."""
        now_ns = time.time_ns()
        for touch in touches:
            if touch.trace:
                self._waiting.setdefault(touch.viewer_id, (now_ns, []))[1].append(touch.trace)
        while len(self._waiting) > MOST:
            self._waiting.popitem(last=False)

    def stored(self, viewer_ids: Iterable[str]) -> None:
        """The grids of these viewers are stored."""
        if not self._waiting:
            return
        for viewer_id in viewer_ids:
            if (waited := self._waiting.pop(viewer_id, None)) is None:
                continue
            began_ns, parents = waited
            if (span := self._traces.begin("rank", parents, {}, began_ns)) is not None:
                span.end()
