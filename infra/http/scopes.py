"""Who may ask for what: every route with the scope that it needs, here and nowhere else.

A route that is not here is nobody's but an administrator's, and a test fails for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl

from starlette.routing import compile_path

from infra.access.keys import Scope
from infra.http.bodies import MOST_BYTES

#: A request that takes the time of so many usual ones.
EXPENSIVE: Final = 20.0
#: Of a body that is read as it comes, line by line.
NO_LIMIT: Final = 1 << 62

#: Where a request says whose it is.
Where = Literal["path", "query", "body"]


class Rule(NamedTuple):
    """What a route asks for.

    Attributes:
        scope: None for what anybody may ask.
        viewer: where it names its only viewer; None: a viewer's token is no good for it.
        cost: in usual requests; what costs more than one is expensive.
        most_bytes: of its body.
    """

    scope: Scope | None
    viewer: Where | None = None
    cost: float = 1.0
    most_bytes: int = MOST_BYTES


_OPEN: Final = Rule(None)
_READ: Final = Rule("read")
_ADMIN: Final = Rule("admin")
_ASK: Final = Rule("read", cost=EXPENSIVE)

#: Method and path, as the routes are declared.
RULES: Final[Mapping[tuple[str, str], Rule]] = {
    # How the process is, without a word on what it holds; and the page's own files.
    ("GET", "/healthz"): _OPEN,
    ("GET", "/readyz"): _OPEN,
    ("GET", "/"): _OPEN,
    ("GET", "/assets/{path:path}"): _OPEN,
    # Grids.
    ("GET", "/v1/explore/{viewer_id:path}"): Rule("read", viewer="path"),
    ("GET", "/v1/explore"): Rule("read", viewer="query"),
    ("GET", "/v1/live/{viewer_id:path}"): Rule("read", viewer="path"),
    ("GET", "/v1/live"): Rule("read", viewer="query"),
    # What anybody may see who may ask at all.
    ("GET", "/v1/accounts"): _READ,
    ("GET", "/v1/accounts/{account_id:path}"): _READ,
    ("GET", "/v1/media"): _READ,
    ("GET", "/v1/media/{media_id:path}"): _READ,
    ("GET", "/v1/similar/accounts"): _READ,
    ("GET", "/v1/similar/media"): _READ,
    ("POST", "/v1/similar/accounts"): _ASK,
    ("POST", "/v1/similar/media"): _ASK,
    ("GET", "/v1/popular"): _READ,
    ("GET", "/v1/fresh"): _READ,
    ("GET", "/v1/topics"): _READ,
    ("GET", "/v1/map"): _READ,
    ("GET", "/v1/topics/{topic:path}"): _READ,
    ("GET", "/v1/igql"): _READ,
    ("GET", "/v1/weights"): _READ,
    ("GET", "/v1/versions"): _READ,
    ("GET", "/v1/experiments"): _READ,
    ("GET", "/v1/status"): _READ,
    ("GET", "/v1/index"): _READ,
    ("GET", "/docs"): _READ,
    ("GET", "/docs/oauth2-redirect"): _READ,
    ("GET", "/openapi.json"): _READ,
    # Of any viewer.
    ("GET", "/v1/viewers"): _READ,
    ("GET", "/v1/viewers/{viewer_id:path}"): _READ,
    ("POST", "/v1/query"): _ASK,
    ("GET", "/v1/explain"): _ASK,
    ("POST", "/v1/rerank"): _ASK,
    ("POST", "/v1/tokens"): _READ,
    # What producers send.
    ("POST", "/v1/events"): Rule("events", viewer="body"),
    ("PUT", "/v1/catalogue/media"): Rule("events"),
    ("PUT", "/v1/catalogue/accounts"): Rule("events"),
    ("POST", "/v1/import"): Rule("events", most_bytes=NO_LIMIT),
    # What changes what is served, holds others' words, or is everything at once.
    ("DELETE", "/v1/viewers/{viewer_id:path}"): _ADMIN,
    ("PUT", "/v1/weights"): _ADMIN,
    ("PUT", "/v1/experiments"): _ADMIN,
    ("GET", "/v1/experiments/history"): _ADMIN,
    ("GET", "/v1/experiments/outcomes"): _ADMIN,
    ("GET", "/v1/export/media"): _ADMIN,
    ("GET", "/v1/export/accounts"): _ADMIN,
    ("GET", "/v1/operations"): _ADMIN,
    ("GET", "/v1/dead-letters"): _ADMIN,
    ("GET", "/v1/dead-letters/{dead_letter_id}"): _ADMIN,
    ("POST", "/v1/dead-letters/{dead_letter_id}/redrive"): _ADMIN,
    ("POST", "/v1/versions/{kind}/{version}/promote"): _ADMIN,
    ("POST", "/v1/versions/{kind}/rollback"): _ADMIN,
}

#: What is not in the table.
UNKNOWN: Final = Rule("admin")

_EXACT: Final = {route: rule for route, rule in RULES.items() if "{" not in route[1]}
#: The part of a path before its first parameter → what may follow.
_AFTER: Final[dict[str, list[tuple[str, re.Pattern[str], Rule]]]] = {}
for (_method, _path), _rule in RULES.items():
    if "{" in _path:
        _entry = (_method, compile_path(_path)[0], _rule)
        _AFTER.setdefault(_path.partition("{")[0], []).append(_entry)


def rule_of(method: str, path: str) -> Rule:
    """What a request for this path asks for, by the patterns that the router goes by, too."""
    method = "GET" if method == "HEAD" else method
    exact = _EXACT.get((method, path))
    if exact is not None:
        return exact
    for before, routes in _AFTER.items():
        if path.startswith(before):
            for of, pattern, rule in routes:
                if of == method and pattern.match(path):
                    return rule
    return UNKNOWN


def refusals_of(method: str, rule: Rule) -> frozenset[int]:
    """The statuses by which any such request may be refused, whatever its route does.

    401, 403 and 429 by who asks and how often, 408 and 413 by the body that it brings, 503 where
    too much is under way or the answer does not come in time.
    """
    of_body = method not in ("GET", "HEAD") and rule.most_bytes != NO_LIMIT
    return frozenset({401, 403, 429, 503} | ({408, 413} if of_body else set()))


def viewer_of(rule: Rule, path: str, query: bytes) -> str | None:
    """The only viewer that a request's address names, None where it names none or several."""
    if rule.viewer == "path":
        for before, routes in _AFTER.items():
            if path.startswith(before):
                for _, pattern, of in routes:
                    if of is rule and (found := pattern.match(path)):
                        return found["viewer_id"]
        return None
    named = {
        value
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        if name == "viewer_id"
    }
    return named.pop() if len(named) == 1 else None
