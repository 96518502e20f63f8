"""The OpenAPI document of the HTTP API, the same whichever versions of libraries made it.

What is made of it: ``docs/openapi.json``, ``docs/http.md`` and the clients in ``infra/client``.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc
from typing import Any, Final, NamedTuple

from infra.http.streams import Streams
from streams.serving.api import Behind, explore_api

JSON: Final = "application/json"
#: Parts of the document that are not about types: they stay as they are.
_EXAMPLES: Final = ("example", "examples")

Schema = dict[str, Any]


class Operation(NamedTuple):
    """One method of one path.

    Attributes:
        answer: schema of what it answers if all is well; None where that is no JSON.
        body: schema of what it is sent as JSON; None for nothing.
    """

    name: str
    method: str
    path: str
    description: str
    parameters: list[dict[str, Any]]
    status: str
    answer: Schema | None
    body: Schema | None
    document: dict[str, Any]


def document() -> dict[str, Any]:
    """The document, tidied."""
    # Nothing is asked, so nothing need stand behind the routes.
    behind: Any = Behind(*[None] * len(Behind._fields))
    made: dict[str, Any] = _tidied(explore_api(behind, Streams(), 5.0).openapi())
    made["info"] = {**made["info"], "title": "Freshgrid"}
    return made


def operations(of: dict[str, Any]) -> Iterator[Operation]:
    """Every operation of the document, in its order."""
    for path, methods in of["paths"].items():
        for method, told in methods.items():
            status = min(told["responses"])
            content = told["responses"][status].get("content", {})
            body = told.get("requestBody", {}).get("content", {})
            yield Operation(
                name=told["operationId"],
                method=method.upper(),
                path=path,
                description=told.get("description", ""),
                parameters=told.get("parameters", []),
                status=status,
                answer=content.get(JSON, {}).get("schema"),
                body=body.get(JSON, {}).get("schema"),
                document=told,
            )


def _tidied(part: Any) -> Any:
    if isinstance(part, dict):
        found = {}
        for name, value in part.items():
            if name in _EXAMPLES:
                found[name] = value
            elif name == "title" and isinstance(value, str):
                continue  # Libraries make it of the name.
            elif name == "description" and isinstance(value, str):
                found[name] = cleandoc(value)
            else:
                found[name] = _tidied(value)
        return found
    if isinstance(part, list):
        return [_tidied(one) for one in part]
    if isinstance(part, float) and part.is_integer():
        return int(part)
    return part
