"""``python -m tests.chaos``: everything that can break breaks while events flow.

Exit code 0 when nothing was lost, doubled or stuck, 1 otherwise.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tests.chaos.run import Options, run
from tests.kafka.apache_kafka import apache_kafka_missing


class Broker(StrEnum):
    """Which broker to run on."""

    BEST = "best"
    APACHE = "apache"
    EMBEDDED = "embedded"
    EACH = "each"


def tell(line: str) -> None:
    """One line of progress, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def brokers(asked: Broker) -> list[str]:
    """The brokers to run on, one after the other.

    Raises:
        typer.Exit: Apache Kafka was asked for by name and cannot be had.
    """
    if asked is Broker.EMBEDDED:
        return ["embedded"]
    missing = apache_kafka_missing(tell)
    if missing is not None:
        tell(missing if asked is Broker.APACHE else f"{missing}; on the embedded broker alone")
        if asked is Broker.APACHE:
            raise typer.Exit(1)
        return ["embedded"]
    return ["apache", "embedded"] if asked is Broker.EACH else ["apache"]


def chaos(
    events: Annotated[int | None, typer.Option(min=2000, help="Records on event topics.")] = None,
    kills: Annotated[int | None, typer.Option(min=0, help="Further workers killed.")] = None,
    rounds: Annotated[
        int | None, typer.Option(min=0, help="How often each fault happens; 0: one of each group.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of events and faults.")] = 1,
    broker: Annotated[Broker, typer.Option(help="best: Apache Kafka where it can be had.")] = (
        Broker.BEST
    ),
    short: Annotated[
        bool, typer.Option("--short", help="20,000 events, one fault of each group.")
    ] = (False),
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A fault by its name; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Break everything that can break while events flow, then judge the state."""
    # Clients that cannot reach a server say so all the time.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    reports = [
        run(
            Options(
                name,
                seed,
                events or (20_000 if short else 200_000),
                kills if kills is not None else (0 if short else 20),
                rounds if rounds is not None else (0 if short else 2),
                1.0 if short else 10.0,
                only=tuple(only or ()),
            ),
            tell,
        )
        for name in brokers(broker)
    ]
    for report in reports:
        show(report)
    if as_json:
        print(json.dumps(reports[0] if len(reports) == 1 else reports))
    raise typer.Exit(0 if all(report["ok"] for report in reports) else 1)


def in_words(of: dict[str, Any]) -> str:
    """What was seen of one kind of fault, on a line."""
    asked = of["served"] + of["failed"]
    excuse = f" ({of['excused']})" if of["failed"] and of["excused"] else ""
    crashed = f", {of['crashed']} processes ended by themselves" if of["crashed"] else ""
    return (
        f"{of['injected']} ×, recovered in {max(of['recovery_s']):.1f} s at most, "
        f"{of['failed']} of {asked} lookups failed{excuse}{crashed}"
    )


def show(report: dict[str, Any]) -> None:
    """A table of one run."""
    table = Table(title=f"chaos on {report['broker']}", show_header=False)
    for name, value in report.items():
        if name == "faults":
            for fault, of in value.items():
                table.add_row(f"fault: {fault}", in_words(of))
        elif isinstance(value, dict):
            for part, count in value.items():
                table.add_row(f"{name}: {part}", str(count))
        elif isinstance(value, list):
            for line in value:
                table.add_row(name, line)
        else:
            table.add_row(name, str(value))
    Console(stderr=True).print(table)


if __name__ == "__main__":
    typer.run(chaos)
