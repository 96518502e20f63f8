"""A ranker whose requests with a header pass by the door: what the door costs, in one process."""

from __future__ import annotations

from typing import Any, Final

from starlette.types import Receive, Scope, Send

from infra.http.door import Door
from streams.app import main
from streams.roles import ranker as role

PAST: Final = b"x-past-the-door"


class Passable(Door):
    """The door, and a way past it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and any(name == PAST for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


if __name__ == "__main__":
    of: Any = vars(role)
    of["Door"] = Passable
    main()
