"""The command ``freshgrid query``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.errors import SettingsError
from streams.cli.common import Json, load_settings, show


def query(
    files: Annotated[
        list[Path] | None, typer.Argument(help="A query; with --check any number of them.")
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

    It runs in the ranking worker, on the world as it is there now.
    """
    from streams.cli.query_command import QueryError, ask, check_files, read, table

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
