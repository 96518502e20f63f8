"""``make security``: what somebody without, or with too little, gets from a running ranker."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import httpx
import redis

from infra.access.guard import Guard, signing_key
from infra.access.keys import SCOPES, new_key
from infra.access.tokens import Tokens
from infra.config import Settings
from infra.http.bodies import MOST_BYTES
from infra.http.scopes import RULES
from infra.kafka import Message
from infra.memory_store import MemoryAccess
from infra.open_stores import open_stores
from models.explore.cursor import Cursor
from streams.bench.ready_grids import account_message, media_message, send
from streams.clock import now_ms
from streams.local.stack import Stack, role_argv, starting_stack
from tests.integration import test_secured
from tests.security.hammer import NICENESS
from tests.security.undoored import PAST
from tests.unit.infra.access.test_guard import forgeries
from tests.unit.infra.http.test_door import OPEN, path_of

SECRET: Final = "0123456789abcdef" * 4
API_KEY: Final = "fedcba9876543210" * 4
VIEWERS: Final = 200
FORGED: Final = 10_000
BODIES: Final = 1_000
READY_PAGES: Final = 20_000
#: Of a broker's start and a few seconds a mode.
MODES_LIMIT_S: Final = 300.0
#: What each number must be.
GOALS: Final[dict[str, Callable[[float], bool]]] = {
    "unauthenticated_routes_beyond_health_and_page": lambda n: n == 0,
    "scopes_not_as_the_table_says": lambda n: n == 0,
    "tls_and_sasl_modes_by_which_all_clients_got_in": lambda n: n == len(test_secured.MODES),
    "forged_accepted": lambda n: n == 0,
    "forged_tried": lambda n: n >= FORGED,
    "bytes_left_of_a_forgotten_viewer": lambda n: n == 0,
    "memory_growth_mib": lambda n: n <= 32,
    "good_p99_ratio": lambda n: n <= 3,
    "door_cost_share": lambda n: n <= 0.05,
}


def argv_of(role: str) -> tuple[str, ...]:
    """The command line of a role; the ranker has a way past its door."""
    if role == "ranker":
        return (sys.executable, "-m", "tests.security.undoored", role)
    return role_argv(role)


def main() -> None:
    """Start a stack that asks for keys, try it, and print what was found."""
    with (
        patch.dict(os.environ, {"API_KEY": API_KEY, "SIGNING_SECRET": SECRET}),
        starting_stack(Settings(), http_port=0, argv_of=argv_of) as stack,
    ):
        stack.wait_ready()
        found = asyncio.run(tried(stack))
    found |= modes()
    found["failed"] = [name for name, good in GOALS.items() if not good(found[name])]
    print(json.dumps(found, indent=1))
    if found["failed"]:
        sys.exit(1)


async def tried(stack: Stack) -> dict[str, Any]:
    """All numbers."""
    texts = {}
    async with open_stores(stack.settings) as stores:
        for scope in SCOPES:
            made = new_key(scope, [scope], now_ms())
            await stores.access.add(made.key)
            texts[scope] = made.text
    await asyncio.to_thread(fill, stack)
    await asyncio.sleep(2)
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(
        base_url=stack.endpoints.http, trust_env=False, timeout=60, limits=limits
    ) as http:
        await readied(http)
        found: dict[str, Any] = {}
        found |= await scopes_tried(http, texts)
        found |= await asyncio.to_thread(door_cost, stack)
        found |= await hammered(stack, http, texts)
        found |= await forged(http)
        found |= await oversize(stack, http)
        found |= await asyncio.to_thread(forgotten, stack)
    return found


def modes() -> dict[str, Any]:
    """TLS and SASL on Apache Kafka: the test of every client, once for each mode."""
    test = f"{test_secured.__file__}::{test_secured.test_every_client_gets_in.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", test]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MODES_LIMIT_S)
    passed = re.search(r"(\d+) passed", done.stdout)
    return {
        "tls_and_sasl_modes_tried": len(test_secured.MODES),
        "tls_and_sasl_modes_by_which_all_clients_got_in": int(passed[1]) if passed else 0,
    }


def fill(stack: Stack) -> None:
    """A catalogue, and viewers who did something, so that their grids are kept ready."""
    send(stack, [media_message(n) for n in range(500)] + [account_message(n) for n in range(200)])
    with redis.Redis.from_url(stack.endpoints.redis) as store:
        follows = [follow(f"reader{n}") for n in range(1, VIEWERS + 1)]
        send(stack, [Message("events.follow", e["viewer_id"], json.dumps(e).encode())
                     for e in follows])  # fmt: skip
        until = time.monotonic() + 60
        while len(list(store.scan_iter("grid:*", count=1000))) < VIEWERS:
            stack.check()
            if time.monotonic() > until:
                raise SystemExit("grids were not made within a minute")
            time.sleep(0.1)


def follow(viewer_id: str) -> dict[str, Any]:
    """An event that changes no grid."""
    return {"event_id": f"{viewer_id}-f", "viewer_id": viewer_id, "author_id": "nobody",
            "kind": "follow", "ts": now_ms()}  # fmt: skip


def bearing(text: str) -> dict[str, str]:
    """The header of a key or token."""
    return {"Authorization": f"Bearer {text}"}


async def readied(http: httpx.AsyncClient) -> None:
    """Ask until the grids are of what is live, and nothing waits."""
    for _ in range(100):
        status = (await http.get("/v1/status", headers=bearing(API_KEY))).json()
        if not status["waiting_viewers"] and status["media"] >= 500:
            return
        await asyncio.sleep(0.2)


async def scopes_tried(http: httpx.AsyncClient, texts: dict[str, str]) -> dict[str, Any]:
    """Every route with each key and with none; 401 and 403 are refusals, all else is let in."""
    wrong, bare, tried = [], 0, 0
    for ((method, path), rule), key in itertools.product(RULES.items(), (*texts, None)):
        if key == rule.scope and path.startswith("/v1/live"):
            continue  # it would go on
        headers = bearing(texts[key]) if key else {}
        answer = await http.request(method, path_of(path), headers=headers)
        tried += 1
        let_in = answer.status_code not in (401, 403, 429)
        if key is None and let_in and (method, path) not in OPEN:
            bare += 1
        if let_in != (rule.scope is None or rule.scope == key):
            wrong.append([method, path, key, answer.status_code])
    return {
        "routes": len(RULES),
        "unauthenticated_routes_beyond_health_and_page": bare,
        "scopes_times_routes_tried": tried,
        "scopes_not_as_the_table_says": len(wrong),
    }


def door_cost(stack: Stack) -> dict[str, Any]:
    """Requests per second, one after the other, through the door and past it.

    Every other request goes past, and medians are compared: whatever else the machine does is in
    both alike.
    """
    of = httpx.URL(stack.endpoints.http)
    took_ns: dict[bool, list[int]] = {True: [], False: []}
    with ExitStack() as opened:
        # One each: a connection keeps the headers of its last answer at hand.
        connections = {
            past: opened.enter_context(socket.create_connection((of.host, of.port), timeout=10))
            for past in took_ns
        }
        for number in range(2 * READY_PAGES):
            # In turns which of a pair is the first; both ask for the same page.
            past = (number // 2 + number) % 2 == 0
            lines = (
                f"GET /v1/explore/reader{number // 2 % VIEWERS + 1} HTTP/1.1",
                f"Host: {of.host}:{of.port}",
                f"Authorization: Bearer {API_KEY}",
                f"{PAST.decode() if past else 'x-through-a-door'}: 1",
            )
            connection = connections[past]
            began = time.perf_counter_ns()
            connection.sendall("\r\n".join((*lines, "", "")).encode())
            answer = connection.recv(1 << 16)
            while len(answer) < whole(answer):
                answer += connection.recv(1 << 16)
            took_ns[past].append(time.perf_counter_ns() - began)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    past_ns, through_ns = (statistics.median(took_ns[past]) for past in (True, False))
    return {
        "requests_per_s_past_the_door": round(1e9 / past_ns),
        "requests_per_s_with_a_key": round(1e9 / through_ns),
        "door_cost_share": round(1 - past_ns / through_ns, 4),
    }


def whole(answer: bytes) -> int:
    """How many bytes an answer has that begins like this; more than are there where none says."""
    head = answer.find(b"\r\n\r\n") + 4
    at = answer.find(b"content-length: ") + len(b"content-length: ")
    if head < 4 or at > head:
        return len(answer) + 1
    return head + int(answer[at : answer.find(b"\r\n", at)])


async def p99_of(http: httpx.AsyncClient, seconds: float) -> float:
    """Milliseconds of a page of a good client that asks 50 times a second."""
    took = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        viewer = f"reader{len(took) % VIEWERS + 1}"
        answer = await http.get(f"/v1/explore/{viewer}", headers=bearing(API_KEY))
        took.append((time.perf_counter() - began) * 1e3)
        assert answer.status_code == 200
        await asyncio.sleep(0.02)
    return statistics.quantiles(took, n=100)[98]


async def hammered(stack: Stack, http: httpx.AsyncClient, texts: dict[str, str]) -> dict[str, Any]:
    """p99 of a page alone, and beside eight clients of a process of their own that hammer."""
    await p99_of(http, 2)
    quiet = await p99_of(http, 10)
    hammer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.security.hammer", stack.endpoints.http, texts["read"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    await asyncio.sleep(1)
    loud = await p99_of(http, 10)
    hammer.terminate()
    out, _ = await hammer.communicate()
    return {
        "good_p99_ms_quiet": round(quiet, 2),
        "good_p99_ms_beside_eight": round(loud, 2),
        "good_p99_ratio": round(loud / quiet, 2),
        # The eight run on the same processors, and give way to ranker and good client.
        "hammer_niceness": NICENESS,
        "hammered_requests": json.loads(out or b"{}"),
    }


async def forged(http: httpx.AsyncClient) -> dict[str, Any]:
    """Cursors that were not given, each as a request; tokens and keys, each to a guard.

    Over the wire most of the latter would be refused for their number alone.
    """
    drawn, key = random.Random(1), signing_key(SECRET.encode(), "cursors")
    first = (await http.get("/v1/explore/reader1", headers=bearing(API_KEY))).json()["next"]
    cursor = Cursor.parse(first, "reader1", key)
    texts = []
    while len(texts) < FORGED:
        at = drawn.randrange(len(first))
        other = drawn.choice([c for c in "ABCxyz019-_" if c != first[at]])
        texts += [
            first[:at] + other + first[at + 1 :],
            cursor._replace(series=drawn.randbytes(12).hex()).text("reader1", drawn.randbytes(32)),
        ]

    async def by_cursor(text: str) -> bool:
        path = f"/v1/explore/reader1?cursor={text}"
        return (await http.get(path, headers=bearing(API_KEY))).status_code == 200

    accepted = 0
    for some in batches(texts, 50):
        accepted += sum(await asyncio.gather(*map(by_cursor, some)))
    store = MemoryAccess()
    made = new_key("backend", SCOPES, now_ms())
    await store.add(made.key)
    guard = Guard(store, Tokens(SECRET.encode()))
    await guard.refresh()
    tokens = forgeries(guard.tokens.issue("ann", SCOPES, made.key.key_id), made.text, drawn)
    accepted += sum(guard.caller(one) is not None for one in tokens)
    return {
        "forged_cursors_tried": len(texts),
        "forged_tokens_and_keys_tried": len(tokens),
        "forged_tried": len(texts) + len(tokens),
        "forged_accepted": accepted,
    }


def batches(of: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Some at a time."""
    return [of[first : first + size] for first in range(0, len(of), size)]


