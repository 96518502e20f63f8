"""First pages that are ready, answered before anything else looks at the request.

A ready page costs one read. What a framework does for every route, to parse, check, resolve and
wrap, costs more than that, so the request for one is recognised here, by path and parameters alone.
Whatever is not exactly that, and every page that has to be made, is left to the routes behind,
which also describe it all.

Where the store answers no read, a page is answered that it gave a moment ago: better an old grid
that says how old than none. Who has none of those waits for the store, like every other request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from infra.errors import UnreachableError
from infra.http.connections import Answer
from infra.http.deadline import Deadline
from infra.http.overdue import Overdue
from models.events import MAX_ID_BYTES

PATH: Final = "/v1/explore"
_BEFORE_ID: Final = f"{PATH}/"
_HEADERS: Final = ((b"content-type", b"application/json"),)
#: Says of a request that the store was waited for in vain.
_WAITED: Final = "freshgrid.waited"
#: A read of a healthy store takes a millisecond; one that takes so long, or the first part of a
#: short limit, is taken for none.
PROMPT_S: Final = 1.0
_PROMPT_PART: Final = 0.5


class ReadyReader(Protocol):
    """Where ready pages come from."""

    async def ready(self, viewer_id: str, *, ids_only: bool = False) -> bytes | None:
        """The first page as JSON where it is ready and current, None where it has to be made.

        Raises:
            UnreachableError: the store answers no read.
        """
        ...

    def ready_soon(
        self, viewer_id: str, told: Callable[[bytes | None], None], *, ids_only: bool = False
    ) -> bool:
        """Ask for the same, and return; `told` is called with it, or with None where it fails.

        Returns:
            False where it has to be asked for by :meth:`ready`; then `told` is not called.
        """
        ...

    def kept(self, viewer_id: str, *, ids_only: bool = False) -> tuple[bytes, float] | None:
        """The first page as JSON as it was answered last and its age in seconds, if it is kept."""
        ...


class ReadyPages:
    """An ASGI application that answers ready first pages and leaves the rest to `app`.

    Args:
        limit_s: seconds within which a request is answered.
    """

    def __init__(self, app: ASGIApp, reader: ReadyReader, limit_s: float) -> None:
        self._app, self._reader = app, reader
        self._prompt_s = min(PROMPT_S, _PROMPT_PART * limit_s)
        self._overdue = Overdue(self._prompt_s)
        self._after_waiting = Deadline(app, limit_s, self._prompt_s)

    def prompt(self, scope: Scope, answer: Answer, otherwise: Callable[[], None]) -> bool:
        """Answer a request for a ready first page as soon as it is read."""
        asked = _asked(scope)
        if asked is None:
            return False
        viewer_id, ids_only = asked
        is_over = False

        def told(body: bytes | None) -> None:
            nonlocal is_over
            if is_over:
                return
            is_over = True
            wait.over()
            if body is None:
                otherwise()
            else:
                answer(_HEADERS, body)

        def give_up() -> None:
            # Which has waited for the store long enough.
            scope[_WAITED] = True
            told(None)

        wait = self._overdue.begin(give_up)
        if not self._reader.ready_soon(viewer_id, told, ids_only=ids_only):
            wait.over()
            return False
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        asked = _asked(scope)
        if asked is None:
            await self._app(scope, receive, send)
            return
        viewer_id, ids_only = asked
        headers = [*_HEADERS]
        try:
            async with asyncio.timeout(0 if scope.pop(_WAITED, False) else self._prompt_s):
                body = await self._reader.ready(viewer_id, ids_only=ids_only)
        except (TimeoutError, UnreachableError):
            if (kept := self._reader.kept(viewer_id, ids_only=ids_only)) is None:
                await self._after_waiting(scope, receive, send)
                return
            body, age_s = kept
            headers.append((b"age", b"%d" % age_s))
        if body is None:
            await self._app(scope, receive, send)
            return
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _asked(scope: Scope) -> tuple[str, bool] | None:
    """Whose first page is asked for, and whether ids are enough; None for any other request."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    path: str = scope["path"]
    if not path.startswith(PATH):
        return None
    viewer_id = path[len(_BEFORE_ID) :] if path.startswith(_BEFORE_ID) else ""
    if not viewer_id and path != PATH:
        return None
    ids_only = False
    if query := scope["query_string"]:
        asked = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        ids_only = asked.get("fields") == "ids"
        if not viewer_id:
            viewer_id = asked.pop("viewer_id", "")
        if asked.keys() - {"fields"} or (asked and not ids_only):
            return None
    if not viewer_id or "\n" in path or len(viewer_id.encode()) > MAX_ID_BYTES:
        return None
    return viewer_id, ids_only
