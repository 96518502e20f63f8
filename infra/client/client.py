"""Asking a ranker over HTTP, from code that waits and from code that does not.

::

    Exception
    ├── ProblemError       the ranker answered with a problem (RFC 9457)
    └── httpx.HTTPError    no answer, or none in time
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx

from .generated import AsyncCalls, Calls, Imported, Page, Place

NDJSON: Final = "application/x-ndjson"
#: A stream says something at least every 15 s.
STREAM_TIMEOUT_S: Final = 60.0
#: Not now; the answer says when.
AGAIN: Final = (429, 503)


class ProblemError(Exception):
    """The ranker answered with a problem.

    Attributes:
        status: of the answer.
        type: the kind of problem.
        detail: one sentence: what is wrong, and what to do.
        errors: the places, where they can be named.
    """

    def __init__(self, status: int, told: Mapping[str, Any]) -> None:
        self.status = status
        self.type: str = told.get("type", "about:blank")
        self.detail: str = told.get("detail", "")
        self.errors: list[Place] = told.get("errors", [])
        super().__init__(f"{status}: {self.detail}")


class Client(Calls):
    """Asks, and waits for the answer.

    Args:
        base_url: of the ranker, or of what stands before it.
        timeout_s: for an answer.
        tries: how often a request is sent that is answered 429 or 503. All requests bear it.
        key: an API key or a viewer's token; without, none is sent.
    """

    def __init__(
        self, base_url: str, *, timeout_s: float = 10.0, tries: int = 3, key: str | None = None
    ) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            timeout=timeout_s,
            trust_env=not _is_local(base_url),
            headers=_saying(key),
        )
        self._tries = tries

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections; it asks nothing more."""
        self._http.close()

    def _call(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> Any:
        for attempt in range(1, self._tries + 1):
            answer = self._http.request(method, path, params=_given(query), json=body)
            if answer.status_code not in AGAIN or attempt == self._tries:
                break
            time.sleep(_pause_s(answer))
        return _told(answer)

    @contextmanager
    def live(self, viewer_id: str) -> Iterator[Iterator[Page]]:
        """The viewer's first page, at once and whenever it changes, until the context is left."""
        with self._http.stream(
            "GET", "/v1/live", params={"viewer_id": viewer_id}, timeout=STREAM_TIMEOUT_S
        ) as answer:
            if answer.is_error:
                answer.read()
                _told(answer)
            yield _pages(answer.iter_lines())

    def import_lines(self, lines: Iterable[bytes]) -> Imported:
        """Send lines of events and of the catalogue, each a JSON object with its ``topic``."""
        ended = (line.rstrip(b"\n") + b"\n" for line in lines)
        answer = self._http.post("/v1/import", content=ended, headers={"Content-Type": NDJSON})
        imported: Imported = _told(answer)
        return imported

    def export(self, kind: Literal["media", "accounts"]) -> Iterator[bytes]:
        """The catalogue as lines that :meth:`import_lines` takes."""
        with self._http.stream("GET", f"/v1/export/{kind}", timeout=STREAM_TIMEOUT_S) as answer:
            if answer.is_error:
                answer.read()
                _told(answer)
            for line in answer.iter_lines():
                yield line.encode()


class AsyncClient(AsyncCalls):
    """The same for coroutines.

    Args:
        base_url: of the ranker, or of what stands before it.
        timeout_s: for an answer.
        tries: how often a request is sent that is answered 429 or 503. All requests bear it.
        key: an API key or a viewer's token; without, none is sent.
    """

    def __init__(
        self, base_url: str, *, timeout_s: float = 10.0, tries: int = 3, key: str | None = None
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=timeout_s,
            trust_env=not _is_local(base_url),
            headers=_saying(key),
        )
        self._tries = tries

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections; it asks nothing more."""
        await self._http.aclose()

    async def _call(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> Any:
        for attempt in range(1, self._tries + 1):
            answer = await self._http.request(method, path, params=_given(query), json=body)
            if answer.status_code not in AGAIN or attempt == self._tries:
                break
            await asyncio.sleep(_pause_s(answer))
        return _told(answer)

    @asynccontextmanager
    async def live(self, viewer_id: str) -> AsyncIterator[AsyncIterator[Page]]:
        """The viewer's first page, at once and whenever it changes, until the context is left."""
        async with self._http.stream(
            "GET", "/v1/live", params={"viewer_id": viewer_id}, timeout=STREAM_TIMEOUT_S
        ) as answer:
            if answer.is_error:
                await answer.aread()
                _told(answer)
            yield _pages_async(answer.aiter_lines())

    async def import_lines(self, lines: Iterable[bytes]) -> Imported:
        """Send lines of events and of the catalogue, each a JSON object with its ``topic``."""

        async def ended() -> AsyncIterator[bytes]:
            for line in lines:
                yield line.rstrip(b"\n") + b"\n"

        headers = {"Content-Type": NDJSON}
        answer = await self._http.post("/v1/import", content=ended(), headers=headers)
        imported: Imported = _told(answer)
        return imported

    async def export(self, kind: Literal["media", "accounts"]) -> AsyncIterator[bytes]:
        """The catalogue as lines that :meth:`import_lines` takes."""
        path = f"/v1/export/{kind}"
        async with self._http.stream("GET", path, timeout=STREAM_TIMEOUT_S) as answer:
            if answer.is_error:
                await answer.aread()
                _told(answer)
            async for line in answer.aiter_lines():
                yield line.encode()


def _is_local(base_url: str) -> bool:
    """Whether no proxy stands in between."""
    return urlsplit(base_url).hostname in ("127.0.0.1", "localhost", "::1")


def _saying(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _pause_s(answer: httpx.Response) -> float:
    told = answer.headers.get("Retry-After", "1")
    return float(told) if told.isdigit() else 1.0


def _told(answer: httpx.Response) -> Any:
    """What an answer says.

    Raises:
        ProblemError: it is a problem.
    """
    if not answer.is_error:
        return answer.json()
    try:
        told = answer.json()
    except ValueError:
        told = {"detail": answer.text[:500]}
    raise ProblemError(
        answer.status_code, told if isinstance(told, dict) else {"detail": str(told)}
    )


def _pages(lines: Iterator[str]) -> Iterator[Page]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: ") and name == "grid":
            yield json.loads(line.removeprefix("data: "))


async def _pages_async(lines: AsyncIterator[str]) -> AsyncIterator[Page]:
    name = ""
    async for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: ") and name == "grid":
            yield json.loads(line.removeprefix("data: "))