def resident_bytes(pid: int) -> int:
    """Memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def ranker_of(stack: Stack) -> int:
    """The ranker's process."""
    port = f"HTTP_PORT={stack.settings.http_port}".encode()
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            environment = (process / "environ").read_bytes().split(b"\0")
            if b"tests.security.undoored" in words and port in environment:
                return int(process.name)
    raise SystemExit("there is no ranker")


async def oversize(stack: Stack, http: httpx.AsyncClient) -> dict[str, Any]:
    """Memory of the ranker before and after a thousand bodies of twice what is taken."""
    ranker = ranker_of(stack)
    body = b" " * (2 * MOST_BYTES)
    headers = bearing(API_KEY) | {"Content-Type": "application/json"}

    async def parts() -> Any:
        for first in range(0, len(body), 1 << 18):
            yield body[first : first + (1 << 18)]

    async def one(number: int) -> int:
        path = ("/v1/query", "/v1/events", "/v1/rerank", "/v1/catalogue/media")[number % 4]
        method = "PUT" if "catalogue" in path else "POST"
        try:
            # Half of them do not say how large they are.
            content = parts() if number % 2 else body
            return (await http.request(method, path, content=content, headers=headers)).status_code
        except httpx.HTTPError:
            return 0  # the connection was closed while it was still being sent

    await asyncio.gather(*(one(n) for n in range(8)))
    before = resident_bytes(ranker)
    most, codes = before, []
    for some in batches(range(BODIES), 8):
        codes += await asyncio.gather(*map(one, some))
        most = max(most, resident_bytes(ranker))
    taken = [code for code in codes if code not in (0, 413)]
    return {
        "oversize_bodies": len(codes),
        "oversize_bodies_not_refused": len(taken),
        "memory_growth_mib": round((most - before) / 2**20, 1),
    }


