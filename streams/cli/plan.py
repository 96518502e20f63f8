"""``freshgrid plan``: what an installation of a given size needs, and what breaks first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.common import Json, console, show
from streams.cli.paths import file_to_read
from streams.planning.figures import SHIPPED, read_figures
from streams.planning.sizing import Assumptions, Load
from streams.planning.sizing import plan as sized
from streams.planning.table import load_of, rows_of, share

_DEFAULT = Assumptions()


def plan(
    viewers: Annotated[int, typer.Option(min=1, help="Viewers of a day.")],
    media: Annotated[int, typer.Option(min=1, help="Media that may be shown.")],
    events_per_s: Annotated[
        float | None,
        typer.Option(min=0.001, help="Events at the busiest time; by default 64 a viewer a day."),
    ] = None,
    figures: Annotated[
        Path,
        typer.Option(
            callback=file_to_read,
            help="What `freshgrid bench NAME --json` printed on your machine, one object a line.",
            show_default="those of Freshgrid",
        ),
    ] = SHIPPED,
    pages_per_event: Annotated[float, typer.Option(min=0)] = _DEFAULT.pages_per_event,
    grids_per_event: Annotated[float, typer.Option(min=0)] = _DEFAULT.grids_per_event,
    sessions_per_viewer: Annotated[float, typer.Option(min=0)] = _DEFAULT.sessions_per_viewer,
    peak: Annotated[
        float, typer.Option(min=1, help="The busiest time over the mean of a day.")
    ] = _DEFAULT.peak,
    stored_viewers: Annotated[
        float, typer.Option(min=1, help="Viewers in Redis, by viewer of a day.")
    ] = _DEFAULT.stored_viewers,
    ready_grids: Annotated[
        float, typer.Option(min=0, help="Ready grids in Redis, by viewer of a day.")
    ] = _DEFAULT.ready_grids,
    events_per_write: Annotated[float, typer.Option(min=1)] = _DEFAULT.events_per_write,
    busy: Annotated[
        float, typer.Option(min=0.05, max=1, help="Share of a core's time that is planned for.")
    ] = _DEFAULT.busy,
    replicas: Annotated[int, typer.Option(min=1, help="REPLICATION_FACTOR.")] = _DEFAULT.replicas,
    kept_days: Annotated[float, typer.Option(min=0)] = _DEFAULT.kept_days,
    process_gib: Annotated[
        float, typer.Option(min=0.5, help="Memory of one ranker, and of one Redis, at most.")
    ] = _DEFAULT.process_gib,
    empty_gib: Annotated[float, typer.Option(min=0)] = _DEFAULT.empty_gib,
    learner_cores: Annotated[float, typer.Option(min=0)] = _DEFAULT.learner_cores,
    learner_gib: Annotated[float, typer.Option(min=0)] = _DEFAULT.learner_gib,
    broker_cores: Annotated[float, typer.Option(min=0.1)] = _DEFAULT.broker_cores,
    broker_gib: Annotated[float, typer.Option(min=0.1)] = _DEFAULT.broker_gib,
    partition_mb_s: Annotated[float, typer.Option(min=0.1)] = _DEFAULT.partition_mb_s,
    core_hour: Annotated[
        float, typer.Option(min=0, help="Price of a core for an hour.")
    ] = _DEFAULT.core_hour,
    gib_hour: Annotated[
        float, typer.Option(min=0, help="Price of a GiB of memory for an hour.")
    ] = _DEFAULT.gib_hour,
    disk_gib_month: Annotated[
        float, typer.Option(min=0, help="Price of a GiB of disk for a month.")
    ] = _DEFAULT.disk_gib_month,
    json: Json = False,
) -> None:
    """Sum up what a load needs from what benchmarks measured: processes, memory, bytes, money."""

    assumed = Assumptions(
        pages_per_event=pages_per_event,
        grids_per_event=grids_per_event,
        sessions_per_viewer=sessions_per_viewer,
        peak=peak,
        stored_viewers=stored_viewers,
        ready_grids=ready_grids,
        events_per_write=events_per_write,
        busy=busy,
        replicas=replicas,
        kept_days=kept_days,
        process_gib=process_gib,
        empty_gib=empty_gib,
        learner_cores=learner_cores,
        learner_gib=learner_gib,
        broker_cores=broker_cores,
        broker_gib=broker_gib,
        partition_mb_s=partition_mb_s,
        core_hour=core_hour,
        gib_hour=gib_hour,
        disk_gib_month=disk_gib_month,
    )
    load = load_of(viewers, media, assumed)
    if events_per_s is not None:
        load = Load(viewers=viewers, media=media, events_per_s=events_per_s)
    measured = read_figures(figures)
    found = sized(load, measured, assumed)
    if json:
        told = {"load": load, "assumed": assumed, "figures": measured, "plan": found}
        show({**told, "feasible": found.feasible}, as_json=True)
        return
    shown = console()
    for name, value in rows_of(load, found):
        shown.print(f"{name:<34}{value}")
    shown.print("")
    for limit in found.limits:
        shown.print(f"{limit.name:<50}{share(limit)}")
    shown.print(f"\nfigures of {measured.machine}, from {figures}")
