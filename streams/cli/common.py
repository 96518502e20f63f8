"""What the commands share: options, settings, results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import SettingsError

if TYPE_CHECKING:
    from infra.config import Settings

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, on the last line of stdout.")
]


def show(report: dict[str, Any], *, as_json: bool) -> None:
    """Print a result for a script or for a person."""
    import msgspec

    if as_json:
        print(msgspec.json.encode(report).decode(), flush=True)
    else:
        from rich.pretty import pprint

        pprint(report, expand_all=False)


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
