"""The first five minutes: the demo ends cleanly, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

# On a busy machine with two cores the demo needs a minute or two.
DEMO_TIMEOUT_S = 280.0
GONE_TIMEOUT_S = 20.0
MARK = "FRESHGRID_TEST_MARK"


@pytest.fixture
def mark() -> Iterator[str]:
    """A word in the environment by which every descendant can be found."""
    yield uuid.uuid4().hex


def start(mark: str, *arguments: str) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if k not in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL")}
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "demo", "--port", "0", *arguments],
        env={**env, MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )


def left_behind(mark: str) -> list[str]:
    """Command lines of processes that carry the mark."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return found


def wait_gone(mark: str) -> None:
    deadline = time.monotonic() + GONE_TIMEOUT_S
    while found := left_behind(mark):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_the_demo_shows_a_grid_and_how_a_like_changes_it(mark: str) -> None:
    with start(mark, "--once") as demo:
        out, _ = demo.communicate(timeout=DEMO_TIMEOUT_S)
    assert demo.returncode == 0, out
    before, after = out.split("The same grid after a like of ")
    liked = re.search(r"^ 1  (m\d+)", before, re.MULTILINE)
    assert liked is not None
    assert after.startswith(liked[1])
    # The liked media is seen now, so everything below it moves up.
    assert not re.search(rf"^ *\d+ .* {liked[1]} ", after, re.MULTILINE)
    assert "↑1" in after
    assert len(re.findall(r"^ *\d+ .*0\.\d{4}", out, re.MULTILINE)) == 50
    assert re.search(r"Like → grid readable in Redis: \d+ ms", after)
    wait_gone(mark)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
def test_an_interrupted_demo_leaves_nothing_behind(mark: str) -> None:
    with start(mark) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("✓ Kafka at")
        # The servers run and the roles are being started.
        assert len(left_behind(mark)) > 2
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=DEMO_TIMEOUT_S)
    assert demo.returncode == 130
    wait_gone(mark)
