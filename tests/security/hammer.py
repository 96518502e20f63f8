"""Eight clients that mean no good, in a process of their own, until it is ended.

They are of other machines, whose processors serve nobody. Here they share those of the ranker and
of the good client, so both go first.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from typing import Any, Final

import httpx

#: The most there is: they get what the others leave.
NICENESS: Final = 19


async def main(url: str, key: str) -> None:
    """Ask as often as answers come, in eight ways that are wrong."""
    os.nice(NICENESS)
    asked: Counter[str] = Counter()
    good = {"Authorization": f"Bearer {key}"}
    ways: list[tuple[str, str, str, dict[str, Any]]] = [
        ("no key", "GET", "/v1/explore/v", {}),
        ("wrong key", "GET", "/v1/explore/v", {"headers": {"Authorization": "Bearer no"}}),
        ("wrong token", "GET", "/v1/explore/v", {"headers": {"Authorization": "Bearer a.b.c"}}),
        ("no scope", "PUT", "/v1/weights", {"headers": good, "json": {}}),
        ("oversize", "POST", "/v1/query", {"headers": good, "content": b" " * (8 << 20)}),
        ("forged cursor", "GET", "/v1/explore/v?cursor=AAAA", {"headers": good}),
        ("queries", "POST", "/v1/query",
         {"headers": good, "json": {"viewer_id": "v", "query": "user.popular(500)"}}),
        ("made-up viewers", "GET", "/v1/explore/made-up-", {"headers": good}),
    ]  # fmt: skip
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def hammer(way: str, method: str, path: str, more: dict[str, Any]) -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
            while not stop.is_set():
                to = f"{path}{asked[way]}" if way == "made-up viewers" else path
                try:
                    answer = await http.request(method, to, **more)
                    asked[f"{way}: {answer.status_code}"] += 1
                except httpx.HTTPError:
                    asked[f"{way}: cut off"] += 1
                asked[way] += 1

    tasks = [asyncio.ensure_future(hammer(*way)) for way in ways]
    await stop.wait()
    for task in tasks:
        task.cancel()
    print(json.dumps({way: n for way, n in asked.items() if ":" in way}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
