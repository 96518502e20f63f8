"""The command ``freshgrid``.

Exit codes: 0 done, 1 failed, 2 wrong usage. What can be expected to go wrong is a
:class:`infra.errors.FreshgridError` and shows as one sentence on stderr.

A command imports what it needs when it runs, so that ``freshgrid --help`` answers at once.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import FreshgridError, SettingsError

if TYPE_CHECKING:
    from infra.config import Settings

app = typer.Typer(
    name="freshgrid",
    help="A self-hosted Explore: likes stream in, every viewer's grid follows a moment later.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port of the HTTP API; 0 for any free one. [HTTP_PORT]"),
]


@app.command()
def up(port: Port = None) -> None:
    """Start the whole stack, print where it is as one JSON line, run until stopped."""
    import msgspec

    from infra.supervisor import stop_signals
    from streams.stack import starting_stack

    settings = load_settings()
    with (
        suppress(KeyboardInterrupt),
        stop_signals(),
        starting_stack(settings, http_port=port) as stack,
    ):
        stack.wait_ready()
        print(msgspec.json.encode(stack.endpoints).decode(), flush=True)
        stack.wait()


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the first live like instead of serving.")
    ] = False,
    port: Port = None,
) -> None:
    """Start the stack, replay the bundled events, train, show a grid and how a like changes it."""
    from infra.supervisor import stop_signals
    from streams.demo import run_demo

    settings = load_settings()
    with suppress(KeyboardInterrupt), stop_signals():
        run_demo(settings, once=once, http_port=port)
        return
    # Interrupted before it was done.
    raise typer.Exit(130)


@app.command()
def worker() -> None:
    """Fold events into viewer state (one Kafka consumer group member)."""
    _run("worker")


@app.command()
def learner() -> None:
    """Learn account embeddings and rankers from the stream."""
    _run("learner")


@app.command()
def serve() -> None:
    """Keep the grids fresh and serve them over HTTP."""
    _run("ranker")


@app.command()
def doctor() -> None:
    """Check Python, packages, Kafka, Redis, the HTTP port and the artifacts folder."""
    from infra.doctor import findings

    healthy = True
    for finding in findings(load_settings()):
        print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what:<9} {finding.text}", flush=True)
        healthy &= finding.ok
    if not healthy:
        raise typer.Exit(1)


def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: an environment variable has a value that cannot be used.
    """
    from pydantic import ValidationError

    from infra.config import settings

    try:
        return settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(f"{name}={first['input']!r} cannot be used: {first['msg']}") from error


def main() -> None:
    """Run the command line; the console script."""
    try:
        app()
    except FreshgridError as error:
        print(f"freshgrid: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _run(role: str) -> None:
    load_settings()
    from streams.app import run

    raise typer.Exit(run(role))


if __name__ == "__main__":
    main()
