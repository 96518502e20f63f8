"""The doctor asks a ranker that runs what it says of itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from infra.config import Settings
from infra.doctor import Finding, findings


@contextmanager
def ranker(status: int, answer: dict[str, Any]) -> Iterator[Settings]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Settings(http_port=server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


LIVE = {"ig2vec": "a1", "rankers": None, "items": None}
READY = {"ready": True, "caught_up": True, "lag": 0, "kafka_silent_s": 0.0, "versions": LIVE}


@pytest.mark.parametrize(
    ("status", "answer", "ok", "says"),
    [
        (200, READY, True, "live: ig2vec a1, rankers none, items none"),
        (200, {**READY, "caught_up": False, "lag": 12}, False, "12 records behind; wait"),
        (
            200,
            {**READY, "caught_up": False, "kafka_silent_s": 9.0},
            False,
            "nothing for 9 s; check the brokers",
        ),
        (
            503,
            {"title": "…", "detail": "Redis answers no read within 2 s; the ranker's log says why"},
            False,
            "not ready: Redis answers no read",
        ),
    ],
)
def test_what_a_ranker_says_is_a_finding_with_its_remedy(
    status: int, answer: dict[str, Any], ok: bool, says: str
) -> None:
    with ranker(status, answer) as settings:
        [found] = [finding for finding in findings(settings) if finding.what == "ranker"]
    assert isinstance(found, Finding)
    assert found.ok == ok
    assert says in found.text


def test_where_none_runs_there_is_nothing_to_say() -> None:
    with ranker(200, READY) as settings:
        pass
    assert all(finding.what != "ranker" for finding in findings(settings))
