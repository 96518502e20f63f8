"""How fast the HTTP API answers, asked by wrk from a process of its own.

Ready grids: pages of viewers who have one, each request of another viewer, on one connection and on
eight; in turns with them a route of the same process that answers as many bytes of nothing. Before
that, what one ranker takes of events.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Final
from urllib.request import urlopen

import msgspec
from msgspec import Meta

from infra.config import Settings
from infra.errors import FreshgridError
from streams.bench import http_events
from streams.bench.empty_route import PATH as EMPTY
from streams.bench.freshness import wait_idle
from streams.bench.progress import say
from streams.bench.ready_grids import make_ready
from streams.local.stack import Stack, role_argv, starting_stack

CONNECTIONS: Final = (1, 8)
#: What else the machine does comes and goes: everything is asked for in turns.
ROUNDS: Final = 5
#: wrk waits for answers that are under way.
PATIENCE_S: Final = 30.0
#: Asks for the paths of a file in turn, and tells what it saw in one line.
_LUA: Final = """
local paths = {}
local at = 0
-- Not before: only then is it known whom a request is for.
init = function()
  for line in io.lines("%s") do paths[#paths + 1] = wrk.format("GET", line) end
end
request = function()
  at = at %% #paths + 1
  return paths[at]
end
done = function(summary, latency)
  local e = summary.errors
  print(string.format('{"requests":%%d,"us":%%d,"p99_us":%%d,"failed":%%d}', summary.requests,
    summary.duration, latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class NoLoadToolError(FreshgridError):
    """There is nothing to ask with."""


class Seen(msgspec.Struct):
    """What wrk tells of a run."""

    requests: int
    us: int
    p99_us: int
    failed: int


def run(
    settings: Settings,
    *,
    viewers: Annotated[int, Meta(ge=1, description="Viewers with a ready grid.")] = 1_000,
    seconds: Annotated[int, Meta(ge=1, description="Of each of the runs.")] = 1,
    events: Annotated[int, Meta(ge=100, description="Events to send.")] = http_events.EVENTS,
) -> dict[str, Any]:
    """Send events to a ranker; then start a stack, make grids ready, and ask for them."""
    if shutil.which("wrk") is None:
        raise NoLoadToolError("wrk is not installed, which asks: apt install wrk")
    taken = http_events.run(settings, events=events)
    with starting_stack(settings, http_port=0, argv_of=_argv) as stack:
        stack.wait_ready()
        wait_idle(stack)
        return ready_pages(stack, viewers, seconds) | taken


def _argv(role: str) -> tuple[str, ...]:
    if role == "ranker":
        return (sys.executable, "-m", "streams.bench.empty_route", role)
    return role_argv(role)


def ready_pages(stack: Stack, viewers: int, seconds: int) -> dict[str, Any]:
    """Figures of pages that are ready."""
    names = make_ready(stack, viewers)
    pages = [f"/v1/explore/{name}" for name in names]
    size = sum(len(urlopen(stack.endpoints.http + page).read()) for page in pages) // len(pages)
    paths = {
        "empty": [f"{EMPTY}{size}"],
        "ready": pages,
        "ids": [f"{page}?fields=ids" for page in pages],
    }
    seen: dict[tuple[str, int], list[Seen]] = {}
    for connections in CONNECTIONS:
        for _ in range(ROUNDS):
            for what, asked in paths.items():
                one = _ask(stack, what, asked, connections, seconds)
                seen.setdefault((what, connections), []).append(one)
        for what in paths:
            per_s = _per_s(seen[what, connections])
            say(f"{what}, {connections} connections: {per_s:.0f} requests/s")
    empty = {connections: _per_s(seen["empty", connections]) for connections in CONNECTIONS}
    ready = {connections: _per_s(seen["ready", connections]) for connections in CONNECTIONS}
    return {
        "requests_per_s_1": round(ready[1]),
        "requests_per_s_8": round(ready[8]),
        "p99_ms": _p99_ms(seen["ready", 8]),
        "p99_ms_1": _p99_ms(seen["ready", 1]),
        "share_of_empty": round(ready[8] / empty[8], 3),
        "share_of_empty_1": round(ready[1] / empty[1], 3),
        "empty_per_s_1": round(empty[1]),
        "empty_per_s_8": round(empty[8]),
        "ids_per_s_1": round(_per_s(seen["ids", 1])),
        "ids_per_s_8": round(_per_s(seen["ids", 8])),
        "failed": sum(one.failed for rounds in seen.values() for one in rounds),
        "page_bytes": size,
        "viewers": viewers,
    }


def _per_s(rounds: Sequence[Seen]) -> float:
    return sum(one.requests for one in rounds) * 1e6 / sum(one.us for one in rounds)


def _p99_ms(rounds: Sequence[Seen]) -> float:
    """In the round in the middle."""
    return round(median(one.p99_us for one in rounds) / 1000, 2)


def _ask(stack: Stack, what: str, paths: list[str], connections: int, seconds: int) -> Seen:
    """Ask for paths in turn for so many seconds."""
    folder = Path(stack.run_dir)
    asked, script = folder / f"{what}.paths", folder / f"{what}.lua"
    asked.write_text("\n".join(paths) + "\n", encoding="utf-8")
    script.write_text(_LUA % asked, encoding="utf-8")
    threads, url = "1", stack.endpoints.http
    told = subprocess.run(
        ["wrk", "-t", threads, "-c", str(connections), "-d", f"{seconds}s", "-s", script, url],
        check=True,
        capture_output=True,
        timeout=seconds + PATIENCE_S,
    )
    return msgspec.json.decode(told.stdout.splitlines()[-1], type=Seen)
