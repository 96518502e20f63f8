"""``freshgrid bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.errors import SettingsError
from streams.cli.common import Json, load_settings, show


def bench(
    name: Annotated[str | None, typer.Argument(help="Which benchmark; see --list.")] = None,
    list_names: Annotated[bool, typer.Option("--list", help="Name the benchmarks.")] = False,
    events: Annotated[
        int | None, typer.Option(min=1, help="Events to fold. [ingest, growth]")
    ] = None,
    stock_events: Annotated[
        int | None, typer.Option(min=1, help="Events for stock Faust. [ingest]")
    ] = None,
    viewers: Annotated[
        int | None,
        typer.Option(min=1, help="Viewers. [growth, memory, igql, grid, funnel]"),
    ] = None,
    likes: Annotated[int | None, typer.Option(min=1, help="Likes to time. [freshness]")] = None,
    accounts: Annotated[
        int | None, typer.Option(min=1000, help="Accounts in the index. [retrieval]")
    ] = None,
    background: Annotated[
        int | None, typer.Option(min=1, help="Other events per second meanwhile. [freshness]")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="Recorded events, the bundled ones if none. [embeddings, funnel, training]",
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs. [embeddings]")] = None,
    first_days: Annotated[
        int | None,
        typer.Option(min=1, help="Days fitted before the stream. [embeddings, training]"),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Of torch, e.g. cuda; timed on it. [training]")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Of torch. [training]")] = None,
    json: Json = False,
) -> None:
    """Measure, and print the figures; --json ends with one JSON line.

    An option names the benchmarks that take it.
    """
    from infra.threads import use_one_thread

    use_one_thread()
    from streams.bench import BENCHES, run_bench

    if list_names:
        for known, about in BENCHES.items():
            print(f"{known:<12} {about}")
        return
    if name not in BENCHES:
        raise SettingsError(
            f"there is no benchmark {name or ''!r}; the benchmarks are {', '.join(BENCHES)}"
        )
    options = {
        "events": events,
        "stock_events": stock_events,
        "viewers": viewers,
        "likes": likes,
        "accounts": accounts,
        "background": background,
        "data": data,
        "seeds": seeds,
        "first_days": first_days,
        "device": device,
        "threads": threads,
    }
    show(run_bench(name, load_settings(), options), as_json=json)
