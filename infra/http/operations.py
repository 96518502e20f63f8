"""Whether anything is wrong: what an operator looks at first, in one answer."""

from __future__ import annotations

from typing import Final, Literal, Protocol

import msgspec
from fastapi import Response

from infra.http.routes import JSON, Routes
from infra.recent import Spread


class Trouble(msgspec.Struct, frozen=True):
    """Something that is not as it should be.

    Attributes:
        severity: ``wrong`` is to be mended now, ``look`` can wait until somebody has time.
        what: a stable word.
        says: what is so, in a sentence.
        remedy: what to do first.
    """

    severity: Literal["wrong", "look"]
    what: str
    says: str
    remedy: str


class TopicRecords(msgspec.Struct, frozen=True):
    """Records that were ever appended to a topic: what is more at the next look came meanwhile."""

    topic: str
    records: int


class GroupLag(msgspec.Struct, frozen=True):
    """Records of a topic that a consumer group of a role has not committed."""

    role: str
    group: str
    topic: str
    records: int


class LogState(msgspec.Struct, frozen=True):
    """The log, as the broker tells of it."""

    topics: list[TopicRecords]
    lag: list[GroupLag]


class Funnel(msgspec.Struct, frozen=True):
    """Of grids audited: media best by the final pass, and those that an earlier pass had cut."""

    best: int
    lost: dict[str, int]


class GridFigures(msgspec.Struct, frozen=True):
    """What this ranker knows of its grids; counts are since it started.

    Attributes:
        event_to_grid: from a viewer's newest event to the stored grid with it, in the last minute;
            null where nobody did anything.
        making: to make one grid, in the last minute.
        by_source: media in the grids, by the source that brought them.
        stale_reads: ready grids answered that are not of what is live; null where that is not
            counted.
    """

    made: int
    failed: int
    waiting: int
    event_to_grid: Spread | None
    making: Spread | None
    by_source: dict[str, int]
    funnel: Funnel
    stale_reads: int | None


class Memory(msgspec.Struct, frozen=True):
    """Of the store's server, in bytes; `limit_bytes` is null where it has none."""

    used_bytes: int
    limit_bytes: int | None


class RoleState(msgspec.Struct, frozen=True):
    """A role, as far as it can be known from here.

    Attributes:
        state: ``up``: it answers. ``keeps_up``, ``behind``: by what its groups have committed.
            ``unknown``: nothing tells.
    """

    role: str
    state: Literal["up", "keeps_up", "behind", "unknown"]
    says: str


class Check(msgspec.Struct, frozen=True):
    """Something that this process depends on, as ``freshgrid doctor`` checks it."""

    what: str
    ok: bool
    says: str


class Work(msgspec.Struct, frozen=True):
    """Long work that is under way, as it told last.

    Attributes:
        what: in words.
        done: records, of `total`; null while that is not known.
        at_ms: when it told that, epoch ms.
    """

    what: str
    done: int | None
    total: int | None
    began_ms: int
    at_ms: int


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    """How the installation is doing, seen from one ranker. What cannot be known is null.

    Attributes:
        at_ms: when it was looked, epoch ms; asked for again at once, the same is answered.
        headline: whether anything is wrong, and what to do first.
        troubles: worst first.
        dead_letters: not redriven yet, of the newest.
        work: replays and rebuilds that are under way.
    """

    at_ms: int
    headline: str
    troubles: list[Trouble]
    roles: list[RoleState]
    log: LogState | None
    grids: GridFigures
    memory: Memory | None
    dead_letters: int | None
    work: list[Work]
    checks: list[Check]


class OperationsDesk(Protocol):
    """Who knows how the installation is doing."""

    async def overview(self) -> Operations:
        """What can be known from this process, within some seconds."""
        ...


_EXAMPLE: Final = {
    "at_ms": 1700000000000,
    "headline": "Redis is 93% full. Raise its maxmemory.",
    "troubles": [
        {
            "severity": "wrong",
            "what": "redis_full",
            "says": "Redis is 93% full",
            "remedy": "raise its maxmemory",
        }
    ],
    "roles": [{"role": "worker", "state": "keeps_up", "says": "3 records behind"}],
    "log": {
        "topics": [{"topic": "events.like", "records": 61234}],
        "lag": [
            {
                "role": "worker",
                "group": "freshgrid-worker",
                "topic": "events.like",
                "records": 3,
            }
        ],
    },
    "grids": {
        "made": 3761,
        "failed": 0,
        "waiting": 0,
        "event_to_grid": {"count": 120, "p50_ms": 31.0, "p99_ms": 84.5},
        "making": {"count": 140, "p50_ms": 4.2, "p99_ms": 9.1},
        "by_source": {"account_nn": 80123, "popular": 9120},
        "funnel": {"best": 3000, "lost": {"first": 41, "second": 12}},
        "stale_reads": 0,
    },
    "memory": {"used_bytes": 930000000, "limit_bytes": 1000000000},
    "dead_letters": 0,
    "work": [
        {
            "what": "rebuild",
            "done": 41000,
            "total": 82566,
            "began_ms": 1699999990000,
            "at_ms": 1699999999400,
        }
    ],
    "checks": [{"what": "kafka", "ok": True, "says": "127.0.0.1:9092, 1 broker(s)"}],
}


def operations_routes(desk: OperationsDesk) -> Routes:
    """How the installation is doing."""
    routes = Routes("state")

    @routes.get(
        "/v1/operations", response_class=Response, responses=routes.answers(Operations, _EXAMPLE)
    )
    async def operations() -> Response:
        """Whether anything is wrong and what to do first, with the figures that say so."""
        return Response(msgspec.json.encode(await desk.overview()), media_type=JSON)

    return routes
