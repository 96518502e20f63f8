"""``freshgrid query``: check queries, or ask the ranker what one gives a viewer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from infra.errors import FreshgridError, SettingsError
from streams.cli.common import Json, load_settings, show
from streams.cli.paths import file_to_read

if TYPE_CHECKING:
    from infra.config import Settings

COLUMNS: Final = ("media_id", "author_id", "source", "seed", "score", "source_rank")


class QueryError(FreshgridError):
    """The query cannot be read or planned; the message names each mistake."""


def query(
    files: Annotated[
        list[Path] | None,
        typer.Argument(callback=file_to_read, help="A query; with --check any number of them."),
    ] = None,
    text: Annotated[
        str | None, typer.Option("-e", "--text", help="The query itself instead of a file.")
    ] = None,
    viewer: Annotated[str | None, typer.Option(help="For whom to run it.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show rows, time and drops of every operator.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only check; asks nobody. Exit code 1 if it is wrong.")
    ] = False,
    json: Json = False,
) -> None:
    """Check a query, or show which candidates it gives a viewer and why.

    It runs in the ranker, on the world as it is there now.
    """
    if check:
        if not files or text is not None or viewer is not None:
            raise SettingsError("--check takes FILES, and neither -e nor --viewer")
        wrong = check_files(load_settings(), files)
        if wrong:
            raise QueryError("\n".join(wrong))
        show({"checked": len(files)}, as_json=json)
        return
    if (text is None) == (not files) or (files and len(files) > 1):
        raise SettingsError("give one FILE or -e TEXT; --check takes several files")
    if viewer is None:
        raise SettingsError("say for whom: --viewer ID; or --check the file")
    written = read(files[0]) if files else text or ""
    found = ask(load_settings(), written, viewer)
    if json:
        if not plan:
            found.pop("plan")
        found.pop("plan_lines")
        show(found, as_json=True)
        return
    print("\n".join(table(found)))
    if plan:
        print("\n" + "\n".join(found["plan_lines"]))


def check_files(settings: Settings, files: Sequence[Path]) -> list[str]:
    """What is wrong with each of the files; an empty list if nothing is.

    Raises:
        SettingsError: a file cannot be read, or a module of operators cannot be used.
    """
    from models.igql.errors import IgqlError
    from models.queries import planned
    from streams.serving.own_operators import load_operators

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
    """What the query gives the viewer, by the ranker of the settings.

    Raises:
        SettingsError: a module of operators cannot be used.
        QueryError: the query is wrong, here or to the ranker.
        UnreachableError: no ranker answers.
    """
    from models.igql.errors import IgqlError
    from models.queries import planned
    from streams.cli.ranker_api import RequestRefusedError, post
    from streams.serving.own_operators import load_operators

    try:
        planned(text, load_operators(settings))
    except IgqlError as error:
        raise QueryError(str(error)) from error
    try:
        return post(settings, "/v1/query", {"query": text, "viewer_id": viewer_id})
    except RequestRefusedError as error:
        raise QueryError(str(error)) from error


def table(found: dict[str, Any]) -> list[str]:
    """The candidates as lines of a table, its head first."""
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
