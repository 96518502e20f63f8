"""Mending over HTTP: what is refused, and how."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from infra.http.repairs import repairs_routes
from tests.http import client_of


class Bench:
    """Mends nothing, and says what it was asked."""

    async def dead_letters(self) -> dict[str, Any]:
        return {"dead_letters": []}

    async def dead_letter(self, dead_letter_id: str) -> dict[str, Any]:
        raise LookupError(f"there is no dead letter {dead_letter_id}")

    async def redrive(self, dead_letter_id: str, value: str | None) -> dict[str, Any]:
        if value == "bad":
            raise ValueError("it would die again: bad")
        return {"asked": [dead_letter_id, value]}

    async def promote(self, kind: str, version: str, why: str) -> dict[str, Any]:
        if kind == "none":
            raise ValueError("there is no kind 'none'")
        return {"asked": [kind, version, why]}

    async def rollback(self, kind: str, to: str | None) -> dict[str, Any]:
        return {"asked": [kind, to]}


@pytest.fixture
def client() -> httpx.AsyncClient:
    return client_of(repairs_routes(Bench()))


async def test_what_is_asked_arrives(client: httpx.AsyncClient) -> None:
    for path, body, asked in (
        ("/v1/dead-letters/0:1/redrive", {}, ["0:1", None]),
        ("/v1/dead-letters/0:1/redrive", {"value": "{}"}, ["0:1", "{}"]),
        ("/v1/versions/items/v/promote", {"why": "w"}, ["items", "v", "w"]),
        ("/v1/versions/items/rollback", {}, ["items", None]),
        ("/v1/versions/items/rollback", {"to": "v"}, ["items", "v"]),
    ):
        answer = await client.post(path, json=body)
        assert (answer.status_code, answer.json()) == (200, {"asked": asked})


async def test_what_cannot_be_is_a_problem(client: httpx.AsyncClient) -> None:
    for answer, status in (
        (await client.get("/v1/dead-letters/9:9"), 404),
        (await client.post("/v1/dead-letters/0:1/redrive", json={"value": "bad"}), 409),
        (await client.post("/v1/versions/none/v/promote", json={}), 409),
        (await client.post("/v1/versions/items/v/promote", json={"why": "w" * 201}), 422),
    ):
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_a_form_of_a_strangers_page_mends_nothing(
    client: httpx.AsyncClient, kind: str | None
) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    for path in (
        "/v1/dead-letters/0:1/redrive",
        "/v1/versions/items/v/promote",
        "/v1/versions/items/rollback",
    ):
        answer = await client.post(path, content=b"{}", headers=headers)
        assert answer.status_code in (415, 422)
