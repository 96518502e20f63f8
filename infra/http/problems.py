"""Errors as RFC 9457 wants them: ``application/problem+json``, one shape for all.

::

    Exception
    └── ProblemError    a request that is answered with a problem: status, sentence, places
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from infra.errors import UnreachableError
from infra.secrets import masked

PROBLEM_JSON: Final = "application/problem+json"
#: Seconds after which a client may well try again.
RETRY_AFTER_S: Final = 1
#: Places told of one request at most; what is wrong a thousand times is understood before.
MOST_PLACES: Final = 100

logger = logging.getLogger(__name__)


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of several mistakes, and where it is.

    Attributes:
        detail: one sentence.
        pointer: JSON Pointer into the body, as a URI fragment: ``#/weights/like``.
        parameter: name of a parameter of path or query.
        reason: a stable word, where the record's own check gave one.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    reason: str | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was not answered with what it asked for (RFC 9457).

    Attributes:
        type: names the kind of problem: ``urn:freshgrid:problem:`` and a word.
        title: the kind in words, the same for all of a kind.
        status: of the response.
        detail: one sentence about this request: what is wrong, and what to do.
        errors: the places, where there are several or they can be named.
    """

    type: str
    title: str
    status: int
    detail: str
    errors: list[Place] | None = None


#: Status → the word in `type`, and what it is called.
KINDS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("bad-request", "The request cannot be understood"),
    401: ("unauthorised", "A key or token is needed"),
    403: ("forbidden", "The key or token is not good for this"),
    404: ("not-found", "There is no such thing"),
    405: ("method-not-allowed", "The resource does not take this method"),
    408: ("timeout", "The request came too slowly"),
    409: ("conflict", "It cannot be done as things are"),
    413: ("too-large", "The request is larger than is taken"),
    415: ("unsupported-media-type", "The body is of a type that is not taken"),
    422: ("invalid", "What was sent is not valid"),
    429: ("too-many-requests", "Too many requests; try again later"),
    500: ("internal", "The service failed"),
    503: ("unavailable", "Not now; try again"),
}


class ProblemError(Exception):
    """A request that is answered with a problem."""

    def __init__(self, status: int, detail: str, errors: Sequence[Place] = ()) -> None:
        super().__init__(detail)
        self.status, self.errors = status, errors


def problem(
    status: int,
    detail: str,
    errors: Sequence[Place] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response that tells a problem."""
    word, title = KINDS.get(status) or _of_http(status)
    places = list(errors[:MOST_PLACES])
    body = Problem(
        type=f"urn:freshgrid:problem:{word}",
        title=title,
        status=status,
        detail=masked(detail),
        errors=[msgspec.structs.replace(p, detail=masked(p.detail)) for p in places] or None,
    )
    return Response(msgspec.json.encode(body), status, dict(headers or {}), PROBLEM_JSON)


def unavailable(detail: str) -> Response:
    """The answer to a request that may be answered later."""
    return problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def handle_problems(api: FastAPI) -> None:
    """Answer whatever goes wrong in `api` with a problem."""

    @api.exception_handler(ProblemError)
    async def told(_: Request, error: ProblemError) -> Response:
        if error.status == 503:
            return unavailable(str(error))
        return problem(error.status, str(error), error.errors)

    @api.exception_handler(UnreachableError)
    async def unreachable(_: Request, error: UnreachableError) -> Response:
        return unavailable(str(error))

    @api.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        places = [_place(found) for found in error.errors()]
        return problem(422, "; ".join(_named(place) for place in places[:3]), places)

    @api.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        detail = str(error.detail)
        if error.status_code in (404, 405):
            detail = f"{detail}: {request.method} {request.url.path}; GET /docs shows what there is"
        return problem(error.status_code, detail, headers=error.headers)

    @api.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        # Starlette raises it again behind this answer, and the server's log has it whole.
        return problem(500, f"{type(error).__name__}: {error}; the ranker's log says more")


def _of_http(status: int) -> tuple[str, str]:
    phrase = HTTPStatus(status).phrase
    return phrase.lower().replace(" ", "-"), phrase


def _place(found: Mapping[str, Any]) -> Place:
    part, *names = found["loc"]
    detail = str(found["msg"]).removeprefix("Value error, ")
    if part == "body":
        return Place(detail=detail, pointer="#" + "".join(f"/{name}" for name in names))
    return Place(detail=detail, parameter=".".join(map(str, names)))


def _named(place: Place) -> str:
    return f"{place.parameter or place.pointer}: {place.detail}"
