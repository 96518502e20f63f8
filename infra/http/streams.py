"""Server-Sent Events: answers that go on until the client or the process ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final

from starlette.responses import StreamingResponse

from infra.http.problems import ProblemError

#: Streams of one process at once: each holds a connection and a task.
MOST_STREAMS: Final = 500
#: Nothing happened for so long: the client learns that the connection stands.
KEEP_ALIVE_S: Final = 15.0
KEEP_ALIVE: Final = b": keep-alive\n\n"
EVENT_STREAM: Final = "text/event-stream"


class Streams:
    """The streams of one process: how many there may be, and their common end.

    Args:
        most: at once.

    Attributes:
        open: how many there are.
    """

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self._most = most
        self._closing = asyncio.Event()
        self.open = 0

    def close(self) -> None:
        """End all streams; further ones end at once."""
        self._closing.set()

    async def wait(self, changed: asyncio.Event, limit_s: float = KEEP_ALIVE_S) -> bool:
        """Wait for `changed`, at most a time; returns whether to go on at all."""
        await self._first_of([changed, self._closing], limit_s)
        return not self._closing.is_set()

    async def pause(self, seconds: float) -> bool:
        """Let a time pass; returns whether to go on at all."""
        await self._first_of([self._closing], seconds)
        return not self._closing.is_set()

    async def _first_of(self, events: Iterable[asyncio.Event], limit_s: float) -> None:
        waiting = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waiting, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def answer(self, events: AsyncIterator[bytes]) -> StreamingResponse:
        """The response that sends `events`.

        Raises:
            ProblemError: there are too many streams.
        """
        if self.open >= self._most:
            raise ProblemError(
                503, f"{self._most} streams are open, as many as one process takes; try again later"
            )
        # Proxies (nginx) would wait for more of it.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._counted(events), 200, headers, EVENT_STREAM)

    async def _counted(self, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self.open += 1
        try:
            async for event in events:
                yield event
        finally:
            self.open -= 1


def event(name: str, data: bytes, event_id: str | None = None) -> bytes:
    """One event of a stream; `data` has no line feeds, as JSON on one line has none."""
    lines: Iterable[bytes] = (
        *((b"id: %s" % event_id.encode(),) if event_id is not None else ()),
        b"event: %s" % name.encode(),
        b"data: %s" % data,
    )
    return b"\n".join(lines) + b"\n\n"
