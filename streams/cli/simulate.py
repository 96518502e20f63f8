"""``freshgrid simulate``: a world with known truth, and what the product is worth in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import SettingsError
from streams.cli.common import Json, console, load_settings, show
from streams.cli.paths import file_to_write, to_read

if TYPE_CHECKING:
    from infra.config import Settings
    from models.simulation.world import SimulatedWorld


def simulate(
    viewers: Annotated[int, typer.Option(min=20, help="How many there are.")] = 100,
    accounts: Annotated[
        int | None, typer.Option(min=1, help="How many post, those of a wave apart; 2 a viewer.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Length of the simulated time.")] = 4,
    warm_days: Annotated[
        float, typer.Option(min=0, help="Until then everybody is shown media at random.")
    ] = 1.5,
    seed: Annotated[int, typer.Option(min=0, help="Of the first world.")] = 7,
    seeds: Annotated[int, typer.Option(min=1, help="So many worlds, one a seed.")] = 5,
    report: Annotated[
        bool, typer.Option("--report", help="Regret beside rivals, and the hard cases.")
    ] = False,
    ablations: Annotated[
        bool, typer.Option("--ablations", help="Freshgrid without one thing at a time.")
    ] = False,
    delays: Annotated[
        bool, typer.Option("--delays", help="Value against how late events are known.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Only these of the ablations or delays, by name.")
    ] = None,
    trained: Annotated[
        bool, typer.Option(help="Off, all serve by the untrained prior: a tenth of the time.")
    ] = True,
    beside: Annotated[
        Path | None,
        typer.Option(callback=to_read, help="A log whose distributions to show; the bundled one."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(callback=file_to_write, help="Write the first world as a fixture to replay."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--kafka", min=0.1, help="Send the first world to Kafka, records a second."),
    ] = None,
    spam: Annotated[
        bool, typer.Option(help="With a wave of spam a quarter of a day after the middle.")
    ] = True,
    json: Json = False,
) -> None:
    """Build worlds whose truth is known; without further options show how they are distributed.

    --report, --ablations and --delays run the production fold, query and passes in them, and take
    minutes: a run of each policy and seed.
    """
    from infra.threads import use_one_thread

    use_one_thread()
    from models.simulation.config import SimulationConfig, Wave
    from models.simulation.world import SimulatedWorld

    asked = [report, ablations, delays, write is not None, rate is not None]
    if sum(asked) > 1:
        raise SettingsError(
            "give one of --report, --ablations, --delays, --write and --kafka at a time"
        )
    if warm_days >= days:
        raise SettingsError(f"--warm-days {warm_days} leaves nothing of --days {days}; give less")
    settings = load_settings()
    middle = (warm_days + days) / 2.0
    config = SimulationConfig(
        seed=seed,
        viewers=viewers,
        accounts=accounts or 2 * viewers,
        days=days,
        drift_day=middle,
        spam=Wave(day=middle + 0.25, accounts=4, media=8, robots=max(viewers // 10, 10))
        if spam
        else None,
    )
    if report or ablations or delays:
        which = "report" if report else "ablations" if ablations else "delays"
        _judge(
            which, config, settings, range(seed, seed + seeds), warm_days, only or [],
            trained=trained, as_json=json,
        )  # fmt: skip
        return
    world = SimulatedWorld.of(config)
    if write is not None:
        _write(world, settings, write, as_json=json)
    elif rate is not None:
        _send(world, settings, rate, as_json=json)
    else:
        _distributions(world, settings, beside, as_json=json)


def _judge(
    which: str, config: Any, settings: Settings, seeds: range, warm_days: float, only: list[str],
    *, trained: bool, as_json: bool,
) -> None:  # fmt: skip
    from streams.cli.progress import showing_stages
    from streams.simulated.report import ABLATIONS, DELAYS, compare, regret, selected

    with showing_stages("simulate") as progress:
        if which == "report":
            found = regret(config, settings, seeds, warm_days, progress)
            variants = found["policies"]
        else:
            of = selected(ABLATIONS if which == "ablations" else DELAYS, only, trained=trained)
            variants = found = compare(of, config, settings, seeds, warm_days, progress)
    if as_json:
        show({which: found, "seeds": list(seeds), "viewers": config.viewers}, as_json=True)
        return
    _print_table(variants)
    if which == "report":
        out = console()
        for key in ("oracle_share", "vs_ease", "actions_to_recover", "spam_minutes"):
            out.print(f"{key}: {found[key]}")


def _print_table(variants: dict[str, dict[str, Any]]) -> None:
    from rich.table import Table

    names = list(next(iter(variants.values())))
    table = Table("", *names, box=None)
    for variant, figures in variants.items():
        table.add_row(variant, *(_interval(figures[name]) for name in names))
    console().print(table)


def _interval(of: dict[str, float | None] | list[float | None]) -> str:
    if isinstance(of, list):
        return ", ".join("never" if value is None else f"{value:g}" for value in of)
    if of["mean"] is None:
        return "–"
    if of["low"] is None:
        return f"{of['mean']:.3f}"
    return f"{of['mean']:.3f} ({of['low']:.3f} to {of['high']:.3f})"


def _write(world: SimulatedWorld, settings: Settings, path: Path, *, as_json: bool) -> None:
    import gzip

    from streams.simulated.feed import as_line, records

    lines = [as_line(message) + b"\n" for message in records(world, settings.grid_size)]
    data = b"".join(lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    show({"file": path.name, "records": len(lines)}, as_json=as_json)


def _send(world: SimulatedWorld, settings: Settings, rate: float, *, as_json: bool) -> None:
    import asyncio

    from streams.cli.progress import showing_progress
    from streams.clock import now_ms
    from streams.simulated.feed import records, send

    shift_ms = now_ms() - world.config.end_ms
    messages = list(records(world, settings.grid_size, shift_ms))
    with showing_progress("simulate") as progress:
        asyncio.run(
            send(settings, iter(messages), rate, lambda sent: progress(sent, len(messages)))
        )
    show({"records": len(messages), "rate": rate}, as_json=as_json)


def _distributions(
    world: SimulatedWorld, settings: Settings, beside: Path | None, *, as_json: bool
) -> None:
    from models.simulation.marginals import marginals
    from streams.local.scenario import FIXTURE
    from streams.recorded.reading import read_dataset
    from streams.simulated.loop import simulate as run
    from streams.simulated.policy import RandomPolicy

    size = settings.grid_size
    events = run(world, RandomPolicy(world, size), size=size, oracle_every=0).events
    ours = marginals(events.ts_n, events.viewer_n, events.media_n, events.action_n)
    data = read_dataset(beside or FIXTURE)
    log = data.log
    theirs = marginals(log.ts_n, log.viewer_n, log.media_n, log.action_n)
    if as_json:
        show({"simulated": ours, "recorded": theirs, "data": data.name}, as_json=True)
        return
    from rich.table import Table

    table = Table("", "simulated", data.name, box=None)
    for name, value in ours.items():
        table.add_row(name, f"{value:.4f}", f"{theirs.get(name, float('nan')):.4f}")
    console().print(table)
