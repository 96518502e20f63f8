"""``freshgrid backup`` and ``freshgrid restore``: everything that is held, out and back in."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from streams.cli.common import Json, load_settings, show

Where = Annotated[str, typer.Argument(help="A folder, or an fsspec URL such as s3://bucket/path.")]


def backup(where: Where, json: Json = False) -> None:
    """Save the log, the store and the trained models; roles may run meanwhile."""
    import asyncio

    from streams.log import backup as saving

    show(asyncio.run(saving.backup(load_settings(), where, _tell)), as_json=json)


def restore(where: Where, json: Json = False) -> None:
    """Put a back-up into an empty Kafka and Redis. No role may run."""
    import asyncio

    from streams.log import backup as saving

    show(asyncio.run(saving.restore(load_settings(), where, _tell)), as_json=json)


def _tell(what: str) -> None:
    print(f"freshgrid: {what}", file=sys.stderr, flush=True)
