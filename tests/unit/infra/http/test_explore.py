"""What the API takes: every id that an event may carry, and nothing else."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.errors import UnreachableError
from models.events import MAX_ID_BYTES
from tests.http import reading

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=64).filter(
    lambda text: len(text.encode()) <= MAX_ID_BYTES
)


class Reader:
    """Answers with what it is asked for."""

    async def page(self, viewer_id: str, cursor: str | None, *, ids_only: bool = False) -> bytes:
        if viewer_id == "nobody answers":
            raise UnreachableError("Redis does not answer at redis://ann:a-secret@h:1")
        if viewer_id == "waits":
            await asyncio.sleep(60)
        return json.dumps([viewer_id, cursor]).encode()

    async def readiness(self) -> dict[str, bool]:
        raise UnreachableError("Redis answers no read within 1 s")


def get(path: str, **params: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with reading(Reader(), 0.2) as client:
            return await client.get(path, params=params)

    return asyncio.run(ask())


@given(IDS)
@example(".")
@example("..")
@example("a\nb")
@example("\n")
@example("/")
@example("a?b#c&d=%2F")
def test_every_id_can_be_asked_for(viewer_id: str) -> None:
    answer = get("/v1/explore", viewer_id=viewer_id, cursor="c")
    assert (answer.status_code, answer.json()) == (200, [viewer_id, "c"])


@pytest.mark.parametrize("params", [{}, {"viewer_id": ""}, {"viewer_id": "ü" * 65}])
def test_what_is_no_id_is_refused(params: dict[str, str]) -> None:
    assert get("/v1/explore", **params).status_code == 422


def test_what_is_away_is_503_and_says_no_password() -> None:
    answer = get("/v1/explore/nobody answers")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:freshgrid:problem:unavailable",
        "title": "Not now; try again",
        "status": 503,
        "detail": "Redis does not answer at redis://ann:***@h:1",
    }


def test_a_request_ends_in_time() -> None:
    asked_s = time.monotonic()
    answer = get("/v1/explore/waits")
    assert answer.status_code == 503
    assert "within 0.2 s (REQUEST_TIMEOUT_S)" in answer.json()["detail"]
    assert time.monotonic() - asked_s < 2


def test_who_cannot_answer_is_not_ready_and_alive() -> None:
    assert get("/healthz").status_code == 200
    answer = get("/readyz")
    assert answer.status_code == 503
    assert "Redis answers no read" in answer.json()["detail"]
