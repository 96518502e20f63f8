"""Routes of one concern, with what OpenAPI is to say of their answers."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter
from pydantic import ConfigDict

from infra.http.problems import KINDS, PROBLEM_JSON, Problem

JSON: Final = "application/json"
#: Where OpenAPI keeps the schemas of types.
REFERENCE: Final = "#/components/schemas/{name}"

Answers = dict[int | str, dict[str, Any]]


def reference(of: type) -> dict[str, str]:
    """The schema of a type, by its name in the document."""
    return {"$ref": REFERENCE.format(name=of.__name__)}


def example_of(body: dict[str, Any]) -> ConfigDict:
    """The configuration of a model of a body that has this example."""
    return ConfigDict(json_schema_extra={"examples": [body]})


class Routes(APIRouter):
    """A router that knows the types its routes answer with.

    Attributes:
        described: types whose schemas belong in the OpenAPI document.
    """

    def __init__(self, tag: str) -> None:
        super().__init__(tags=[tag])
        self.described: list[type] = [Problem]

    def answers(self, of: type, example: Any, *problems: int, status: int = 200) -> Answers:
        """What a route answers: JSON of a type, or one of these problems.

        Args:
            example: as it stands in the JSON.
            problems: status codes, beside those of any such request
                (:func:`infra.http.scopes.refusals_of`).
        """
        self.described.append(of)
        content = {JSON: {"schema": reference(of), "example": example}}
        return {status: {"description": "As asked.", "content": content}, **refusals(*problems)}


def objects(example: dict[str, Any], *problems: int) -> Answers:
    """What a route answers whose JSON has no type of its own: this example tells of it."""
    content = {JSON: {"schema": {"type": "object"}, "example": example}}
    return {200: {"description": "As asked.", "content": content}, **refusals(*problems)}


def refusals(*problems: int) -> Answers:
    """What a route answers where it cannot do what it was asked."""
    return {status: refusal(status) for status in sorted(problems)}


def refusal(status: int) -> dict[str, Any]:
    """What OpenAPI is told of one problem."""
    word, title = KINDS[status]
    example: Mapping[str, Any] = {
        "type": f"urn:freshgrid:problem:{word}",
        "title": title,
        "status": status,
        "detail": _EXAMPLES.get(status, HTTPStatus(status).phrase),
    }
    content = {PROBLEM_JSON: {"schema": reference(Problem), "example": example}}
    return {"description": title, "content": content}


_EXAMPLES: Final[Mapping[int, str]] = {
    400: "cursor 'x' was not given by this service; start without a cursor",
    401: "send a key: Authorization: Bearer KEY; freshgrid keys create makes one",
    403: "backend has no scope 'admin', which PUT /v1/weights needs; make a key that has: "
    "freshgrid keys create",
    404: "no account 'a0' stands in the catalogue; send it to catalog.accounts first",
    408: "the body was not whole after 60 s",
    413: "the body has more than 4194304 bytes; send less at once",
    415: "Content-Type 'text/plain' is not taken; send application/json or application/x-ndjson",
    422: "viewer_id: an id has 1 to 128 bytes; this one has 0",
    429: "backend asks for more than 2000 requests a second; ask again in 0.4 s",
    503: "Redis does not answer at redis://127.0.0.1:6379/0; check REDIS_URL and the server",
}
