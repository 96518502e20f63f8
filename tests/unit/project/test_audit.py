"""Dependencies without known holes are told from those that nothing is known of."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests import audit

GOOD = {"name": "redis", "version": "8.0.0", "vulns": []}
BAD = {"name": "yarl", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
UNKNOWN = {"name": "wrapt", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("told", "strict", "lenient", "said"),
    [
        ([GOOD], 0, 0, "0 known holes in 1 dependencies"),
        ([GOOD, BAD], 1, 1, "yarl 1: PYSEC-1, mended in 2"),
        ([UNKNOWN, GOOD], 1, 0, "not audited: PyPI tells nothing of 1, as wrapt"),
        (None, 1, 0, "not audited: pip-audit does not answer"),
    ],
)
def test_what_is_known_and_what_is_not(
    told: list[object] | None,
    strict: int,
    lenient: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = b"no network" if told is None else json.dumps({"dependencies": told}).encode()

    def answering(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess(command, 0, out, b"")

    monkeypatch.setattr(subprocess, "run", answering)
    assert (audit.main([]), audit.main(["--where-told"])) == (strict, lenient)
    assert said in capsys.readouterr().out
