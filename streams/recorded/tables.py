"""Parquet and CSV files as columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.errors import FreshgridError
from streams.recorded.mapping import MappingError, Unit

_PER_MS = {"ms": 1.0, "s": 1000.0, "us": 0.001}


class TableError(FreshgridError):
    """A table cannot be read, or a cell is not what its column should hold."""


def column_names(path: Path) -> list[str]:
    """The columns of a table.

    Raises:
        TableError: it cannot be read.
    """
    return list(_table(path, None).schema.names)


def read_columns(paths: Sequence[Path], names: dict[str, str]) -> dict[str, list[Any]]:
    """Columns of files, one after the other.

    Args:
        names: what it is for → column; those with an empty name are not read.

    Raises:
        MappingError: a file or a column is not there.
        TableError: a file cannot be read.
    """
    wanted = {purpose: name for purpose, name in names.items() if name}
    found: dict[str, list[Any]] = {purpose: [] for purpose in wanted}
    for path in paths:
        if not path.is_file():
            raise MappingError(f"there is no file {path}; name it in the mapping (path = …)")
        there = column_names(path)
        for purpose, name in wanted.items():
            if name not in there:
                raise MappingError(
                    f"{path.name} has no column {name!r} ({purpose}); "
                    f"its columns are {', '.join(there)}"
                )
        table = _table(path, list(dict.fromkeys(wanted.values())))
        for purpose, name in wanted.items():
            found[purpose].extend(table[name].to_pylist())
    return found


def _table(path: Path, columns: list[str] | None) -> Any:
    try:
        from pyarrow import ArrowInvalid, csv, parquet
    except ImportError as error:
        raise TableError(
            f"{path.name} is a table: pip install 'freshgrid[evaluate]', or give JSON lines"
        ) from error
    try:
        if path.suffix in (".csv", ".tsv") or path.name.endswith((".csv.gz", ".tsv.gz")):
            tabs = ".tsv" in path.suffixes
            options = csv.ParseOptions(delimiter="\t" if tabs else ",")
            read = csv.ConvertOptions(include_columns=columns or [])
            return csv.read_csv(path, parse_options=options, convert_options=read)
        return parquet.read_table(path, columns=columns)
    except (OSError, ArrowInvalid) as error:
        raise TableError(f"cannot read {path}: {error}") from error


def times(values: Sequence[Any], unit: Unit, what: str) -> NDArray[np.int64]:
    """Cells as epoch milliseconds.

    Raises:
        TableError: a cell is no time.
    """
    try:
        if unit == "iso":
            text = [str(value).replace("Z", "").replace("+00:00", "") for value in values]
            return np.array(text, "datetime64[ms]").astype(np.int64)
        if unit == "ms":
            return np.array(values, np.int64)
        return np.round(np.array(values, np.float64) * _PER_MS[unit]).astype(np.int64)
    except (TypeError, ValueError) as error:
        raise TableError(f"{what} holds something that is no time in {unit}: {error}") from error


def identifiers(values: Sequence[Any], what: str) -> list[str | None]:
    """Cells as ids: numbers as text, without a fraction; None where there is none."""
    found: list[str | None] = []
    for value in values:
        if value is None or value == "" or value != value:
            found.append(None)
        elif isinstance(value, float) and value.is_integer():
            found.append(str(int(value)))
        else:
            found.append(str(value))
    return found
