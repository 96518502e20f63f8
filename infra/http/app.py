"""The application: routes of every concern, one shape of errors, one OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from infra.http.deadline import Deadline
from infra.http.problems import PROBLEM_JSON, Problem, handle_problems
from infra.http.routes import REFERENCE, Routes, reference

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
    described: dict[str, type] = {Problem.__name__: Problem}
    for room in rooms:
        api.include_router(room)
        described |= {of.__name__: of for of in room.described}
    _describe(api, list(described.values()))
    return api


def _describe(api: FastAPI, types: list[type]) -> None:
    """Let the OpenAPI document of `api` have the schemas of these types, and our errors."""

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
            api.openapi_schema = found
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]


def _told_as_problem(responses: dict[str, Any]) -> None:
    """What FastAPI says of requests that are not valid, as they are answered here."""
    told = responses.get("422", {})
    if PROBLEM_JSON not in told.get("content", {PROBLEM_JSON: None}):
        told["content"] = {PROBLEM_JSON: {"schema": reference(Problem)}}
