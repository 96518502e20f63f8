"""The first five minutes: the demo ends cleanly, however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.paths import ROOT

# On a busy machine with two cores the demo needs a minute or two.
DEMO_TIMEOUT_S = 280.0
GONE_TIMEOUT_S = 20.0
MARK = "FRESHGRID_TEST_MARK"


@pytest.fixture
def mark() -> Iterator[str]:
    """A word in the environment by which every descendant can be found."""
    word = uuid.uuid4().hex
    yield word
    # Nothing is left here unless the test has failed.
    for pid, _ in processes(word):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def start(mark: str, *arguments: str, stderr: int = subprocess.STDOUT) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if k not in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL")}
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", *arguments, "--port", "0"],
        env={**env, MARK: mark},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )


def processes(mark: str) -> list[tuple[int, str]]:
    """Ids and command lines of the processes that carry the mark."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                line = (process / "cmdline").read_text().replace("\0", " ")
                found.append((int(process.name), line))
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return found


def wait_gone(mark: str) -> None:
    deadline = time.monotonic() + GONE_TIMEOUT_S
    while found := processes(mark):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_the_demo_shows_a_grid_and_how_a_like_changes_it(mark: str) -> None:
    with start(mark, "demo", "--once") as demo:
        out, _ = demo.communicate(timeout=DEMO_TIMEOUT_S)
    assert demo.returncode == 0, out
    before, after = out.split("The same grid after a like of ")
    liked = re.search(r"^ 1  (m\d+)", before, re.MULTILINE)
    assert liked is not None
    assert after.startswith(liked[1])
    # The liked media is seen now, so everything below it moves up.
    assert liked[1] not in re.findall(r"^ *\d+ +(?:(?:[↑↓]\d+|new) +)?(m\d+)", after, re.MULTILINE)
    assert "↑1" in after
    assert len(re.findall(r"^ *\d+ .*0\.\d{4}", out, re.MULTILINE)) == 50
    assert re.search(r"Like → grid readable in Redis: \d+ ms", after)

    # What is personal can be traced to what the viewer did before, and the like led to something.
    done = dict(
        re.findall(r"^(?:liked|saved|watched) +(m\d+) .*?((?:\d+, )*\d+|–) *$", before, re.M)
    )
    led = re.findall(r"^ *(\d+)  m\d+ .* (?:liked|saved|watched) (m\d+) ", before, re.M)
    assert led
    assert all(place in done[media_id].split(", ") for place, media_id in led)
    assert not re.search(r"^ *\d+ .*  (?:alike|account_nn|co_engaged) +–", out, re.MULTILINE)
    assert f"liked {liked[1]} " in after
    wait_gone(mark)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
def test_an_interrupted_demo_leaves_nothing_behind(mark: str) -> None:
    with start(mark, "demo") as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("✓ Kafka at")
        # The servers run and the roles are being started.
        assert len(processes(mark)) > 2
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=DEMO_TIMEOUT_S)
    assert demo.returncode == 130
    wait_gone(mark)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
def test_up_says_where_everything_is_and_ends_with_its_parts(mark: str) -> None:
    with start(mark, "up", stderr=subprocess.PIPE) as up:
        assert up.stdout is not None
        assert up.stderr is not None
        endpoints = json.loads(up.stdout.readline())
        assert list(endpoints) == ["kafka", "redis", "http", "artifacts"]
        status = httpx.get(f"{endpoints['http']}/v1/status", trust_env=False).json()
        assert status["caught_up"]
        [learner] = [pid for pid, line in processes(mark) if "streams.app learner" in line]
        os.kill(learner, signal.SIGKILL)
        said = up.stderr.read()
        up.wait(DEMO_TIMEOUT_S)
    assert up.returncode == 1
    *told, ended = said.splitlines()
    assert told[0].startswith(f"freshgrid up: Kafka at {endpoints['kafka']}, Redis at ")
    assert [line.split()[-1] for line in told[1:4]] == ["worker", "ranker", "learner"]
    assert ended == "freshgrid: learner was killed by SIGKILL and logged nothing"
    wait_gone(mark)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
def test_up_ends_cleanly_when_it_is_asked_to(mark: str) -> None:
    with start(mark, "up", stderr=subprocess.PIPE) as up:
        assert up.stdout is not None
        json.loads(up.stdout.readline())
        up.send_signal(signal.SIGTERM)
        rest, _ = up.communicate(timeout=DEMO_TIMEOUT_S)
    assert (up.returncode, rest) == (0, "")
    wait_gone(mark)
