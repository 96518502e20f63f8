"""A password of the settings stands in nothing that a process says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import secrets
from infra.config import Settings
from infra.secrets import masked
from tests.paths import ROOT

SECRET = "hunter2-hunter2"
NOWHERE = f"redis://ann:{SECRET}@127.0.0.1:9/0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"at {NOWHERE} (Error 111)", "at redis://ann:***@127.0.0.1:9/0 (Error 111)"),
        ("rediss://:p:w@h/1, s3://k:v@b/x", "rediss://:***@h/1, s3://k:***@b/x"),
        ("redis://h?db=1&password=x&y=2", "redis://h?db=1&password=***&y=2"),
        ("http://h:80/v1/explore/a@b and redis://h:1", None),
        ("nothing: to@hide", None),
    ],
)
def test_passwords_in_urls_are_masked_and_nothing_else(text: str, said: str | None) -> None:
    assert masked(text) == (text if said is None else said)


@given(
    password=st.text(st.characters(codec="utf-8"), min_size=1),
    around=st.tuples(st.text(), st.text()),
)
def test_the_password_of_a_setting_is_masked_whatever_it_is(
    password: str, around: tuple[str, str]
) -> None:
    url = f"redis://ann:{password}@127.0.0.1:9/0"
    with patch.object(secrets, "_known", set()):
        Settings(redis_url=url)
        said = masked(f"{around[0]}{url}{around[1]}")
    assert f":{password}@" not in said or password == "***"


NO_URL = f"redis://ann:{SECRET}/#@127.0.0.1:9/0"


@pytest.mark.parametrize(
    ("url", "command"),
    [
        (NOWHERE, "inspect viewer v"),
        (NOWHERE, "weights get"),
        (NOWHERE, "up"),
        (NO_URL, "inspect viewer v"),
        (NO_URL, "doctor"),
    ],
)
def test_no_command_says_it(command: str, url: str, tmp_path: Path) -> None:
    env = {**os.environ, "REDIS_URL": url, "ARTIFACTS_URL": str(tmp_path), "PYTHONPATH": str(ROOT)}
    code = (
        "import sys, runpy, infra.redis_server; infra.redis_server.PATIENCE_S = 0.1;"
        "runpy.run_module('streams.cli', run_name='__main__')"
    )
    line = [sys.executable, "-c", code, *command.split()]
    done = subprocess.run(line, env=env, capture_output=True, text=True, cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert SECRET not in said
    assert "redis" in said.lower()
    assert "Traceback" not in said


def test_a_traceback_says_it_neither() -> None:
    code = (
        "from infra.secrets import mask_output; mask_output();"
        "from infra.telemetry import configure_logging; configure_logging('info');"
        "import logging, sys;"
        "logging.getLogger('x').info('%s', sys.argv[1]);"
        "raise RuntimeError(sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, NOWHERE], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr.count("ann:***@127.0.0.1") == 2
    assert SECRET not in done.stderr
