"""What commands on recorded events share: where these are, what they mean and how they are cut."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.paths import file_to_read, to_read

Labels = Annotated[
    Path | None,
    typer.Option(
        callback=file_to_read, help="Topics of accounts, JSON lines of account_id and topics."
    ),
]
Data = Annotated[
    Path,
    typer.Argument(
        callback=to_read,
        help="Recorded log: JSON lines (.gz is fine), Parquet or CSV, a folder, or a mapping; see "
        "docs/evaluation.md.",
    ),
]
Mapping = Annotated[
    Path | None,
    typer.Option(
        callback=file_to_read, help="What the columns of DATA mean (TOML); see docs/datasets."
    ),
]
Split = Annotated[
    str | None,
    typer.Option(help="Where the test begins: ISO 8601 or epoch ms; by default the last 15 %."),
]


class TaskName(StrEnum):
    """What a grid should lead to."""

    LIKE = "like"
    LONG_VIEW = "long_view"
