"""``freshgrid top``: how the installation is doing, on a terminal, as it goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import UnreachableError
from streams.cli.common import console, load_settings

if TYPE_CHECKING:
    from streams.cli.ranker_api import Ranker
    from streams.operations.terminal_view import Look


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
    every: Annotated[float, typer.Option(min=2.0, help="Seconds between two looks.")] = 2.0,
    url: Annotated[str, typer.Option(help="Of a ranker; the one of the settings by default.")] = "",
) -> None:
    """What the page tells operators, live: troubles, lag, rates, latencies, sources, versions.

    Sends the key in API_KEY (or API_KEY_FILE), which needs the scope admin. Rates need two looks,
    so the first frame comes after the second one. Ctrl-C ends it.
    """
    from rich.live import Live

    from streams.cli.ranker_api import ranker_of
    from streams.operations.terminal_view import frame

    ranker = ranker_of(load_settings(), url)
    before, screen = look(ranker), console()
    time.sleep(every)
    if once or not screen.is_terminal:
        screen.print(frame(before, look(ranker)))
        return
    try:
        with Live(console=screen, screen=True, auto_refresh=False) as live:
            while True:
                try:
                    now = look(ranker)
                    live.update(frame(before, now), refresh=True)
                    before = now
                except UnreachableError as error:
                    # It may be starting again: the last figures would be taken for those of now.
                    live.update(str(error), refresh=True)
                time.sleep(every)
    except KeyboardInterrupt:
        return


def look(ranker: Ranker) -> Look:
    """What the ranker tells now.

    Raises:
        UnreachableError: it does not answer, or not to this key.
    """
    import msgspec

    from infra.http.operations import Operations
    from streams.cli.ranker_api import get
    from streams.operations.terminal_view import Look

    told = msgspec.convert(get(ranker, "/v1/operations"), Operations)
    return Look(ranker.url, told, get(ranker, "/v1/status")["versions"])
