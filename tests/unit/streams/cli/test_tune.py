"""``freshgrid tune query`` from the command line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from infra.errors import SettingsError
from models.queries import explore_text
from streams.cli import app
from streams.cli.query import check_files
from streams.recorded.tune_query import TuneError

T0 = 1_600_000_000_000


@pytest.fixture
def log(tmp_path: Path) -> list[str]:
    """The arguments that name a small log."""
    rng = np.random.default_rng(2)
    lines = [
        f"{T0 + step * 3_600_000 + viewer},{viewer},{media},like"
        for viewer in range(30)
        for step, media in enumerate((rng.permutation(20)[:12] + 20 * (viewer % 2)).tolist())
    ]
    (tmp_path / "log.csv").write_text("ts,viewer_id,media_id,action\n" + "\n".join(lines) + "\n")
    (tmp_path / "log.toml").write_text('[events]\naction = "action"\n')
    return [str(tmp_path / "log.csv"), "--mapping", str(tmp_path / "log.toml"), "--trials", "3"]


def test_the_query_found_is_written_and_is_right(tmp_path: Path, log: list[str]) -> None:
    from infra.config import Settings

    written = tmp_path / "found.igql"
    arguments = ["tune", "query", *log, "--write", str(written), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None
    report = msgspec.json.decode(result.stdout.splitlines()[-1])
    assert set(report) == {"data", "query", "figures"}
    assert report["figures"]["trials"] == 3
    assert check_files(Settings(), [written]) == []
    assert written.read_text().splitlines()[:3] == explore_text().splitlines()[:3]
    assert f"freshgrid: wrote {written}" in result.stderr


def test_a_person_reads_a_table(log: list[str]) -> None:
    result = CliRunner().invoke(app, ["tune", "query", *log])
    for words in ("engaged.alike", "0.87", "recall@500", "NDCG@25", "viewers with", "chosen on"):
        assert words in result.stdout


def test_what_cannot_be_done_is_one_sentence(tmp_path: Path, log: list[str]) -> None:
    def error(*arguments: str) -> BaseException | None:
        return CliRunner().invoke(app, ["tune", "query", *arguments]).exception

    assert "DATA is nowhere, which is not there" in str(error("nowhere"))
    plain = tmp_path / "plain.igql"
    plain.write_text("user.popular().take(5)")
    found = error(*log, "--file", str(plain))
    assert isinstance(found, TuneError) and str(plain) in str(found)
    assert isinstance(error(*log, "--file", str(tmp_path / "none.igql")), SettingsError)
    assert "make it" in str(error(*log, "--write", str(tmp_path / "none" / "q.igql")))
