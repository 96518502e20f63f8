"""The ranker as it runs in production, with one more route: an answer of so many bytes, of nothing.

``python -m streams.bench.empty_route ranker``; what the route costs is what the server and the door
before it (who asks, for what, how often) cost every route.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from infra.http.connections import Answer, prompt_of
from infra.http.ready_pages import ReadyPages, ReadyReader
from streams.app import main
from streams.roles import ranker as role

#: Of no media: the door looks at it as at every other path that may be read.
PATH: Final = "/v1/media/bench/empty/"


class EmptyAnswers:
    """Answers without looking at anything."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._prompt = prompt_of(app)
        self._bodies: dict[str, bytes] = {}

    def prompt(self, scope: Scope, answer: Answer, otherwise: Callable[[], None]) -> bool:
        """What is not empty is answered as in production."""
        if self._prompt is None or scope["path"].startswith(PATH):
            return False
        return self._prompt(scope, answer, otherwise)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PATH):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        body = self._bodies.get(path)
        if body is None:
            body = self._bodies[path] = b"x" * int(path[len(PATH) :])
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _ready_pages(app: ASGIApp, reader: ReadyReader, limit_s: float) -> ASGIApp:
    return EmptyAnswers(ReadyPages(app, reader, limit_s))


if __name__ == "__main__":
    vars(role)["ReadyPages"] = _ready_pages
    main()
