"""The programs of docs/producing.md, word for word, on a running stack: each like arrives."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Explore
from tests.kafka.apache_kafka import CACHE, apache_kafka_missing
from tests.paths import ROOT

PROGRAMS = dict(
    re.findall(
        r"<!-- snippet: (\w+) -->\n```\w+\n(.*?)```",
        (ROOT / "docs" / "producing.md").read_text(),
        flags=re.DOTALL,
    )
)
#: To compile and run one on a busy machine, the standard library of Go for the first time included.
PROGRAM_TIMEOUT_S = 200.0


def command_of(language: str, program: Path) -> list[str]:
    """How a program is run; skips the test where its language is not there."""
    if language == "python":
        return [sys.executable, str(program)]
    if language == "sh":
        return ["sh", str(program)]
    if language == "go":
        if shutil.which("go") is None:
            pytest.skip("no Go here")
        return ["go", "run", str(program)]
    if reason := apache_kafka_missing():
        pytest.skip(reason)
    jars = os.pathsep.join(map(str, CACHE.rglob("*.jar")))
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", jars, str(program)]


@pytest.mark.parametrize("language", ["python", "sh", "java", "go"])
def test_a_like_arrives(explore: Explore, language: str, tmp_path: Path) -> None:
    assert len(PROGRAMS) == 4
    program, viewer = tmp_path / f"Like.{language}", explore.new_viewer()
    program.write_text(PROGRAMS[language])
    endpoints = explore.stack.endpoints
    done = subprocess.run(
        command_of(language, program),
        env={**os.environ, "KAFKA": endpoints.kafka, "HTTP": endpoints.http, "VIEWER": viewer,
             "NO_PROXY": "*", "GOFLAGS": "-mod=mod"},
        cwd=tmp_path, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    explore.wait(lambda: explore.liked(viewer) == ["m7"])
