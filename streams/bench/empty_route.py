"""The ranker as it runs in production, with one more route: an answer of so many bytes, of nothing.

``python -m streams.bench.empty_route ranker``; what the route costs is what the
server costs that goes the usual way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from infra.config import Settings
from infra.http.connections import Answer, prompt_of
from infra.http.server import serving
from infra.http.streams import Streams
from streams.app import main
from streams.roles import ranker as role

PATH: Final = "/bench/empty/"


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


def _with_empty_answers(plain: Any) -> Any:
    def served(api: ASGIApp, settings: Settings, streams: Streams) -> Any:
        return plain(EmptyAnswers(api), settings, streams)

    return served


if __name__ == "__main__":
    vars(role)["serving"] = _with_empty_answers(serving)
    main()
