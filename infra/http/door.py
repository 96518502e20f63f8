"""What every request comes through before anything else looks at it.

Who asks (:mod:`infra.access.guard`) and whether that may (:mod:`infra.http.scopes`), how often and
how much; and what every answer says to browsers. What is refused is refused before its body is
read.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.access.guard import ANYBODY, LOOPBACK, Caller, Guard
from infra.access.rates import Rates
from infra.http.connections import Answer, Headers, prompt_of
from infra.http.problems import problem
from infra.http.scopes import NO_LIMIT, UNKNOWN, Rule, rule_of, viewer_of
from infra.metrics import HTTP_REFUSED

#: A refusal is held back for a moment, so that who only waits for it to ask again asks less often.
HOLD_S: Final = 0.25
#: A body that is read whole comes within this.
BODY_S: Final = 60.0
#: Refusals held back at once; each is a connection.
MOST_HELD: Final = 1_000
#: Of the expensive requests under way, so many at most are of one caller.
SHARE: Final = 2
#: The address of a network of this many bits is one address: a household has all of it.
IPV6_BITS: Final = 64

#: Where a request has what :meth:`Door.prompt` found.
_LOOKED_AT: Final = "freshgrid.door"

_POLICY: Final = b"default-src 'none'; frame-ancestors 'none'"
#: Of every answer that does not say otherwise. Grids are nobody else's business: no cache keeps
#: them.
HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _POLICY),
    (b"cross-origin-resource-policy", b"same-origin"),
)

logger = logging.getLogger(__name__)


class RefusedError(Exception):
    """A request that goes no further.

    Attributes:
        held: whether the answer is held back.
    """

    def __init__(
        self, status: int, detail: str, *, why: str, held: bool = False, retry_s: float = 0.0
    ) -> None:
        super().__init__(detail)
        self.status, self.why, self.held, self.retry_s = status, why, held, retry_s

    def response(self) -> Response:
        """The answer; the connection ends with it, whatever else was to come on it."""
        headers = {"Connection": "close"} if self.status == 413 else {}
        if self.retry_s:
            headers["Retry-After"] = str(math.ceil(self.retry_s))
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="freshgrid"'
        return problem(self.status, str(self), headers=headers)


class Door:
    """An ASGI application before another one.

    Args:
        required: whether a key is asked for; without, only this machine may ask, by its own name.
        per_address_s: requests per second of one address without a key.
        at_once: expensive requests under way.
        origins: whose pages may ask from a browser, beside its own.
        hold_s: seconds that a refusal is held back.
    """

    def __init__(
        self,
        app: ASGIApp,
        guard: Guard,
        *,
        required: bool,
        per_address_s: float,
        at_once: int,
        origins: Collection[str] = (),
        hold_s: float = HOLD_S,
    ) -> None:
        self._app, self._guard, self._required = app, guard, required
        #: Headers of the last prompt answer, without and with ours: mostly those of the next.
        self._usual: tuple[Headers, Headers] = (), HEADERS
        self._prompt = prompt_of(app)
        self._per_address_s, self._at_once, self._hold_s = per_address_s, at_once, hold_s
        self._origins = frozenset(origins)
        self._rates = Rates()
        self._expensive: Counter[str] = Counter()
        self._held = 0

    def prompt(self, scope: Scope, answer: Answer, otherwise: Callable[[], None]) -> bool:
        """Let in a request that the application behind answers without a task.

        Every request is looked at once: what was found is with it where it comes in by the other
        way, which holds refusals back and bounds what is expensive.
        """
        if self._prompt is None:
            return False
        try:
            scope[_LOOKED_AT] = self._let_in(scope, _headers(scope))
        except RefusedError as refused:
            scope[_LOOKED_AT] = refused
            return False

        def with_headers(headers: Headers, body: bytes) -> None:
            if headers is not self._usual[0]:
                self._usual = headers, headers + HEADERS
            answer(self._usual[1], body)

        return self._prompt(scope, with_headers, otherwise)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let it in."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        try:
            looked_at = scope.pop(_LOOKED_AT, None)
            if isinstance(looked_at, RefusedError):
                raise looked_at
            rule, caller = looked_at or self._let_in(scope, _headers(scope))
        except RefusedError as refused:
            HTTP_REFUSED.labels(refused.why).inc()
            if refused.held and self._hold_s and self._held < MOST_HELD:
                self._held += 1
                try:
                    await asyncio.sleep(self._hold_s)
                finally:
                    self._held -= 1
            await refused.response()(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        if rule.scope == "admin":
            logger.info("%s %s by %s", scope["method"], scope["path"], caller.name)
        if scope["method"] not in ("GET", "HEAD"):
            receive = self._bounded(rule, receive)
        if rule.cost == 1.0:
            await self._app(scope, receive, send)
            return
        self._expensive[caller.name] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._expensive[caller.name] -= 1
            self._expensive += Counter()

    def _let_in(self, scope: Scope, headers: Mapping[bytes, bytes]) -> tuple[Rule, Caller]:
        """What is asked for, and who asks.

        Raises:
            RefusedError: it is not to be answered.
        """
        path: str = scope["path"]
        rule = rule_of(scope["method"], path)
        caller = self._caller(scope, headers, rule)
        if rule.scope is not None and rule.scope not in caller.scopes:
            if rule is UNKNOWN:
                raise RefusedError(404, f"there is no {scope['method']} {path}", why="unknown")
            raise RefusedError(
                403,
                f"{caller.name} has no scope {rule.scope!r}, which {scope['method']} {path} needs; "
                "make a key that has: freshgrid keys create",
                why="scope",
            )
        if caller.viewer_id is not None and rule.scope is not None and rule.viewer != "body":
            named = None
            if rule.viewer is not None:
                named = viewer_of(rule, path, scope["query_string"])
            if named != caller.viewer_id:
                raise RefusedError(
                    403,
                    f"this token is good for the grid, the stream and the events of viewer "
                    f"{caller.viewer_id!r} alone",
                    why="viewer",
                )
        if (length := headers.get(b"content-length")) is not None and (
            not length.isdigit() or int(length) > rule.most_bytes
        ):
            raise _too_large(rule)
        if rule.cost > 1.0 and caller is not ANYBODY:
            self._room_for(caller)
        return rule, caller

    def _caller(self, scope: Scope, headers: Mapping[bytes, bytes], rule: Rule) -> Caller:
        """Who asks, within what it may ask."""
        given = headers.get(b"authorization")
        if not self._required and given is None:
            _check_loopback(headers, self._origins)
            return ANYBODY
        caller = None
        if given is not None:
            kind, _, credential = given.partition(b" ")
            if kind.lower() == b"bearer":
                caller = self._guard.caller(credential.strip())
        if caller is None or caller.viewer_id is not None:
            self._take(_address(scope), self._per_address_s, rule.cost)
        if caller is not None:
            if caller.per_s != math.inf:
                self._take(caller.name, caller.per_s, rule.cost)
            return caller
        if given is not None:
            raise RefusedError(
                401,
                "this key or token is not valid, or not any more; ask whoever runs Freshgrid for "
                "one (freshgrid keys create)",
                why="credential",
                held=True,
            )
        if rule.scope is not None:
            raise RefusedError(
                401,
                "send a key: Authorization: Bearer KEY; freshgrid keys create makes one",
                why="no key",
            )
        return ANYBODY._replace(name="nobody", scopes=frozenset())

    def _take(self, who: str, per_s: float, cost: float) -> None:
        wait_s = self._rates.wait_s(who, per_s, cost)
        if wait_s:
            raise RefusedError(
                429,
                f"{who} asks for more than {per_s:g} requests a second; ask again in "
                f"{wait_s:.1f} s",
                why="rate",
                held=True,
                retry_s=wait_s,
            )

    def _room_for(self, caller: Caller) -> None:
        under_way = self._expensive.total()
        if under_way >= self._at_once or self._expensive[caller.name] >= SHARE:
            raise RefusedError(
                503,
                f"{under_way} queries and the like are being answered, as many as may be at once "
                "(EXPENSIVE_AT_ONCE); ask again in a moment",
                why="busy",
                held=True,
                retry_s=1.0,
            )

    def _bounded(self, rule: Rule, receive: Receive) -> Receive:
        """`receive` that takes no more than the rule allows."""
        if rule.most_bytes == NO_LIMIT:
            return receive
        size, until_s = 0, time.monotonic() + BODY_S

        async def receiving() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            # The routes' own kind of error, which nothing on the way takes for a broken body.
            if size > rule.most_bytes:
                HTTP_REFUSED.labels("too large").inc()
                raise HTTPException(413, str(_too_large(rule)), {"Connection": "close"})
            if message.get("more_body") and time.monotonic() > until_s:
                HTTP_REFUSED.labels("too slow").inc()
                raise HTTPException(
                    408, f"the body was not whole after {BODY_S:g} s", {"Connection": "close"}
                )
            return message

        return receiving


def for_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """`app` for pages of these origins, too; browsers ask for its leave without a key."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type"],
    )


