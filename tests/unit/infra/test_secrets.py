"""A password of the settings stands in nothing that a process says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from infra import secrets
from infra.access.keys import new_key
from infra.access.tokens import Tokens
from infra.config import Settings
from infra.errors import SettingsError
from infra.secrets import given_secret, masked
from streams.cli import app
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


#: Marked, and given to every process of :func:`test_commands_that_reach_nobody_say_no_secret`.
MARK = "marked-2f7a"
GIVEN = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_USERNAME": "ann",
    "KAFKA_PASSWORD": f"{MARK}-kafka",
    "REDIS_URL": f"redis://ann:{MARK}-redis@127.0.0.1:9/0",
    "HTTP_PORT": "9",
    "API_KEY": f"{MARK}-key-with-as-many-characters-as-it-needs",
    "SIGNING_SECRET": f"{MARK}-signing-with-as-many-characters",
}
#: Each command that talks to somebody, as it is called.
CONNECTING = (
    "query -e user.popular(5) --viewer v", "explain v", "topology --create",
    "rebuild --force", "backup saved", "archive saved", "doctor",
    "inspect viewer v", "inspect index", "dead-letters list", "dead-letters show 0:0",
    "dead-letters redrive --all", "versions list", "versions promote items 1",
    "versions rollback items", "keys create n --scope read", "keys list", "keys revoke 00000000",
    "viewer export v", "viewer forget v", "viewer allow v", "weights get", "weights set like=2",
    "weights history", "experiments history", "experiments",
)  # fmt: skip
#: Those that work on files, or start servers of their own; `restore`, `replay`, `experiments set`
#: and `embed-images` look at what they are given first.
OTHERS = {
    "features", "demo", "simulate", "restore", "replay", "embed-images", "experiments set",
    "bench", "evaluate", "tune", "top", "batch", "plan",
}  # fmt: skip
#: They wait for a broker for half a minute, and roles until it comes.
WAITING = {"acls", "send", "up", "worker", "learner", "ranker", "serve"}


def test_every_command_that_talks_to_somebody_is_called() -> None:
    def names(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        if not hasattr(command, "commands"):
            yield path
        for name, below in getattr(command, "commands", {}).items():
            yield from names(below, (*path, name))

    there = {" ".join(path) for path in names(get_command(app)) if path[0] not in OTHERS}
    called = {name for name in there for line in CONNECTING if f"{line} ".startswith(f"{name} ")}
    assert there - called - OTHERS == WAITING


def test_commands_that_reach_nobody_say_no_secret(tmp_path: Path) -> None:
    """All in one process, as starting each takes most of its time."""
    lines = [line.split() for line in CONNECTING]
    code = (
        "import sys, infra.redis_server; infra.redis_server.PATIENCE_S = 0.1\n"
        "from streams.cli import main\n"
        f"for line in {lines}:\n"
        "    sys.argv = ['freshgrid', *line]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as ended:\n"
        "        print('##', ended.code, *line, flush=True)\n"
    )
    env = {**os.environ, **GIVEN, "ARTIFACTS_URL": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    ended = re.findall(r"^## (\d+) (.*)$", done.stdout, re.MULTILINE)
    assert ended == [("1", line) for line in CONNECTING]
    assert done.stdout.count("127.0.0.1:9") >= len(CONNECTING)
    assert MARK not in done.stdout
    assert "Traceback" not in done.stdout


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
