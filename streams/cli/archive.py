"""``freshgrid archive`` and ``freshgrid batch``: the log in Parquet files, and Spark over them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from streams.cli.common import Json, load_settings, show


def archive(
    where: Annotated[str, typer.Argument(help="A folder, or an fsspec URL (s3://bucket/path).")],
    accept_loss: Annotated[
        bool,
        typer.Option("--accept-loss", help="Go on behind what retention took before this run."),
    ] = False,
    json: Json = False,
) -> None:
    """Append the log to an archive of Parquet files; roles may run meanwhile."""
    import asyncio

    from streams.log.archive import archive as append

    def tell(what: str) -> None:
        print(f"freshgrid: {what}", file=sys.stderr, flush=True)

    report = asyncio.run(append(load_settings(), where, accept_loss=accept_loss, tell=tell))
    show(report, as_json=json)


def batch(
    where: Annotated[str, typer.Argument(help="An archive: a folder, or an fsspec URL.")],
    out: Annotated[str, typer.Argument(help="Folder or URL of Spark's for the table of viewers.")],
    master: Annotated[str, typer.Option(help="Spark's master.")] = "local[*]",
    json: Json = False,
) -> None:
    """State, sessions and sentences of ig2vec of everybody, from an archive, on Spark."""
    from streams.log.spark_fold import fold_on_spark

    show(fold_on_spark(load_settings(), where, out, master=master), as_json=json)
