"""The command line as a person meets it: exit codes and one sentence for what goes wrong."""

import gzip
import json
import os
import re
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from infra.supervisor import free_port
from streams.cli import app
from streams.cli.send import RefusedEventError
from tests.paths import ROOT


def freshgrid(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "HTTP_PORT": str(free_port()), **env},
        timeout=60,
        check=False,
    )


def test_help_names_the_commands() -> None:
    done = freshgrid("--help")
    assert done.returncode == 0
    named = set(done.stdout.split())
    assert {"up", "demo", "worker", "learner", "ranker", "topology", "doctor"} <= named
    # Still answers, but has one name.
    assert "serve" not in re.findall(r"^. (\w+)", done.stdout, flags=re.MULTILINE)
    assert freshgrid("serve", "--help").returncode == 0


@pytest.mark.parametrize(
    ("typed", "offered"), [("ver", "versions"), ("dead-letters red", "redrive"), ("nothing", "")]
)
def test_a_shell_completes_commands(typed: str, offered: str) -> None:
    words = f"freshgrid {typed}"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv = ['freshgrid']; from streams.cli import main; main()",
        ],
        env={
            **os.environ,
            "_FRESHGRID_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        },
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == offered


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, streams.cli;"
        "print(sorted({'torch', 'faust', 'numpy', 'pydantic', 'rich', 'asyncio'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("arguments", [["no-such-command"], ["up", "--port", "many"], []])
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert freshgrid(*arguments).returncode == 2


def test_a_setting_that_cannot_be_used_is_one_sentence_and_2() -> None:
    done = freshgrid("up", HTTP_PORT="many")
    assert done.returncode == 2
    assert done.stderr.startswith("freshgrid: HTTP_PORT='many' cannot be used: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_taken_port_is_one_sentence_and_1(command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = freshgrid(command, "--port", port)
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_doctor_is_content_with_embedded_servers() -> None:
    done = freshgrid("doctor")
    assert done.returncode == 0, done.stdout
    assert "FAIL" not in done.stdout


def test_doctor_tells_its_own_api_from_a_stranger_on_the_port() -> None:
    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Api) as api:
        Thread(target=api.serve_forever, daemon=True).start()
        done = freshgrid("doctor", HTTP_PORT=str(api.server_port))
        assert f"Freshgrid answers at http://127.0.0.1:{api.server_port}" in done.stdout
        api.shutdown()
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.listen()
        Thread(target=lambda: stranger.accept()[0].close(), daemon=True).start()
        done = freshgrid("doctor", HTTP_PORT=str(stranger.getsockname()[1]))
    assert done.returncode == 1
    assert "FAIL http" in done.stdout


def test_doctor_names_a_server_out_of_reach_and_fails() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    done = freshgrid("doctor", KAFKA_BOOTSTRAP_SERVERS=nobody, REDIS_URL=f"redis://{nobody}")
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert [line.split()[1] for line in failed] == ["kafka", "redis"]
    assert "KAFKA_BOOTSTRAP_SERVERS" in failed[0]
    assert "REDIS_URL" in failed[1]


def test_an_event_that_there_is_not_is_refused_before_anything_is_asked() -> None:
    error = CliRunner().invoke(app, ["send", "liek", "--viewer", "v"]).exception
    assert isinstance(error, RefusedEventError)
    assert "'liek'" in str(error) and "like, save, see_fewer" in str(error)


def test_a_fixture_that_was_cut_off_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"topic":"catalog.media"}\n' * 1000)
    for name, content in {"cut": whole[:-20], "damaged": whole[:30] + b"\xff" * 30}.items():
        file = tmp_path / f"{name}.jsonl.gz"
        file.write_bytes(content)
        done = freshgrid("replay", str(file), "--offline")
        assert done.returncode == 1
        assert f"cannot read fixture {file}: " in done.stderr
        assert "Aborted" not in done.stderr


@pytest.mark.parametrize("hashed", [True, False])
def test_a_replay_says_what_it_could_not_apply(tmp_path: Path, hashed: bool) -> None:
    file = tmp_path / "some.jsonl"
    like = {"topic": "events.like", "event_id": "e", "viewer_id": "v", "media_id": "m"}
    lines = [{**like, "ts": 7}, {**like, "ts": 1_700_000_000_000}, {"topic": "events.like"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = freshgrid("replay", str(file), "--offline", *(["--state-hash"] if hashed else []))
    assert done.returncode == 0
    assert "2 records cannot be applied (1 bad_field, 1 bad_ts): " in done.stderr
    assert "events wait for 1 media" in done.stderr


def test_top_says_who_does_not_answer_and_what_an_address_is() -> None:
    done = freshgrid("top", "--once", "--url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("freshgrid: no ranker answers at http://127.0.0.1:1 (")
    assert "freshgrid up" in done.stderr
    done = freshgrid("top", "--once", "--url", "localhost:8000")
    assert (done.returncode, "http://HOST:PORT" in done.stderr) == (2, True)
