"""``freshgrid query``: check queries, or ask the ranking worker what one gives a viewer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from infra.config import Settings
from infra.errors import FreshgridError, SettingsError
from models.igql.errors import IgqlError
from models.queries import planned
from streams.cli.worker_api import RequestRefusedError, post
from streams.serving.own_operators import load_operators

COLUMNS: Final = ("media_id", "author_id", "source", "seed", "score", "source_rank")


class QueryError(FreshgridError):
    """The query is wrong."""


def check_files(settings: Settings, files: Sequence[Path]) -> list[str]:
    """What is wrong with each of the files; an empty list if nothing is.

    Raises:
        SettingsError: a file cannot be read, or a module of operators cannot be used.
    """
    wrong, operators = [], load_operators(settings)
    for file in files:
        try:
            planned(read(file), operators)
        except IgqlError as error:
            wrong.append(f"{file}:{error.line}:{error.column}\n{error}")
    return wrong


def read(file: Path) -> str:
    """The text of a query file.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"query {file} cannot be read: {error}") from error


def ask(settings: Settings, text: str, viewer_id: str) -> dict[str, Any]:
    """What the query gives the viewer, by the ranking worker of the settings.

    Raises:
        SettingsError: a module of operators cannot be used.
        QueryError: the query is wrong, here or to the worker.
        UnreachableError: no ranking worker answers.
    """
    try:
        planned(text, load_operators(settings))
    except IgqlError as error:
        raise QueryError(str(error)) from error
    try:
        return post(settings, "/v1/query", {"query": text, "viewer_id": viewer_id})
    except RequestRefusedError as error:
        raise QueryError(str(error)) from error


def table(found: dict[str, Any]) -> list[str]:
    """The candidates as lines."""
    rows = [[str(place), *map(_cell, one)] for place, one in enumerate(_rows(found))]
    head = ["", *COLUMNS]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]


def _rows(found: dict[str, Any]) -> list[list[Any]]:
    return [[one[column] for column in COLUMNS] for one in found["candidates"]]


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
