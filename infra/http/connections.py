"""Connections whose requests may be answered where they are read.

For every request uvicorn starts a task, and writes head and body of its answer one after the other.
That costs more than a ready page, which is one read of the store. So the application is asked first
whether it has a prompt answer (:class:`Prompt`): none waits for anything but that read. Whatever it
does not answer goes the usual way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Protocol, cast, runtime_checkable

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

Headers = tuple[tuple[bytes, bytes], ...]
#: Takes headers, beside the length, and the body of an answer with the status 200.
Answer = Callable[[Headers, bytes], None]

_OK: Final = b"HTTP/1.1 200 OK\r\n"
_CLOSE: Final = b"connection: close\r\n"

logger = logging.getLogger(__name__)


@runtime_checkable
class Prompt(Protocol):
    """An ASGI application that answers some requests without a task."""

    def prompt(self, scope: Scope, answer: Answer, otherwise: Callable[[], None]) -> bool:
        """Answer a request, now or as soon as it can.

        Args:
            otherwise: called instead of `answer` where the application itself is to be called.

        Returns:
            False where neither is going to be called.
        """
        ...


def prompt_of(app: object) -> Callable[[Scope, Answer, Callable[[], None]], bool] | None:
    """:meth:`Prompt.prompt` of an application that has it."""
    return app.prompt if isinstance(app, Prompt) else None


class Connection(HttpToolsProtocol):
    """A connection of somebody who asks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prompt = prompt_of(self.app)
        # Headers as they are written, with those before them that uvicorn renews every second.
        self._written: tuple[Any, Headers, bytes] = (None, (), b"")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begin to answer a request."""

        def answer(headers: Headers, body: bytes) -> None:
            if not cycle.disconnected:
                self._answer(cycle, headers, body)

        def otherwise() -> None:
            if not cycle.disconnected:
                super(Connection, self)._start_asgi_task(cycle, app)

        scope = cast(Scope, cycle.scope)
        # Who does not read what was written is waited for by the usual way alone.
        prompt = self._prompt if not self.flow.write_paused else None
        if prompt is None or not prompt(scope, answer, otherwise):
            super()._start_asgi_task(cycle, app)

    def _answer(self, cycle: RequestResponseCycle, headers: Headers, body: bytes) -> None:
        close = b"" if cycle.keep_alive else _CLOSE
        length = b"content-length: %d\r\n\r\n" % len(body)
        self.transport.write(b"".join((self._head(headers), close, length, body)))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _head(self, headers: Headers) -> bytes:
        renewed, of, head = self._written
        if renewed is not self.server_state.default_headers or of is not headers:
            renewed = self.server_state.default_headers
            lines = (b"%b: %b\r\n" % header for header in (*renewed, *headers))
            head = b"".join((_OK, *lines))
            self._written = renewed, headers, head
        return head