def forgotten(stack: Stack) -> dict[str, Any]:
    """Bytes of Redis that name a viewer after she was forgotten."""
    viewer = "reader7"
    with redis.Redis.from_url(stack.endpoints.redis) as store:
        httpx.get(f"{stack.endpoints.http}/v1/explore/{viewer}", headers=bearing(API_KEY),
                  trust_env=False)  # fmt: skip
        of = stack.settings
        env = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": of.kafka_bootstrap_servers,
            "REDIS_URL": of.redis_url,
            "PARTITIONS": str(of.partitions),
        }
        command = [sys.executable, "-m", "streams.cli", "viewer", "forget", viewer, "--json"]
        subprocess.run(command, env=env, check=True, capture_output=True)
        left = 0
        for key in store.scan_iter(count=1000):
            whole = re_of(viewer)
            if whole.search(key):
                left += len(key)
            dumped = repr(store.dump(key)).encode()
            left += sum(len(one) for one in whole.findall(dumped))
    return {"bytes_left_of_a_forgotten_viewer": left}


def re_of(viewer: str) -> Any:
    """Finds an id that is not a part of a longer one."""
    return re.compile(rb"(?<![0-9a-z])" + viewer.encode() + rb"(?![0-9a-z])")


if __name__ == "__main__":
    path = Path(__file__).resolve().parents[2]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(path), os.environ.get("PYTHONPATH", "")])
    main()
