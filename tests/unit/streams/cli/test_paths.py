"""Every path that a command takes is looked at first; what is wrong with it is one sentence."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from typer.testing import CliRunner

from infra.errors import SettingsError
from streams.cli import app
from streams.cli.paths import file_to_read, file_to_write, folder_to_write, to_read
from tests.paths import FIXTURES

TINY = FIXTURES / "tiny.jsonl"
#: What stands for the other arguments that a command needs.
NEEDED = {
    "--viewers": "10", "--media": "10", "--accounts": "10", "--events": str(TINY),
    "data": str(TINY), "viewers": "10", "media": "10",
}  # fmt: skip
REFUSED = {
    file_to_read: ("folder", "absent", "loop"),
    to_read: ("absent", "loop"),
    file_to_write: ("folder", "below nothing", "loop"),
    folder_to_write: ("file", "below a file", "loop"),
}


def commands(command: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from commands(command.get_command(None, name), (*names, name))
    else:
        yield names, command


def of_paths(annotation: Any) -> bool:
    return annotation is Path or any(map(of_paths, get_args(annotation)))


#: Words of the command, its other needs, and the parameter.
TAKEN = [
    (names, [other for other in command.params if other.required and other is not one], one)
    for names, command in commands(typer.main.get_command(app))
    for one in command.params
    if hasattr(one, "type_descriptor") and of_paths(one.type_descriptor.annotation)
]


def words_of(parameter: Any, value: str) -> list[str]:
    option = parameter.param_type_name == "option"
    return [parameter.opts[0], value] if option else [value]


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    loop, file = tmp_path / "loop", tmp_path / "a file"
    loop.symlink_to(loop)
    file.touch()
    return {
        "folder": tmp_path,
        "file": file,
        "absent": tmp_path / "absent",
        # Nobody can read it, whatever they may do.
        "loop": loop,
        "below nothing": tmp_path / "absent" / "file",
        "below a file": file / "folder",
    }


def test_all_commands_with_paths_are_tried() -> None:
    assert len(TAKEN) > 20
    assert ("experiments", "set") in [names for names, *_ in TAKEN]


@pytest.mark.parametrize(
    ("names", "others", "parameter"), TAKEN, ids=[f"{' '.join(n)} {p.name}" for n, _, p in TAKEN]
)
def test_a_path_that_cannot_be_used_is_refused_in_one_sentence(
    names: tuple[str, ...], others: list[Any], parameter: Any, paths: dict[str, Path]
) -> None:
    needed = [word for other in others for word in words_of(other, NEEDED[other.opts[0]])]
    for kind in REFUSED[parameter.type_descriptor.parameter_info.callback]:
        done = CliRunner().invoke(app, [*names, *needed, *words_of(parameter, str(paths[kind]))])
        assert isinstance(done.exception, SettingsError), (kind, done.output, done.exception)
        said = str(done.exception)
        called = parameter.opts[0] if "-" in parameter.opts[0] else parameter.name.upper()
        assert said.startswith(f"{called} is {paths[kind]}")
        assert said.partition("; ")[2]


def test_what_this_user_must_not_read_or_write_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "arms.json"
    file.touch()
    monkeypatch.setattr("os.access", lambda _, how: how == os.R_OK)
    done = CliRunner().invoke(app, ["tune", "log", "--plot", str(file)])
    assert isinstance(done.exception, SettingsError)
    assert "must not write" in str(done.exception)
    monkeypatch.setattr("os.access", lambda *_: False)
    done = CliRunner().invoke(app, ["experiments", "set", str(file)], env={"COLUMNS": "250"})
    assert done.exit_code == 2
    assert f"'{file}' is not readable" in done.output
