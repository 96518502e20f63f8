"""The command line as a process, on the servers of a test.

Whatever a command reads, writes and stores must be what :mod:`streams.topology` says of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from infra.config import Settings
from streams.topology import COMMAND, FLOWS
from tests.integration.recording import noted

NAMES = (
    "kafka_bootstrap_servers", "redis_url", "partitions", "session_timeout_s",
    "rebalance_timeout_s", "fetch_max_wait_ms", "artifacts_url",
)  # fmt: skip


def freshgrid(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit code."""
    given = {name.upper(): str(getattr(settings, name)) for name in NAMES}
    with TemporaryDirectory() as folder:
        notes = Path(folder, "notes")
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.recording", notes, "command", *arguments],
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        # A consumer group that a command holds is none that it reads by.
        did = {what[:2] for what in noted(notes)}
    assert did <= _allowed(arguments), arguments
    return done


def _allowed(arguments: Sequence[str]) -> set[tuple[str, ...]]:
    """What the table says of a command, or of a command of a group."""
    names = (arguments[0], " ".join(arguments[:2]))
    flows = [flow for flow in FLOWS if flow.role == COMMAND and flow.name in names]
    return {
        *(("reads", topic) for flow in flows for topic in flow.reads),
        *(("writes", topic) for flow in flows for topic in flow.writes),
        *(("stores", key) for flow in flows for key in flow.stores),
    }


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
