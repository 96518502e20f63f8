"""``freshgrid weights`` and ``freshgrid experiments``: what actions are worth, arms of viewers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from infra.errors import SettingsError
from streams.cli.common import Json, load_settings, show
from streams.cli.paths import file_to_read

weights = typer.Typer(no_args_is_help=True, help="What each action is worth; live in a second.")
experiments = typer.Typer(help="Arms of viewers, and how they do.")

Who = Annotated[
    str, typer.Option(help="Who changes it, for the history; the user of this shell by default.")
]
Most = Annotated[int, typer.Option(min=1, help="At most so many, the newest.")]


@weights.command("get")
def get_weights(json: Json = False) -> None:
    """The weights of each arm."""
    import asyncio

    from infra.open_stores import open_stores
    from streams.serving.weights import stored, weights_by_arm

    async def read() -> dict[str, Any]:
        async with open_stores(load_settings()) as stores:
            return {"arms": weights_by_arm(await stored(stores.experiments))}

    show(asyncio.run(read()), as_json=json)


@weights.command("set")
def set_weights(
    changes: Annotated[list[str], typer.Argument(help="Such as like=1 save=2.5 form=log_linear.")],
    arm: Annotated[str, typer.Option(help="Whose weights; the first arm's by default.")] = "",
    who: Who = "",
    json: Json = False,
) -> None:
    """Change weights; those not named stay. Running rankers follow within a second."""
    import asyncio

    from infra.open_stores import open_stores
    from streams.serving.weights import change_weights

    parsed: dict[str, Any] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise SettingsError(f"{change!r} is no change; write name=value, as in save=2.5")
        parsed[name] = value if name == "form" else _number(name, value)

    async def write() -> dict[str, Any]:
        async with open_stores(load_settings()) as stores:
            return await change_weights(stores.experiments, who or user(), arm, parsed)

    show(asyncio.run(write()), as_json=json)


@weights.command("history")
def show_history(most: Most = 50, json: Json = False) -> None:
    """Who changed weights, when, from what to what; the newest first."""
    import asyncio

    from infra.open_stores import open_stores
    from streams.serving.weights import weights_history

    async def read() -> dict[str, Any]:
        async with open_stores(load_settings()) as stores:
            return {"changes": await weights_history(stores.experiments, most)}

    show(asyncio.run(read()), as_json=json)


@experiments.callback(invoke_without_command=True)
def show_experiments(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(help="Impressions from then on: epoch ms or ISO 8601; 7 days by default."),
    ] = None,
    json: Json = False,
) -> None:
    """The arms and what came of what they showed: rates per item shown, with 95 % intervals."""
    if context.invoked_subcommand is not None:
        return
    import asyncio

    from models.events import DAY_MS
    from streams.clock import now_ms, parse_time
    from streams.recorded.experiment_report import DEFAULT_DAYS, experiment_report

    since_ms = now_ms() - DEFAULT_DAYS * DAY_MS if since is None else parse_time("--since", since)
    show(asyncio.run(experiment_report(load_settings(), since_ms)), as_json=json)


@experiments.command("set")
def set_experiments(
    file: Annotated[Path, typer.Argument(callback=file_to_read, help="JSON: arms and a salt.")],
    who: Who = "",
    json: Json = False,
) -> None:
    """Replace the arms. Running rankers follow within a second."""
    import asyncio

    from infra.open_stores import open_stores
    from streams.serving.weights import set_experiment

    async def write() -> dict[str, Any]:
        settings = load_settings()
        async with open_stores(settings) as stores:
            return await set_experiment(
                stores.experiments, settings, who or user(), file.read_bytes()
            )

    show(asyncio.run(write()), as_json=json)


@experiments.command("history")
def show_experiments_history(most: Most = 20, json: Json = False) -> None:
    """Who changed the arms or their weights, when, and what they were; the newest first."""
    import asyncio

    import msgspec

    from infra.open_stores import open_stores

    async def read() -> dict[str, Any]:
        async with open_stores(load_settings()) as stores:
            return {"changes": msgspec.to_builtins(await stores.experiments.history(most))}

    show(asyncio.run(read()), as_json=json)


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise SettingsError(
            f"weight {name} is {value!r}; give a finite number of at least 0"
        ) from error


def user() -> str:
    """Who runs this shell, ``unknown`` under a number without a name."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"  # a container may run under a number that has no name
