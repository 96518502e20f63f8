"""Logging goes to stderr in one format."""

import json
import logging
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from infra import telemetry
from infra.errors import SettingsError
from infra.telemetry import PATIENCE_S, NotYet, configure_logging
from tests.paths import ROOT


def test_one_line_a_record_on_stderr_from_the_level_on() -> None:
    code = (
        "import logging; from infra.telemetry import configure_logging;"
        "logging.basicConfig(format='%(message)s'); configure_logging('info');"
        "logging.getLogger('some.place').debug('hidden');"
        "logging.getLogger('some.place').info('shown %d', 1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == ""
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO some\.place: shown 1\n"
    assert re.fullmatch(line, done.stderr)


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="'LOUD' is unknown; use one of DEBUG, INFO"):
        configure_logging("LOUD")


def test_a_broker_that_is_not_ready_yet_is_worth_a_warning_only_if_it_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now_s=100.0)
    monkeypatch.setattr(telemetry, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    kept_back = NotYet()

    def told(after_s: float, text: str = "failed: [Error 15] GroupCoordinatorNotAvailableError"):
        clock.now_s += after_s
        record = logging.LogRecord("aiokafka", logging.ERROR, "", 0, text, None, None)
        return record.levelname if kept_back.filter(record) else None

    assert told(0, "something else") == "ERROR"
    assert [told(PATIENCE_S / 4) for _ in range(10)] == [
        None, None, None, None, "WARNING", None, None, None, "WARNING", None,
    ]  # fmt: skip
    # Later it is another start.
    assert told(10 * PATIENCE_S) is None


def test_json_is_one_object_a_line_whatever_is_said() -> None:
    code = (
        "import logging\n"
        "from infra.telemetry import configure_logging\n"
        "configure_logging('info', 'json')\n"
        "log = logging.getLogger('a.b')\n"
        "log.info('two\\nlines \"%s\" é \\udcff', 'x')\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: log.exception('it failed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    plain, failed = map(json.loads, done.stderr.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", plain.pop("time"))
    assert plain == {"level": "INFO", "logger": "a.b", "message": 'two\nlines "x" é \udcff'}
    assert failed["message"] == "it failed"
    assert failed["error"].endswith("ZeroDivisionError: division by zero")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(SettingsError, match="use one of text, json"):
        configure_logging("INFO", "xml")
