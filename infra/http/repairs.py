"""What an operator mends over HTTP: dead letters sent again, versions promoted and rolled back."""

from __future__ import annotations

from typing import Annotated, Any, Final, Protocol

import msgspec
from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel, Field

from infra.http.problems import ProblemError
from infra.http.routes import JSON, Answers, Routes, example_of, refusals

#: Characters of an edited record: more than a dead letter carries.
MOST_VALUE: Final = 512 * 1024


class Redrive(BaseModel):
    """A record to send again."""

    model_config = example_of({"value": '{"event_id": "e1", "viewer_id": "ann", "ts": 1}'})

    value: Annotated[
        str | None,
        Field(max_length=MOST_VALUE, description="The record, edited; as it died by default."),
    ] = None


class Promote(BaseModel):
    """Why a version is to be live."""

    model_config = example_of({"why": "ann: the newest one shows too little of the sea"})

    why: Annotated[str, Field(max_length=200, description="For the list of versions.")] = (
        "promoted over HTTP"
    )


class Back(BaseModel):
    """Which version to go back to."""

    model_config = example_of({"to": None})

    to: Annotated[
        str | None,
        Field(max_length=100, description="One that was live; the one before by default."),
    ] = None


class Repairs(Protocol):
    """Who mends, one thing at a time."""

    async def dead_letters(self) -> dict[str, Any]:
        """The newest dead letters, newest first."""
        ...

    async def dead_letter(self, dead_letter_id: str) -> dict[str, Any]:
        """One of them with its record; LookupError: there is none."""
        ...

    async def redrive(self, dead_letter_id: str, value: str | None) -> dict[str, Any]:
        """Send a record again; LookupError: there is none, ValueError: it would die again."""
        ...

    async def promote(self, kind: str, version: str, why: str) -> dict[str, Any]:
        """Make a version live; ValueError: it cannot be."""
        ...

    async def rollback(self, kind: str, to: str | None) -> dict[str, Any]:
        """Make the version live that was before; ValueError: there is none."""
        ...


_DEAD: Final[dict[str, Any]] = {
    "id": "0:17",
    "error": "bad_ts",
    "topic": "events.like",
    "partition": 2,
    "offset": 4711,
    "key": "ann",
    "first_seen": 1700000000000,
    "message": "ts 0 is no time",
}
_LISTED: Final = {
    "total": 1,
    "redriven": 0,
    "by_error": {"bad_ts": 1},
    "dead_letters": [{**_DEAD, "redriven_ms": None}],
    "newest": 100,
}
_SHOWN: Final = {**_DEAD, "size": 2, "truncated": False, "value": "{}", "redriven": []}
_SENT: Final = {"id": "0:17", "topic": "events.like", "partition": 2, "offset": 4790}
_LIVE: Final = {
    "kind": "rankers",
    "version": "rankers-3d5aee48b7cd",
    "replaced": "rankers-77aa01c2b9e0",
    "previous": None,
    "space": None,
    "accounts": None,
}

LetterId = Annotated[str, Path(max_length=40, description="PARTITION:OFFSET, as they are listed.")]
Kind = Annotated[str, Path(max_length=40, description="`ig2vec`, `rankers` or `items`.")]
Version = Annotated[str, Path(max_length=100, description="As it is listed.")]


def only_json(request: Request) -> None:
    """Refuse what a form of a stranger's page could send in the name of whoever looks at it.

    Raises:
        ProblemError: the body is of another type.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise ProblemError(415, f"Content-Type {kind!r} is not taken; send {JSON}")


def repairs_routes(repairs: Repairs) -> Routes:
    """Dead letters, and which version is live."""
    routes = Routes("repairs")
    as_json = [Depends(only_json)]

    @routes.get("/v1/dead-letters", response_class=Response, responses=_answers(_LISTED))
    async def dead_letters() -> Response:
        """The newest records that could not be applied, with reasons, newest first."""
        return _answer(await repairs.dead_letters())

    @routes.get(
        "/v1/dead-letters/{dead_letter_id}",
        response_class=Response,
        responses=_answers(_SHOWN, 404, 422),
    )
    async def dead_letter(dead_letter_id: LetterId) -> Response:
        """One dead letter with the record as it was sent."""
        try:
            return _answer(await repairs.dead_letter(dead_letter_id))
        except LookupError as error:
            raise ProblemError(404, _says(error)) from error

    @routes.post(
        "/v1/dead-letters/{dead_letter_id}/redrive",
        response_class=Response,
        responses=_answers(_SENT, 404, 409, 415, 422),
        dependencies=as_json,
    )
    async def redrive_dead_letter(dead_letter_id: LetterId, asked: Redrive) -> Response:
        """Send the record to its topic again, edited or not; what would die again is refused."""
        try:
            return _answer(await repairs.redrive(dead_letter_id, asked.value))
        except LookupError as error:
            raise ProblemError(404, _says(error)) from error
        except ValueError as error:
            raise ProblemError(409, str(error)) from error

    @routes.post(
        "/v1/versions/{kind}/{version}/promote",
        response_class=Response,
        responses=_answers(_LIVE, 409, 415, 422),
        dependencies=as_json,
    )
    async def promote_version(kind: Kind, version: Version, asked: Promote) -> Response:
        """Make a stored version live, whatever the gate said. Running processes follow."""
        return await live(repairs.promote(kind, version, asked.why))

    @routes.post(
        "/v1/versions/{kind}/rollback",
        response_class=Response,
        responses=_answers(_LIVE, 409, 415, 422),
        dependencies=as_json,
    )
    async def rollback_version(kind: Kind, asked: Back) -> Response:
        """Make the version live again that was live before. Running processes follow."""
        return await live(repairs.rollback(kind, asked.to))

    async def live(made: Any) -> Response:
        try:
            return _answer(await made)
        except ValueError as error:
            raise ProblemError(409, str(error)) from error

    return routes


def _answer(told: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(told), media_type=JSON)


def _says(error: LookupError) -> str:
    # A KeyError shows its argument in quotes.
    return str(error.args[0]) if error.args else "there is none"


def _answers(example: dict[str, Any], *problems: int) -> Answers:
    content = {JSON: {"schema": {"type": "object"}, "example": example}}
    return {200: {"description": "As asked.", "content": content}, **refusals(*problems)}
