"""``freshgrid versions``: trained models, which of them is live, and going back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from streams.cli.common import Json, console, load_settings, show

versions = typer.Typer(
    no_args_is_help=True, help="Stored versions of what was learned; going back."
)

Kind = Annotated[str, typer.Argument(help="ig2vec, rankers or items.")]


@versions.command("list")
def list_stored(
    kind: Annotated[
        str | None, typer.Argument(help="ig2vec, rankers or items; all by default.")
    ] = None,
    json: Json = False,
) -> None:
    """What is stored, oldest first: size, whether it is live, figures and the gate's decision."""
    import asyncio

    from streams.learning.version_list import list_versions

    report = asyncio.run(list_versions(load_settings(), kind))
    if json:
        show(report, as_json=True)
    else:
        _print_table(report["versions"])


@versions.command("promote")
def promote_version(
    kind: Kind,
    version: Annotated[str, typer.Argument(help="From list.")],
    json: Json = False,
) -> None:
    """Make a stored version live, whatever the gate said. Running processes follow."""
    import asyncio

    from streams.learning.version_list import promote

    show(asyncio.run(promote(load_settings(), kind, version)), as_json=json)


@versions.command("rollback")
def roll_back(
    kind: Kind,
    to: Annotated[
        str | None, typer.Option(help="Further back: one of those that were live before.")
    ] = None,
    json: Json = False,
) -> None:
    """Make the version live again that was live before this one. Running processes follow."""
    import asyncio

    from streams.learning.version_list import rollback

    show(asyncio.run(rollback(load_settings(), kind, to)), as_json=json)


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from streams.log.dead_letters import time_text

    table = Table(box=None, pad_edge=False)
    for name in ("kind", "version", "created (UTC)", "size", "live", "figures", "decision"):
        table.add_column(name, overflow="fold")
    for row in rows:
        decision = row["decision"]
        verdict = ""
        if decision is not None:
            verdict = f"{'promoted' if decision['promote'] else 'refused'}: {decision['reason']}"
        table.add_row(
            row["kind"],
            row["version"],
            time_text(row["created_ms"]),
            f"{row['bytes'] / 1e6:.1f} MB",
            "live" if row["live"] else "",
            ", ".join(f"{name} {value:.4g}" for name, value in row["figures"].items()),
            verdict or row["reason"] or "",
        )
    out = console()
    out.print(table if rows else "nothing is stored yet")
