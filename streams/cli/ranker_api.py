"""Asking the ranker of the settings over HTTP.

Errors::

    FreshgridError
    ├── RequestRefusedError   the ranker says what is wrong with the request
    └── UnreachableError      no ranker answers, or not as it should
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http.client import HTTPException
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

import msgspec

from infra.certificates import client_context, http_url
from infra.config import Settings
from infra.errors import FreshgridError, SettingsError, UnreachableError

TIMEOUT_S: Final = 15.0


class RequestRefusedError(FreshgridError):
    """The ranker says what is wrong with the request."""


class Ranker(NamedTuple):
    """Where a ranker answers.

    Attributes:
        url: without a path.
        key: that is sent; empty for none.
        tls: whom it trusts, for ``https``.
    """

    url: str
    key: str
    tls: ssl.SSLContext | None


def ranker_of(settings: Settings, url: str = "") -> Ranker:
    """The ranker of the settings, or another one that is asked with their ``API_KEY``.

    Raises:
        SettingsError: `url` is none.
    """
    if url:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"{url!r} is no address; write it as http://HOST:PORT")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        return Ranker(url.rstrip("/"), settings.api_key, tls)
    host = settings.http_host
    if host in ("0.0.0.0", "::"):
        settings = settings.model_copy(update={"http_host": "127.0.0.1"})
    tls = _own_certificate(settings.http_certificate_file)
    return Ranker(http_url(settings, settings.http_port), settings.api_key, tls)


def _own_certificate(file: str) -> ssl.SSLContext | None:
    """Trusts the ranker's own certificate, which is of the name that others use."""
    if not file:
        return None
    context = client_context("HTTP", file, "", "")
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def get(
    ranker: Settings | Ranker, path: str, parameters: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """The answer to a GET; errors as :func:`post`."""
    return _answer(ranker, f"{path}?{urlencode(parameters)}" if parameters else path, None)


def post(ranker: Settings | Ranker, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a POST of JSON.

    Raises:
        RequestRefusedError: the request is wrong.
        UnreachableError: no ranker answers, or not to this key.
    """
    return _answer(ranker, path, msgspec.json.encode(body))


def _answer(ranker: Settings | Ranker, path: str, body: bytes | None) -> dict[str, Any]:
    if isinstance(ranker, Settings):
        ranker = ranker_of(ranker)
    url = f"{ranker.url}{path}"
    request = Request(url, body, {"Content-Type": "application/json"})
    if ranker.key:
        request.add_header("Authorization", f"Bearer {ranker.key}")
    try:
        # No proxy: the ranker is ours.
        opener = build_opener(ProxyHandler({}), HTTPSHandler(context=ranker.tls))
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            found: dict[str, Any] = msgspec.json.decode(answer.read())
            return found
    except HTTPError as error:
        detail = _detail(error.read())
        if error.code in (400, 422):
            raise RequestRefusedError(detail) from error
        if error.code in (401, 403):
            detail += " (this command sends the key in API_KEY or API_KEY_FILE)"
        raise UnreachableError(f"{url} answered {error.code}: {detail}") from error
    except (OSError, HTTPException, msgspec.DecodeError) as error:
        reason = getattr(error, "reason", error)
        raise UnreachableError(
            f"no ranker answers at {ranker.url} ({reason}); start `freshgrid ranker` or "
            "`freshgrid up`, or set HTTP_HOST and HTTP_PORT to where one runs"
        ) from error


def _detail(body: bytes) -> str:
    try:
        detail = msgspec.json.decode(body)["detail"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return body.decode("utf-8", "replace")[:500]
    return detail if isinstance(detail, str) else str(detail)
