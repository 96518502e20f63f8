"""Whatever goes wrong is told in one shape."""

from __future__ import annotations

import pytest

from infra.http.routes import Routes
from tests.http import client_of, reading


class Reader:
    """Fails."""

    async def page(self, viewer_id: str, cursor: str | None) -> bytes:
        raise RuntimeError(f"no grid of {viewer_id} at redis://ann:a-secret@h:1")


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("GET", "/v1/nothing", 404, "not-found"),
        ("DELETE", "/v1/explore", 405, "method-not-allowed"),
        ("GET", "/v1/explore", 422, "invalid"),
        ("GET", "/v1/explore/v", 500, "internal"),
        ("POST", "/v1/query", 422, "invalid"),
    ],
)
async def test_every_error_is_a_problem(method: str, path: str, status: int, word: str) -> None:
    async with reading(Reader()) as client:
        answer = await client.request(method, path)
    told = answer.json()
    assert answer.status_code == told["status"] == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert told["type"] == f"urn:freshgrid:problem:{word}"
    assert {"title", "detail"} <= told.keys()
    assert "a-secret" not in answer.text


async def test_parameters_that_are_wrong_are_named() -> None:
    async with reading(Reader()) as client:
        answer = await client.get("/v1/explore", params={"viewer_id": "", "cursor": "c" * 3000})
    told = answer.json()
    assert {place["parameter"] for place in told["errors"]} == {"viewer_id", "cursor"}
    assert "viewer_id: an id has 1 to 128 bytes; this one has 0" in told["detail"]


async def test_the_document_tells_of_problems_alone() -> None:
    rooms = Routes("x")

    @rooms.get("/x")
    async def x(n: int) -> int:
        """Tells the number."""
        return n

    async with client_of(rooms) as client:
        document = (await client.get("/openapi.json")).json()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert list(document["paths"]["/x"]["get"]["responses"]["422"]["content"]) == [
        "application/problem+json"
    ]
