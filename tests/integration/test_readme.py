"""The README's quickstart, word for word, against a stack that has just started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec

from infra.config import Settings
from streams.local.stack import starting_stack
from tests.paths import ROOT

README = ROOT / "README.md"
TIMEOUT_S = 60.0


def test_the_quickstart_shows_a_grid(tmp_path: Path) -> None:
    snippet = re.search(
        r"<!-- snippet: quickstart -->\n```python\n(.*?)```", README.read_text(), re.DOTALL
    )
    assert snippet is not None
    with starting_stack(Settings(), http_port=0) as stack:
        stack.wait_ready()
        (tmp_path / "stack.json").write_bytes(msgspec.json.encode(stack.endpoints))
        done = subprocess.run(
            [sys.executable, "-c", snippet[1]],
            cwd=tmp_path,
            env={**os.environ, "NO_PROXY": "*"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    from_redis, more_over_http = done.stdout.splitlines()
    assert "'m" in from_redis
    assert more_over_http.startswith("[")
