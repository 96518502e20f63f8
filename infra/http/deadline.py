"""Every request is answered in time: with what was asked for, or with 503 and why not."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.http.problems import unavailable


class Deadline:
    """An ASGI application whose requests begin to be answered within a time.

    The time begins anew with each part of a body that comes in. What a request waits for when its
    time is over is cancelled.

    Args:
        limit_s: the time, in seconds.
        spent_s: what of it has passed when a request comes in here.
    """

    def __init__(self, app: ASGIApp, limit_s: float, spent_s: float = 0.0) -> None:
        self._app, self._limit_s, self._spent_s = app, limit_s, spent_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = asyncio.timeout(self._limit_s - self._spent_s)

        async def receiving() -> Message:
            message = await receive()
            if not limit.expired() and limit.when() is not None:
                limit.reschedule(asyncio.get_running_loop().time() + self._limit_s)
            return message

        async def sending(message: Message) -> None:
            if not limit.expired():
                limit.reschedule(None)
            await send(message)

        try:
            async with limit:
                await self._app(scope, receiving, sending)
        except TimeoutError:
            if not limit.expired():
                raise
            await late(self._limit_s)(scope, receive, send)


def late(limit_s: float) -> Response:
    """The answer to a request whose time is over."""
    return unavailable(
        f"no answer within {limit_s:g} s (REQUEST_TIMEOUT_S): what it needs is away or busy, the "
        "ranker's log says what; try again"
    )
