"""``freshgrid dead-letters``: what could not be applied, and what becomes of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.common import Json, console, load_settings, show

if TYPE_CHECKING:
    from streams.log.dead_letters import Wanted

dead_letters = typer.Typer(
    no_args_is_help=True, help="Look at records that could not be applied, and send them again."
)

Topic = Annotated[str | None, typer.Option(help="Only records of this topic.")]
Error = Annotated[str | None, typer.Option(help="Only this error, for instance bad_ts.")]
Since = Annotated[
    str | None,
    typer.Option(help="Only what died since: epoch ms or ISO 8601 (UTC by default)."),
]


@dead_letters.command("list")
def list_dead_letters(
    topic: Topic = None,
    error: Error = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="Show the newest so many.")] = 50,
    json: Json = False,
) -> None:
    """The newest dead letters, and how many there are of each error."""
    import asyncio

    from streams.log.dead_letters import list_dead_letters

    settings = load_settings()
    report = asyncio.run(list_dead_letters(settings, _wanted(topic, error, since), limit))
    if json:
        show(report, as_json=True)
    else:
        _print_table(report)


@dead_letters.command("show")
def show_dead_letter(
    dead_letter_id: Annotated[
        str, typer.Argument(metavar="ID", help="PARTITION:OFFSET, from list.")
    ],
    json: Json = False,
) -> None:
    """One dead letter with the original record."""
    import asyncio

    from streams.log.dead_letters import DeadLetterId, show_dead_letter

    show(
        asyncio.run(show_dead_letter(load_settings(), DeadLetterId.parse(dead_letter_id))),
        as_json=json,
    )


@dead_letters.command("redrive")
def redrive_dead_letters(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="PARTITION:OFFSET, from list.")
    ] = None,
    topic: Topic = None,
    error: Error = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all", help="All not redriven yet.")] = False,
    edit_command: Annotated[
        str | None,
        typer.Option(help="Shell command: original value on stdin, new value on stdout."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Edit and check, but send nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Send dead letters to their topics again: by ID, or all that filters take.

    Filters leave out what was redriven already; an ID does not. What would die again is refused,
    and the exit code is 1.
    """
    import asyncio

    from streams.log.dead_letters import DeadLetterId
    from streams.log.redrive import redrive

    filtered = everything or any(given is not None for given in (topic, error, since))
    report = asyncio.run(
        redrive(
            load_settings(),
            [DeadLetterId.parse(text) for text in ids or ()],
            _wanted(topic, error, since) if filtered else None,
            edit_command=edit_command,
            dry_run=dry_run,
        )
    )
    if json:
        show(report, as_json=True)
    else:
        for sent in report["sent"]:
            where = sent["value"] if dry_run else f"{sent['partition']}:{sent['offset']}"
            print(f"{sent['id']} → {sent['topic']} {where}")
        for refused in report["refused"]:
            print(f"{refused['id']} refused, {refused['message']}", file=sys.stderr)
        print(
            f"{report['redriven']} {'would be ' if dry_run else ''}redriven, "
            f"{len(report['refused'])} refused",
            file=sys.stderr,
        )
    if report["refused"]:
        raise typer.Exit(1)


def _wanted(topic: str | None, error: str | None, since: str | None) -> Wanted:
    from streams.clock import parse_time
    from streams.log.dead_letters import Wanted

    return Wanted(topic, error, 0 if since is None else parse_time("--since", since))


def _print_table(report: dict[str, Any]) -> None:
    from rich.table import Table

    from streams.log.dead_letters import time_text

    table = Table(box=None, pad_edge=False)
    for name in ("id", "first seen (UTC)", "error", "record", "key", "redriven", "message"):
        table.add_column(name, overflow="fold")
    for dead_letter in report["dead_letters"]:
        redriven_ms = dead_letter["redriven_ms"]
        table.add_row(
            dead_letter["id"],
            time_text(dead_letter["first_seen"]),
            dead_letter["error"],
            f"{dead_letter['topic']} {dead_letter['partition']}:{dead_letter['offset']}",
            dead_letter["key"] or "",
            "" if redriven_ms is None else time_text(redriven_ms),
            dead_letter["message"],
        )
    out = console()
    if report["dead_letters"]:
        out.print(table)
        out.print()
    counts = ", ".join(f"{count} {error}" for error, count in report["by_error"].items())
    out.print(
        f"{report['total']} dead letters, {report['redriven']} of them redriven"
        + (f": {counts}" if counts else "")
    )
