"""The door: every route has a scope, every request is looked at, what is too much is refused."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.routing import Mount, Route

from infra.access.guard import Guard
from infra.access.keys import SCOPES, NewKey, new_key
from infra.access.tokens import Tokens
from infra.http.bodies import MOST_BYTES, read_body
from infra.http.door import SHARE, Door, for_origins
from infra.http.problems import handle_problems
from infra.http.scopes import EXPENSIVE, NO_LIMIT, RULES, Rule, refusals_of
from infra.http.streams import Streams
from infra.memory_store import MemoryAccess
from streams.serving.api import Behind, explore_api

OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/"), ("GET", "/assets/{path:path}")}


def routes_of(api: FastAPI) -> set[tuple[str, str]]:
    found = set()
    for route in all_routes(api.routes):
        if isinstance(route, Mount):
            found.add(("GET", f"{route.path}/{{path:path}}"))
        else:
            found |= {(method, route.path) for method in route.methods or () if method != "HEAD"}
    return found


def all_routes(routes: Any) -> list[Any]:
    """Also those of routers that are included as they are."""
    found = []
    for route in routes:
        inner = getattr(route, "original_router", None)
        if isinstance(route, Route | Mount):
            found.append(route)
        elif inner is not None:
            found += all_routes(inner.routes)
        else:
            raise AssertionError(f"a kind of route that this test does not know: {route!r}")
    return found


@pytest.fixture(scope="module")
def api() -> FastAPI:
    behind: Any = Behind(*[None] * len(Behind._fields))
    return explore_api(behind, Streams(), 5.0)


def test_every_route_has_a_scope_and_every_scope_a_route(api: FastAPI) -> None:
    assert routes_of(api) == set(RULES)


def test_nothing_is_open_but_health_and_the_files_of_the_page() -> None:
    assert {route for route, rule in RULES.items() if rule.scope is None} == OPEN


def test_tokens_of_viewers_are_good_for_grid_stream_and_events_alone() -> None:
    assert {path for (_, path), rule in RULES.items() if rule.viewer} == {
        "/v1/explore", "/v1/explore/{viewer_id:path}", "/v1/live", "/v1/live/{viewer_id:path}",
        "/v1/events",
    }  # fmt: skip


async def behind(scope: Any, receive: Any, send: Any) -> None:
    """Answers all that is let in."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"in"})


class Doors:
    """A door with a key of each scope."""

    def __init__(self, app: Any = behind, **more: Any) -> None:
        self.store = MemoryAccess()
        self.keys: dict[str, NewKey] = {of: new_key(of, [of], 0) for of in SCOPES}
        self.guard = Guard(self.store, Tokens(b"s" * 32))
        settings = {"required": True, "per_address_s": 1e9, "at_once": 4, "hold_s": 0.0} | more
        self.door = Door(app, self.guard, **settings)

    async def open(self) -> httpx.AsyncClient:
        for key in self.keys.values():
            await self.store.add(key.key)
        await self.guard.refresh()
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.door, raise_app_exceptions=False),
            base_url="http://127.0.0.1",
        )

    def says(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[key].text}"}


def path_of(template: str) -> str:
    for name in ("viewer_id", "account_id", "media_id", "topic", "path"):
        template = template.replace(f"{{{name}:path}}", "x")
    return (
        template.replace("{dead_letter_id}", "1:2").replace("{kind}", "k").replace("{version}", "v")
    )


async def test_each_key_opens_what_the_table_says_and_nothing_else() -> None:
    doors = Doors()
    async with await doors.open() as http:
        for ((method, path), rule), key in itertools.product(RULES.items(), (*SCOPES, None)):
            headers = doors.says(key) if key else {}
            answer = await http.request(method, path_of(path), headers=headers)
            allowed = rule.scope is None or rule.scope == key
            refused = 401 if key is None else 403
            assert answer.status_code == (299 if allowed else refused), (method, path, key)


async def test_a_token_asks_for_its_viewer_alone() -> None:
    doors = Doors()
    token = doors.guard.tokens.issue("ann/x", SCOPES, doors.keys["read"].key.key_id)
    headers = {"Authorization": f"Bearer {token}"}
    async with await doors.open() as http:
        for path in ("/v1/explore/ann%2Fx", "/v1/live/ann/x?viewer_id=bob",
                     "/v1/explore?viewer_id=ann/x", "/v1/live?viewer_id=ann%2Fx"):  # fmt: skip
            assert (await http.get(path, headers=headers)).status_code == 299, path
        for path in ("/v1/explore/bob", "/v1/explore/ann", "/v1/explore/ann%2Fx%2F",
                     "/v1/explore?viewer_id=bob", "/v1/explore", "/v1/live?viewer_id=",
                     "/v1/explore?viewer_id=ann/x&viewer_id=bob", "/v1/viewers/ann%2Fx",
                     "/v1/media", "/v1/explain?viewer_id=ann/x"):  # fmt: skip
            assert (await http.get(path, headers=headers)).status_code == 403, path
        assert (await http.post("/v1/events", headers=headers)).status_code == 299
        assert (await http.delete("/v1/viewers/ann/x", headers=headers)).status_code == 403
        assert (await http.post("/v1/tokens", headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer x", "Basic eDp5", "bearer  ", "Bearer \xff"]
)
async def test_anything_else_is_no_key(given: str) -> None:
    async with await Doors().open() as http:
        answer = await http.get("/v1/status", headers={"Authorization": given.encode("latin-1")})
    assert (answer.status_code, answer.headers["WWW-Authenticate"][:6]) == (401, "Bearer")


async def test_what_is_not_in_the_table_is_nobodys() -> None:
    doors = Doors()
    async with await doors.open() as http:
        for path in ("/v1/else", "/v1/explore2", "/V1/status", "//v1/status", "/v1/status/"):
            assert (await http.get(path, headers=doors.says("read"))).status_code == 404, path
        assert (await http.put("/v1/status", headers=doors.says("read"))).status_code == 404


async def test_an_answer_tells_browsers_to_be_careful() -> None:
    async with await Doors().open() as http:
        for path in ("/healthz", "/v1/status"):
            headers = (await http.get(path)).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 299),
        ({"Host": "localhost:8000"}, 299),
        ({"Host": "[::1]:8000"}, 299),
        ({"Origin": "http://127.0.0.1"}, 299),
        ({"Host": "evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"X-Forwarded-For": "10.0.0.1"}, 403),
    ],
)
async def test_without_keys_this_machine_alone_asks(headers: dict[str, str], status: int) -> None:
    async with await Doors(required=False).open() as http:
        assert (await http.get("/v1/status", headers=headers)).status_code == status


