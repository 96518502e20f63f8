"""A ranker whose requests with a header pass by the door: what the door costs, in one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from infra.http.connections import Answer
from infra.http.door import Door
from streams.app import main
from streams.roles import ranker as role

PAST: Final = b"x-past-the-door"


def _passes(scope: Scope) -> bool:
    return any(name == PAST for name, _ in scope["headers"])


class Passable(Door):
    """The door, and a way past it, by both ways in."""

    def prompt(self, scope: Scope, answer: Answer, otherwise: Callable[[], None]) -> bool:
        """Answer a request without a task."""
        if self._prompt is not None and _passes(scope):
            return self._prompt(scope, answer, otherwise)
        return super().prompt(scope, answer, otherwise)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and _passes(scope):
            await self._app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


if __name__ == "__main__":
    of: Any = vars(role)
    of["Door"] = Passable
    main()
