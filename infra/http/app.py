"""The application: routes of every concern, one shape of errors, one OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from infra.http.deadline import Deadline
from infra.http.problems import KINDS, PROBLEM_JSON, Problem, handle_problems
from infra.http.routes import REFERENCE, Routes, reference, refusal
from infra.http.scopes import RULES, UNKNOWN, refusals_of

DESCRIPTION: Final = """\
The open, self-hosted Explore: events in, every viewer's grid out.

Ids are strings of 1 to 128 bytes; times are epoch milliseconds. Whatever goes wrong is told as
`application/problem+json` (RFC 9457): `type` names the kind, `detail` says what to do."""


def create_api(limit_s: float, rooms: Iterable[Routes]) -> FastAPI:
    """The API of some concerns.

    Args:
        limit_s: seconds within which every request begins to be answered.
        rooms: the routes of each concern.
    """
    api = FastAPI(
        title="Freshgrid",
        version="1",
        description=DESCRIPTION,
        docs_url="/docs",
        redoc_url=None,
        # What clients that are generated call it.
        generate_unique_id_function=lambda route: route.name,
    )
    api.add_middleware(Deadline, limit_s=limit_s)
    handle_problems(api)
    kept = list(rooms)
    for room in kept:
        api.include_router(room)
    _describe(api, kept)
    return api


def _describe(api: FastAPI, rooms: Sequence[Routes]) -> None:
    """Let the OpenAPI document of `api` have the schemas of our types, examples and errors."""
    named = {of.__name__: of for of in (Problem, *(of for room in rooms for of in room.described))}
    types = list(named.values())

    def openapi() -> dict[str, Any]:
        if not api.openapi_schema:
            found = get_openapi(
                title=api.title, version=api.version, description=api.description, routes=api.routes
            )
            schemas = found.setdefault("components", {}).setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas |= msgspec.json.schema_components(types, ref_template=REFERENCE)[1]
            for path in found["paths"].values():
                for operation in path.values():
                    _told_as_problem(operation["responses"])
            for room in rooms:
                _keep_examples(found["paths"], room)
                _add_refusals(found, room)
            api.openapi_schema = found
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]


def _keep_examples(paths: dict[str, Any], room: Routes) -> None:
    """Examples as they are: FastAPI leaves out of them what is null."""
    for route in room.routes:
        assert isinstance(route, APIRoute)
        for method in route.methods or ():
            answers = paths[route.path_format][method.lower()]["responses"]
            for status, told in route.responses.items():
                for kind, content in told.get("content", {}).items():
                    if "example" in content:
                        answers[str(status)]["content"][kind]["example"] = content["example"]


def _add_refusals(document: dict[str, Any], room: Routes) -> None:
    """By which statuses any such request may be refused, told once and named by each route."""
    shared = document["components"].setdefault("responses", {})
    for route in room.routes:
        assert isinstance(route, APIRoute)
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            told = {}
            for status in sorted(refusals_of(method, RULES.get((method, route.path), UNKNOWN))):
                word, _ = KINDS[status]
                shared.setdefault(word, refusal(status))
                told[str(status)] = {"$ref": f"#/components/responses/{word}"}
            operation["responses"] = dict(sorted((told | operation["responses"]).items()))


def _told_as_problem(responses: dict[str, Any]) -> None:
    """What FastAPI says of requests that are not valid, as they are answered here."""
    told = responses.get("422", {})
    if PROBLEM_JSON not in told.get("content", {PROBLEM_JSON: None}):
        told["content"] = {PROBLEM_JSON: {"schema": reference(Problem)}}
