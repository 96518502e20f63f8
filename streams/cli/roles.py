"""``freshgrid up``, ``demo``, ``worker``, ``learner``, ``ranker``: what runs until stopped."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Annotated

import typer

from streams.cli.common import load_settings

Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port of the HTTP API; 0 for any free one. [HTTP_PORT]"),
]


def up(port: Port = None) -> None:
    """Start the whole stack, print where it is as one JSON line, run until stopped."""
    import msgspec

    from infra.supervisor import stop_signals
    from streams.local.stack import starting_stack
    from streams.topology import LEARNER, RANKER, WORKER

    settings = load_settings()
    with (
        suppress(KeyboardInterrupt),
        stop_signals(),
        starting_stack(settings, http_port=port) as stack,
    ):
        _tell(f"Kafka at {stack.endpoints.kafka}, Redis at {stack.endpoints.redis}")
        # The learner, which imports most, is the last to be ready.
        for role in (WORKER, RANKER, LEARNER):
            _tell(f"starting the {role}")
            stack.wait_ready(role)
        _tell("all is ready; the next line says where; Ctrl-C ends everything")
        print(msgspec.json.encode(stack.endpoints).decode(), flush=True)
        stack.wait()


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the first live like instead of serving.")
    ] = False,
    port: Port = None,
) -> None:
    """Start the stack, replay the bundled events, train, show a grid and how a like changes it."""
    from infra.supervisor import stop_signals
    from streams.local.demo import run_demo

    settings = load_settings()
    with suppress(KeyboardInterrupt), stop_signals():
        run_demo(settings, once=once, http_port=port)
        return
    # Interrupted before it was done.
    raise typer.Exit(130)


def worker() -> None:
    """Fold events into viewer state (one Kafka consumer group member)."""
    _run("worker")


def learner() -> None:
    """Learn account embeddings and rankers from the stream."""
    _run("learner")


def ranker() -> None:
    """Keep the grids fresh and serve them over HTTP."""
    _run("ranker")


def _tell(line: str) -> None:
    print(f"freshgrid up: {line}", file=sys.stderr, flush=True)


def _run(role: str) -> None:
    load_settings()
    from streams.app import run

    raise typer.Exit(run(role))
