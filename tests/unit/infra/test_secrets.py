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
from infra.access.keys import new_key
from infra.access.tokens import Tokens
from infra.config import Settings
from infra.errors import SettingsError
from infra.secrets import given_secret, masked
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


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    assert given_secret("API_KEY", {"API_KEY_FILE": str(file)}) == SECRET
    assert given_secret("API_KEY", {"API_KEY": SECRET}) == SECRET
    assert given_secret("API_KEY", {}) is None


@pytest.mark.parametrize(
    ("held", "more", "said"),
    [
        (b"x", {"API_KEY": "y"}, "both set"),
        (None, {}, "cannot be read: No such file"),
        (b"", {}, "is empty"),
        (b"\xff", {}, "not UTF-8"),
        (b"x" * 70_000, {}, "more than 65536 bytes"),
    ],
)
def test_a_file_that_is_no_secret_is_named(
    tmp_path: Path, held: bytes | None, more: dict[str, str], said: str
) -> None:
    file = tmp_path / "secret"
    if held is not None:
        file.write_bytes(held)
    with pytest.raises(SettingsError, match=said) as caught:
        given_secret("API_KEY", {"API_KEY_FILE": str(file)} | more)
    assert str(file) in str(caught.value) or more


def test_keys_tokens_and_secrets_of_the_settings_are_masked_whole() -> None:
    key = new_key("x", ["read"], 0)
    token = Tokens(b"s" * 32).issue("ann", ["read"], "")
    with patch.object(secrets, "_known_whole", set()):
        Settings(api_key=SECRET * 3)
        said = masked(f"{SECRET * 3} {key.text} {token}")
    assert said == f"*** fgk_{key.key.key_id}_*** ***"
