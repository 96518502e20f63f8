"""The API under requests made from its own description: no error of ours, whatever is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from infra.http.app import create_api
from infra.http.explore import explore_routes
from infra.http.state import state_routes
from infra.http.weights import weights_routes
from models.explore.impressions import Page

schemathesis: Any = pytest.importorskip("schemathesis")


class Reader:
    """A ranker with nothing behind it that refuses what a real one refuses."""

    async def page(self, viewer_id: str, cursor: str | None, *, ids_only: bool = False) -> bytes:
        if cursor is not None:
            raise ValueError("cursor is none of this viewer")
        return b'{"items": []}'

    async def query(self, viewer_id: str, text: str) -> bytes:
        if "user" not in text:
            raise ValueError("line 1: expected user")
        return b"{}"

    async def explain(self, viewer_id: str, media_id: str | None) -> bytes:
        return json.dumps([viewer_id, media_id]).encode()

    async def rerank(self, viewer_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        raise ValueError("weights: nothing to rerank by")

    async def readiness(self) -> dict[str, Any]:
        return {"ready": True, "caught_up": True}

    def status(self) -> dict[str, Any]:
        return {"caught_up": True}

    async def index(self) -> dict[str, Any]:
        return {"accounts": 0}


class Desk:
    """Weights that take numbers."""

    def weights(self) -> dict[str, Any]:
        return {"arms": {}}

    async def set_weights(self, who: str, arm: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        if not all(isinstance(value, float) for value in changes.values()):
            raise ValueError("a weight is a number")
        return {"who": who, "arm": arm}


ROOMS = (
    explore_routes(Reader(), Page), weights_routes(Desk(), Reader()), state_routes(Reader()),
)  # fmt: skip
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", create_api(5.0, ROOMS))


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_is_an_error_of_ours(case: Any) -> None:
    answer = case.call()
    assert answer.status_code < 500, answer.text
