"""Paths that a person gives: looked at before any work begins, with one sentence for what is wrong.

Not opened: what a shell hands over as a file may be a pipe, which is read but once.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import typer

from infra.errors import SettingsError

Given = Path | Sequence[Path] | None


def file_to_read(parameter: typer.CallbackParam, value: Given) -> Given:
    """What was given, once it is known to be files that can be read.

    Raises:
        SettingsError: it is not there, a folder, or out of reach.
    """
    for path in _each(value):
        if _is_folder(parameter, path):
            raise SettingsError(f"{_name(parameter)} is {path}, which is a folder; name a file")
    return value


def to_read(parameter: typer.CallbackParam, value: Given) -> Given:
    """What was given, once it is known to be files or folders that can be read.

    Raises:
        SettingsError: it is not there, or out of reach.
    """
    for path in _each(value):
        _is_folder(parameter, path)
    return value


def file_to_write(parameter: typer.CallbackParam, value: Given) -> Given:
    """What was given, once it is known that a file may be written there.

    Raises:
        SettingsError: it is a folder, its own folder is not there, or it must not be written.
    """
    for path in _each(value):
        beginning = f"{_name(parameter)} is {path}"
        if path.is_dir():
            raise SettingsError(f"{beginning}, which is a folder; name a file in it")
        if not path.parent.is_dir():
            raise SettingsError(f"{beginning}, and there is no folder {path.parent}; make it")
        if path.is_symlink() and not path.exists():
            raise SettingsError(f"{beginning}, a link that leads nowhere; name another file")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise SettingsError(f"{beginning}, which this user must not write; name another file")
    return value


def folder_to_write(parameter: typer.CallbackParam, value: Given) -> Given:
    """What was given, once it is known to be a folder, or that one may be made there.

    Raises:
        SettingsError: there is something else, on the way as well.
    """
    for path in _each(value):
        made = next(one for one in (path, *path.absolute().parents) if os.path.lexists(one))
        if not made.is_dir():
            raise SettingsError(
                f"{_name(parameter)} is {path}, and {made} is no folder; name another folder"
            )
        if not os.access(made, os.W_OK):
            raise SettingsError(
                f"{_name(parameter)} is {path}, and this user must not write in {made}; "
                "name another folder"
            )
    return value


def _each(value: Given) -> Sequence[Path]:
    return [value] if isinstance(value, Path) else value or []


def _name(parameter: typer.CallbackParam) -> str:
    """An option by its flag, an argument by its name as the usage has it."""
    if parameter.param_type_name == "option":
        return next(flag for flag in parameter.opts if flag.startswith("--"))
    return (parameter.name or "").upper()


def _is_folder(parameter: typer.CallbackParam, path: Path) -> bool:
    """Whether what can be read is a folder.

    Raises:
        SettingsError: it cannot be read.
    """
    beginning = f"{_name(parameter)} is {path}"
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise SettingsError(f"{beginning}, which is not there; name one that is") from error
    except OSError as error:
        raise SettingsError(
            f"{beginning}, which cannot be read ({error.strerror}); name another"
        ) from error
    return stat.S_ISDIR(found.st_mode)
