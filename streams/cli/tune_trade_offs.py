"""``freshgrid tune log`` and ``freshgrid tune world``: settings that trade goals, and their arm."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import SettingsError
from streams.cli.common import Json, console, load_settings, show
from streams.cli.paths import file_to_write

if TYPE_CHECKING:
    from infra.config import Settings
    from models.evaluation.trade_offs import Goals, Knob

Trials = Annotated[int, typer.Option(min=2, help="Settings that are tried.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]
Plot = Annotated[
    Path | None,
    typer.Option(callback=file_to_write, help="Write all points as a plot (SVG) to this file."),
]
Apply = Annotated[
    bool, typer.Option("--apply", help="Give the chosen point to the arm, live in a second.")
]
ArmName = Annotated[str, typer.Option("--arm", help="Its name.")]
Share = Annotated[float, typer.Option(help="Of all viewers, for the arm.")]
Who = Annotated[str, typer.Option(help="Who applies it, for the history.")]
Figures = Callable[[dict[str, float]], dict[str, float]]


def tune_log(
    since: Annotated[
        str | None, typer.Option(help="Pages from then on: epoch ms or ISO 8601; 7 days.")
    ] = None,
    trials: Trials = 200,
    seed: Seed = 7,
    plot: Plot = None,
    apply: Apply = False,
    arm: ArmName = "tuned",
    share: Share = 0.05,
    who: Who = "",
    json: Json = False,
) -> None:
    """Weights and spread by what viewers did with pages in random order (RANDOMISED_SHARE)."""
    import asyncio

    _check_extra()
    from models.evaluation.random_orders import RandomOrders
    from models.events import DAY_MS
    from models.explore.diversity import DiversityConfig
    from models.off_policy.support import ThinSupportError
    from streams.clock import now_ms, parse_time
    from streams.recorded.random_pages import random_pages
    from streams.recorded.trade_off_report import TradeOffError
    from streams.serving.explorer import explore_config
    from streams.simulated.trade_offs import AUTHOR_PENALTY, weight_knobs, weights_of

    settings = load_settings()
    since_ms = now_ms() - 7 * DAY_MS if since is None else parse_time("--since", since)
    pages = asyncio.run(random_pages(settings, since_ms))
    config = explore_config(settings).diversity

    def figures(setting: dict[str, float]) -> dict[str, float]:
        from msgspec.structs import replace

        spread: DiversityConfig = replace(config, author_penalty=setting[AUTHOR_PENALTY])
        judged = orders.judge(weights_of(setting), spread)
        return {
            "worth": judged.worth.value,
            "worth_low": judged.worth.low,
            "worth_high": judged.worth.high,
            **{name: of.value for name, of in judged.actions.items()},
            "variety": judged.variety,
            "new_media": judged.new_media,
        }

    try:
        orders = RandomOrders(pages.pages())
        applied = (arm, share, who) if apply else None
        _tune(settings, weight_knobs(), figures, trials, seed, plot, json=json,
              applied=applied, origin={"pages": len(orders)})  # fmt: skip
    except ThinSupportError as error:
        raise TradeOffError(str(error)) from error


def tune_world(
    viewers: Annotated[int, typer.Option(min=20, help="Of the simulated world.")] = 60,
    days: Annotated[int, typer.Option(min=1, help="Length of its time.")] = 2,
    warm_days: Annotated[float, typer.Option(min=0, help="At random for everybody.")] = 1.0,
    trained: Annotated[
        bool, typer.Option("--trained", help="Learn in each run, which takes far longer.")
    ] = False,
    blend: Annotated[
        bool, typer.Option("--blend", help="The weights of the bundled query, too.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(
            callback=file_to_write, help="Write the query with the weights found to this file."
        ),
    ] = None,
    trials: Trials = 40,
    seed: Seed = 7,
    plot: Plot = None,
    apply: Apply = False,
    arm: ArmName = "tuned",
    share: Share = 0.05,
    who: Who = "",
    json: Json = False,
) -> None:
    """Weights, spread, exploration and query in a simulated world, a whole run for each trial."""
    _check_extra()
    from infra.threads import use_one_thread

    use_one_thread()
    from models.evaluation.trade_offs import Knob
    from models.simulation.config import SimulationConfig
    from models.simulation.world import SimulatedWorld
    from streams.simulated.trade_offs import (
        EXPLORATION,
        WorldFigures,
        branch_knobs,
        query_of_setting,
        weight_knobs,
    )

    if blend and apply and write is None:
        raise SettingsError(
            "an arm names its query: give --write FOLDER/NAME.igql in the folder of EXPLORE_QUERY"
        )
    settings = load_settings()
    config = SimulationConfig(
        seed=seed, viewers=viewers, accounts=2 * viewers, days=days,
        drift_day=(warm_days + days) / 2.0, spam=None,
    )  # fmt: skip
    figures = WorldFigures(SimulatedWorld.of(config), settings, warm_days, trained=trained)
    knobs = {**weight_knobs(), EXPLORATION: Knob(low=0.0, high=0.2)}
    if blend:
        knobs |= branch_knobs()

    def written(setting: Mapping[str, float]) -> str:
        text = query_of_setting(setting)
        if write is None or text is None:
            return ""
        write.write_text(text, encoding="utf-8")
        print(f"freshgrid: wrote {write}", file=sys.stderr)
        return write.stem

    _tune(settings, knobs, figures, trials, seed, plot, json=json,
          applied=(arm, share, who) if apply else None,
          origin={"viewers": viewers, "days": days}, written=written)  # fmt: skip


def _tune(
    settings: Settings,
    knobs: Mapping[str, Knob],
    figures: Figures,
    trials: int,
    seed: int,
    plot: Path | None,
    *,
    json: bool,
    applied: tuple[str, float, str] | None,
    origin: dict[str, Any],
    written: Callable[[Mapping[str, float]], str] = lambda setting: "",
) -> None:
    from models.evaluation.trade_offs import Goals, best, search
    from models.rankers.value import Weights
    from streams.cli.progress import showing_progress
    from streams.recorded.trade_off_report import TradeOffError, report_of
    from streams.recorded.trade_off_report import plot as plotted
    from streams.serving.explorer import explore_config
    from streams.simulated.trade_offs import start_of

    if plot is not None and not plot.parent.is_dir():
        raise SettingsError(f"{plot} cannot be written: there is no folder {plot.parent}; make it")
    config = explore_config(settings)
    start = start_of(Weights(), config.diversity, config.exploration.share)
    live = figures({name: start[name] for name in knobs})
    goals = Goals(
        more=("worth", "variety", "new_media"),
        at_most={"see_fewer": live["see_fewer"]},
        at_least={"variety": 0.95 * live["variety"], "new_media": 0.9 * live["new_media"]},
    )
    with showing_progress("tune", "trials") as progress:
        tried = search(knobs, start, figures, goals, trials, seed, progress)
    report = {**origin, **report_of(live, tried, goals)}
    if plot is not None:
        plot.write_text(plotted(live, tried, goals), encoding="utf-8")
    chosen = best(tried, goals)
    query = "" if chosen is None else written(chosen.knobs)
    if applied is not None:
        if chosen is None:
            raise TradeOffError(
                "no setting tried keeps the limits, so there is nothing to apply; give --trials"
            )
        report["applied"] = _applied(settings, chosen.knobs, query, *applied)
    if json:
        show(report, as_json=True)
    else:
        _print(report, goals)


def _applied(
    settings: Settings, setting: Mapping[str, float], query: str, name: str, share: float, who: str
) -> dict[str, Any]:
    import asyncio

    from infra.open_stores import open_stores
    from streams.cli.weights import user
    from streams.recorded.trade_off_report import apply, arm_of

    async def write() -> dict[str, Any]:
        async with open_stores(settings) as stores:
            return await apply(
                stores.experiments, settings, who or user(), name, arm_of(setting, share, query)
            )

    return asyncio.run(write())


def _print(report: dict[str, Any], goals: Goals) -> None:
    from rich.table import Table

    from models.actions import HEAD_NAMES

    columns = [*goals.more, *HEAD_NAMES]
    table = Table("", *columns, "settings", box=None)
    table.add_row("live", *(f"{report['live'][name]:.4g}" for name in columns), "")
    for one in report["front"]:
        mark = "chosen" if one == report["chosen"] else ""
        table.add_row(
            mark, *(f"{one['figures'][name]:.4g}" for name in columns),
            " ".join(f"{name}={of:.3g}" for name, of in one["knobs"].items()),
        )  # fmt: skip
    out = console()
    out.print(table)
    out.print(f"{report['tried']} tried, {report['kept']} keep the limits")


def _check_extra() -> None:
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise SettingsError("tuning needs optuna: pip install 'freshgrid[tune]'")