def caller_of(state: Any) -> Caller:
    """Who asks, by a request's state; anybody where nothing stands before the routes."""
    return getattr(state, "caller", ANYBODY)


def _too_large(rule: Rule) -> RefusedError:
    return RefusedError(
        413, f"the body has more than {rule.most_bytes} bytes; send less at once", why="too large"
    )


def _headers(scope: Scope) -> dict[bytes, bytes]:
    # Of a header that comes twice none is taken for the other's: the last one counts everywhere.
    return dict(scope["headers"])


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = message["headers"]
            have = {name.lower() for name, _ in given}
            message["headers"] = [*given, *(of for of in HEADERS if of[0] not in have)]
        await send(message)

    return sending


def _check_loopback(headers: Mapping[bytes, bytes], origins: Collection[str]) -> None:
    """Without keys this machine alone is answered: no page of somebody else's, and no proxy.

    Raises:
        RefusedError: it is asked from elsewhere.
    """
    host = _host(headers.get(b"host", b""))
    if host not in LOOPBACK:
        raise RefusedError(
            403,
            f"asked for as {host!r}: without keys Freshgrid answers to this machine's own name "
            "alone; set REQUIRE_KEYS=true and make a key (freshgrid keys create)",
            why="host",
        )
    if b"x-forwarded-for" in headers or b"forwarded" in headers:
        raise RefusedError(
            403,
            "a proxy stands before Freshgrid, so anybody may ask: set REQUIRE_KEYS=true and make a "
            "key (freshgrid keys create)",
            why="proxy",
        )
    if (given := headers.get(b"origin")) is None:
        return
    origin = given.decode("latin-1")
    own = headers.get(b"host", b"").decode("latin-1")
    if origin and origin not in origins and origin.rpartition("//")[2] != own:
        raise RefusedError(403, "asked for by a page from elsewhere", why="origin")


@lru_cache(maxsize=64)
def _host(value: bytes) -> str:
    try:
        return urlsplit(f"//{value.decode('latin-1')}").hostname or ""
    except ValueError:
        return ""


def _address(scope: Scope) -> str:
    """The address that asks; of IPv6 the network."""
    host: str = (scope.get("client") or ("", 0))[0]
    if ":" not in host:
        return host
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(ip_network((address, IPV6_BITS), strict=False))
