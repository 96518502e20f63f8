"""``freshgrid bench``: each benchmark has the options that its ``run`` declares, and no others."""

import re
import subprocess
import sys
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta
from typer.testing import CliRunner

from infra.config import Settings
from infra.errors import SettingsError
from streams.bench import BENCHES, ingest, load
from streams.cli import app
from tests.paths import ROOT

#: Wide enough that no option is folded.
WIDE = {"COLUMNS": "250"}


def bench(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["bench", *arguments], env=WIDE)


def declared(name: str) -> dict[str, Any]:
    """Defaults by flag."""
    return {
        "--" + each.name.replace("_", "-"): each.default
        for each in signature(load(name)).parameters.values()
        if each.kind is Parameter.KEYWORD_ONLY
    }


@pytest.mark.parametrize("arguments", [["--list"], ["--help"]])
def test_all_are_named_without_loading_any(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from streams.cli import app\n"
        f"done = CliRunner().invoke(app, ['bench', *{arguments}])\n"
        "print(sorted({'torch', 'faust', 'numpy', 'redis', 'infra.config'} & {*sys.modules}))\n"
        "print(done.output)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    loaded, _, output = done.stdout.partition("\n")
    assert loaded == "[]"
    assert set(BENCHES) <= set(output.split())


@pytest.mark.parametrize("name", BENCHES)
def test_help_tells_the_options_of_one(name: str) -> None:
    done = bench(name, "--help")
    assert done.exit_code == 0
    shown = set(re.findall(r"(?<= )--[a-z-]+", done.output))
    assert shown == {*declared(name), "--json", "--help"}


@pytest.mark.parametrize("name", BENCHES)
def test_an_option_that_a_benchmark_does_not_take_is_wrong_usage(name: str) -> None:
    others = {flag for other in BENCHES for flag in declared(other)} - {*declared(name)}
    for flag in ["--no-such-option", *sorted(others)]:
        done = bench(name, flag, "1")
        assert done.exit_code == 2
        assert f"No such option: {flag}" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Usage"),
        (["ingets"], "No such command 'ingets'. Did you mean 'ingest'"),
        (["ingest", "--events", "0"], "--events"),
        (["retrieval", "--accounts", "999"], "--accounts"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_wrong(arguments: list[str], message: str) -> None:
    done = bench(*arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_what_is_given_is_handed_over_and_figures_come_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(
        settings: Settings,
        *,
        in_all: Annotated[int, Meta(ge=1, description="How many.")] = 7,
        data: Annotated[Path, Meta(description="Which.")] = tmp_path / "bundled",
    ) -> dict[str, Any]:
        return {"in_all": in_all, "data": data.name, "partitions": settings.partitions}

    monkeypatch.setattr(ingest, "run", run)
    monkeypatch.setenv("PARTITIONS", "3")
    (tmp_path / "bundled").touch()
    (tmp_path / "mine").touch()
    done = bench("ingest", "--data", str(tmp_path / "mine"), "--json")
    assert done.exit_code == 0
    report = msgspec.json.decode(done.output)
    assert report["bench"] == "ingest"
    assert report["figures"] == {"in_all": 7, "data": "mine", "partitions": 3}
    assert report["machine"]["cpus"] > 0
    done = bench("ingest", "--in-all", "2", "--json")
    assert msgspec.json.decode(done.output)["figures"]["in_all"] == 2


def test_the_documentation_names_every_option_with_its_default() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \| ((?:`--.*?)?) ?\| [^|]*\|$", text, re.MULTILINE))
    assert set(BENCHES) <= set(rows)
    for name in BENCHES:
        told = dict(re.findall(r"`(--[a-z-]+)` ?([^,]*)", rows[name]))
        assert set(told) == set(declared(name)), name
        for flag, default in declared(name).items():
            if isinstance(default, Path):
                assert told[flag].strip() == "the bundled events"
            else:
                assert told[flag].strip() == ("" if default is None else str(default)), (name, flag)


def test_a_recorded_log_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = bench("training", "--data", str(tmp_path / "absent"))
    assert isinstance(done.exception, SettingsError)
    assert str(done.exception).startswith(f"--data is {tmp_path / 'absent'}, which is not there")
