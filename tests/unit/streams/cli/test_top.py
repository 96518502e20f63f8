"""``freshgrid top`` against what answers as a ranker, by HTTP and HTTPS, with a key."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import Result
from typer.testing import CliRunner

from infra.config import settings
from infra.errors import UnreachableError
from infra.http.operations import _EXAMPLE
from streams.cli import app
from tests.certificates import Authority

KEY = "k" * 32


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        told = {"/v1/operations": _EXAMPLE, "/v1/status": {"versions": {"ig2vec": "v7"}}}[self.path]
        is_let_in = self.headers["Authorization"] == f"Bearer {KEY}"
        self.send_response(200 if is_let_in else 401)
        self.end_headers()
        self.wfile.write(json.dumps(told if is_let_in else {"detail": "send a key"}).encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.cli.top.time.sleep", lambda _: None)
    monkeypatch.setenv("API_KEY", KEY)


def invoke(*arguments: str) -> Result:
    # A process reads its settings once.
    settings.cache_clear()
    try:
        return CliRunner().invoke(app, arguments)
    finally:
        settings.cache_clear()


def test_one_frame_of_the_ranker_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering() as port:
        url = f"http://127.0.0.1:{port}"
        done = invoke("top", "--once", "--url", url)
        assert (done.exit_code, "v7" in done.output, "account_nn" in done.output) == (0, True, True)
        monkeypatch.delenv("API_KEY")
        refused = invoke("top", "--once", "--url", url)
    assert isinstance(refused.exception, UnreachableError)
    assert "401: send a key (this command sends the key in API_KEY" in str(refused.exception)


def test_the_ranker_of_the_settings_by_its_own_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("mine", "foreign"):
        (tmp_path / name).mkdir()
    shown, other = (Authority(tmp_path / name).issue("api") for name in ("mine", "foreign"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.certificate, shown.key)
    with answering(context) as port:
        monkeypatch.setenv("HTTP_PORT", str(port))
        monkeypatch.setenv("HTTP_CERTIFICATE_FILE", str(shown.certificate))
        done = invoke("top", "--once")
        assert (done.exit_code, f"https://127.0.0.1:{port}" in done.output) == (0, True)
        # The key goes to nobody else.
        monkeypatch.setenv("HTTP_CERTIFICATE_FILE", str(other.certificate))
        refused = invoke("top", "--once")
    assert isinstance(refused.exception, UnreachableError)
