"""What an editor of queries needs to know: the operators there are, and the queries that serve."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec
from fastapi import Response

from infra.http.routes import JSON, Routes


class ParameterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of an operator.

    Attributes:
        wants: what it accepts, in words: ``a whole number``.
        default: used where it is left out; null for none.
        choices: all values it accepts, where they can be told.
    """

    name: str
    wants: str
    required: bool
    default: bool | int | float | str | None = None
    choices: list[str] = []


class OperatorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One operator.

    Attributes:
        takes: types of the sets it may stand after: viewer, accounts, media.
        gives: the type it gives; null where it gives the one that it took.
        summary: one sentence.
    """

    name: str
    takes: list[str]
    gives: str | None
    summary: str
    parameters: list[ParameterRecord]


class IgqlReference(msgspec.Struct, frozen=True):
    """Operators in the order of their declaration, and the live queries: name → text."""

    operators: list[OperatorRecord]
    queries: dict[str, str]


class Language(Protocol):
    """Who knows the operators that queries may use here."""

    def reference(self) -> IgqlReference:
        """Operators and live queries, as they are now."""
        ...


_EXAMPLE: Final[dict[str, Any]] = {
    "operators": [
        {
            "name": "popular",
            "takes": ["viewer"],
            "gives": "media",
            "summary": "The most popular media.",
            "parameters": [
                {
                    "name": "max_num_to_retrieve", "wants": "a whole number", "required": False,
                    "default": 200, "choices": [],
                }
            ],
        }
    ],
    "queries": {"explore": "user.popular(max_num_to_retrieve=500)"},
}  # fmt: skip


def igql_routes(language: Language) -> Routes:
    """The language of queries, as this process speaks it."""
    routes = Routes("explore")

    @routes.get(
        "/v1/igql", response_class=Response, responses=routes.answers(IgqlReference, _EXAMPLE)
    )
    async def igql() -> Response:
        """Operators that queries may use, those added here included, and the live queries."""
        return Response(msgspec.json.encode(language.reference()), media_type=JSON)

    return routes
