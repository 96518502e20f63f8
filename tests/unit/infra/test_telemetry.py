"""Logging goes to stderr in one format."""

import re
import subprocess
import sys

import pytest

from infra.errors import SettingsError
from infra.telemetry import configure_logging
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
