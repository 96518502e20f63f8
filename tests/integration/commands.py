"""The command line as a process, on the servers of a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from infra.config import Settings

NAMES = (
    "kafka_bootstrap_servers", "redis_url", "partitions", "session_timeout_s",
    "rebalance_timeout_s", "fetch_max_wait_ms",
)  # fmt: skip


def freshgrid(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit code."""
    given = {name.upper(): str(getattr(settings, name)) for name in NAMES}
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def report_of(settings: Settings, *arguments: str, code: int = 0) -> dict[str, Any]:
    """What a command reports with ``--json``."""
    done = freshgrid(settings, *arguments, "--json")
    assert done.returncode == code, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def refusal(settings: Settings, *arguments: str, code: int = 1) -> str:
    """The one sentence in which a command says why it failed."""
    done = freshgrid(settings, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    [sentence] = done.stderr.splitlines()
    return sentence
