"""Somebody asks for ready grids all the time, whatever happens, and counts what was answered."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import httpx

#: Requests a second; each is sent when it is due, however long the others take.
RATE: Final = 20.0
#: Longer than an API may take (`REQUEST_TIMEOUT_S`).
TIMEOUT_S: Final = 8.0
#: Failures told in words.
NAMED: Final = 20


class Reader(threading.Thread):
    """Asks for the grids of some viewers, over HTTP.

    Attributes:
        during: what happens now; answers count for what happened when they were asked for, failures
            for what happened then, if anything did.
        served: what happened → grids answered.
        failed: what happened → what was answered instead → how often.
        slowest_s: what happened → the longest time to a grid, in seconds.
        failures: failures in words → how often, of the first kinds of them.
    """

    def __init__(self, http: str, viewers: Sequence[str]) -> None:
        super().__init__(name="reader", daemon=True)
        self._http = http
        self._viewers = itertools.cycle(viewers)
        self._ending = threading.Event()
        self.during = ""
        self.served: Counter[str] = Counter()
        self.failed: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.slowest_s: defaultdict[str, float] = defaultdict(float)
        self.failures: Counter[str] = Counter()

    def run(self) -> None:
        """Ask until :meth:`close`."""
        asyncio.run(self._run())

    def close(self) -> None:
        """Ask no more, and wait for what was asked."""
        self._ending.set()
        self.join(TIMEOUT_S + 5)

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=self._http, trust_env=False, timeout=TIMEOUT_S, limits=limits
        ) as http:
            began_s, asked = time.monotonic(), 0
            open_requests: set[asyncio.Task[None]] = set()
            while not self._ending.is_set():
                await asyncio.sleep(max(0.0, began_s + asked / RATE - time.monotonic()))
                asked += 1
                request = asyncio.create_task(self._ask(http, next(self._viewers), self.during))
                open_requests.add(request)
                request.add_done_callback(open_requests.discard)
            await asyncio.gather(*open_requests)

    async def _ask(self, http: httpx.AsyncClient, viewer: str, during: str) -> None:
        asked_s = time.monotonic()
        try:
            answer = await http.get(f"/v1/explore/{quote(viewer, safe='')}")
            wrong = "" if answer.status_code == 200 else f"status {answer.status_code}"
            if not wrong and not answer.json()["items"]:
                wrong = "no items"
            said = answer.text if wrong else ""
        except (httpx.HTTPError, ValueError) as error:
            wrong, said = type(error).__name__, str(error)
        took_s = time.monotonic() - asked_s
        if not wrong:
            self.served[during] += 1
            self.slowest_s[during] = max(self.slowest_s[during], took_s)
            return
        # What a fault that began meanwhile cut off is its doing.
        during = self.during or during
        self.failed[during][wrong] += 1
        text = f"{during or 'no fault'}: {wrong} after {took_s:.0f} s: {said}"
        if len(self.failures) < NAMED or text in self.failures:
            self.failures[text] += 1