async def test_pages_from_elsewhere_ask_only_where_they_are_named() -> None:
    doors = Doors(required=False, origins=["https://app.example"])
    async with await doors.open():
        app = for_origins(doors.door, ["https://app.example"])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        for origin, allowed in (("https://app.example", True), ("https://evil.example", False)):
            asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
            leave = await http.options("/v1/explore/v", headers=asked)
            answer = await http.get("/v1/explore/v", headers={"Origin": origin})
            assert answer.status_code == (299 if allowed else 403)
            for one in (leave, answer):
                assert (one.headers.get("Access-Control-Allow-Origin") == origin) is allowed
    assert for_origins(doors.door, []) is doors.door


def routed() -> FastAPI:
    app = FastAPI()
    handle_problems(app)

    @app.post("/v1/query")
    async def query(request: Request, body: dict[str, Any]) -> str:
        return "in"

    @app.post("/v1/events")
    async def events(request: Request) -> int:
        return len(await read_body(request))

    return app


async def test_a_large_body_is_refused_before_it_is_read() -> None:
    doors = Doors(routed())
    read = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1 << 20
            yield b" " * (1 << 20)

    async with await doors.open() as http:
        for path, key in (("/v1/query", "read"), ("/v1/events", "events")):
            headers = doors.says(key) | {"Content-Type": "application/json"}
            told = await http.post(path, content=b" " * (MOST_BYTES + 1), headers=headers)
            assert (told.status_code, told.headers["Connection"]) == (413, "close")
            read = 0
            streamed = await http.post(path, content=parts(), headers=headers)
            assert streamed.status_code == 413, streamed.text
            assert streamed.json()["type"] == "urn:freshgrid:problem:too-large"
    assert {rule.most_bytes for rule in RULES.values()} == {MOST_BYTES, NO_LIMIT}


async def test_who_asks_too_often_is_told_when_to_ask_again() -> None:
    doors = Doors(per_address_s=1.0)
    doors.keys["read"] = new_key("slow", ["read"], 0, per_s=2.0)
    async with await doors.open() as http:
        for headers, most in ((doors.says("read"), 8), ({"Authorization": "Bearer no"}, 4)):
            codes = [(await http.get("/v1/status", headers=headers)).status_code for _ in range(12)]
            assert codes[:most].count(429) == 0
            assert codes[most:] == [429] * (12 - most)
        answer = await http.get("/v1/status", headers=doors.says("read"))
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json()["type"] == "urn:freshgrid:problem:too-many-requests"
        # Who has another key does not wait for them.
        assert (await http.get("/v1/operations", headers=doors.says("admin"))).status_code == 299


async def test_what_it_refuses_is_what_the_description_says() -> None:
    """401, 403, 413, 429, each provoked at every route."""
    doors, hasty = Doors(), Doors(per_address_s=1e-9)
    wrong = {"Authorization": "Bearer fgk_nobody"}
    large = {"Content-Length": str(MOST_BYTES + 1)}
    async with await doors.open() as http, await hasty.open() as hasty_http:
        for (method, path), rule in RULES.items():
            of = (method, path_of(path))
            other = next(scope for scope in SCOPES if scope != rule.scope)
            answers = [
                await http.request(*of, headers=wrong),
                await http.request(*of, headers=doors.says(other)),
                await http.request(*of, headers=doors.says(rule.scope or other) | large),
                *[await hasty_http.request(*of) for _ in range(2)],
            ]
            got = {answer.status_code for answer in answers} - {299}
            if method == "GET":
                got.discard(413)  # Which asks with no body.
            assert {401, 429} <= got, of
            assert got <= refusals_of(method, rule), of


async def test_expensive_requests_are_few_at_once_and_of_several() -> None:
    release = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await behind(scope, receive, send)

    doors = Doors(slow, at_once=SHARE + 1)
    doors.keys["other"] = new_key("other", ["read"], 0)
    async with await doors.open() as http:
        asked = [
            asyncio.ensure_future(http.post("/v1/query", headers=doors.says(key)))
            for key in ["read"] * (SHARE + 1) + ["other"] * 2
        ]
        await asyncio.sleep(0.05)
        release.set()
        codes = [answer.status_code for answer in await asyncio.gather(*asked)]
    assert codes == [299] * SHARE + [503] + [299, 503]
    assert {rule.cost for rule in RULES.values()} == {1.0, EXPENSIVE}
    assert Rule("read").cost == 1.0
