"""Asking the ranker of the settings over HTTP.

Errors::

    FreshgridError
    ├── RequestRefusedError   the ranker says what is wrong with the request
    └── UnreachableError      no ranker answers, or not as it should
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from infra.config import Settings
from infra.errors import FreshgridError, UnreachableError

TIMEOUT_S: Final = 15.0


class RequestRefusedError(FreshgridError):
    """The ranker says what is wrong with the request."""


def get(settings: Settings, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The answer to a GET; errors as :func:`post`."""
    return _answer(_url(settings, f"{path}?{urlencode(parameters)}"), None)


def post(settings: Settings, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a POST of JSON.

    Raises:
        RequestRefusedError: the request is wrong.
        UnreachableError: no ranker answers.
    """
    return _answer(_url(settings, path), msgspec.json.encode(body))


def _url(settings: Settings, path: str) -> str:
    host = "127.0.0.1" if settings.http_host in ("0.0.0.0", "::") else settings.http_host
    return f"http://{host}:{settings.http_port}{path}"


def _answer(url: str, body: bytes | None) -> dict[str, Any]:
    request = Request(url, body, {"Content-Type": "application/json"})
    try:
        # No proxy: the ranker is ours.
        with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT_S) as answer:
            found: dict[str, Any] = msgspec.json.decode(answer.read())
            return found
    except HTTPError as error:
        detail = _detail(error.read())
        if error.code in (400, 422):
            raise RequestRefusedError(detail) from error
        raise UnreachableError(f"{url} answered {error.code}: {detail}") from error
    except (URLError, OSError) as error:
        raise UnreachableError(
            f"no ranker answers at {url} ({error}); start `freshgrid ranker` or "
            "`freshgrid up`, or set HTTP_HOST and HTTP_PORT to where one runs"
        ) from error


def _detail(body: bytes) -> str:
    try:
        detail = msgspec.json.decode(body)["detail"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return body.decode("utf-8", "replace")[:500]
    return detail if isinstance(detail, str) else str(detail)
