"""What the commands share: options, settings, results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from infra.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from infra.config import Settings

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, on the last line of stdout.")
]

#: Columns of a table that goes to a file or a pipe.
WIDTH: Final = 200


def show(report: dict[str, Any], *, as_json: bool) -> None:
    """Print a result for a script or for a person."""
    import msgspec

    if as_json:
        print(msgspec.json.encode(report).decode(), flush=True)
    else:
        from rich.pretty import pprint

        pprint(report, expand_all=False)


def console() -> Console:
    """Where tables are printed: stdout, :data:`WIDTH` columns wide where it is no terminal."""
    from rich.console import Console

    made = Console(highlight=False, markup=False)
    if not made.is_terminal:
        made.width = WIDTH
    return made


def text_of(value: float) -> str:
    """A figure in a table: counts whole, others with four places."""
    return str(value) if isinstance(value, int) else f"{value:.4f}"


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
