"""Reading a data set, whatever it is a file of."""

from __future__ import annotations

from pathlib import Path

from streams.recorded.dataset import Dataset
from streams.recorded.event_tables import from_tables, own_names
from streams.recorded.mapping import MappingError, read_mapping
from streams.recorded.records import from_records


def read_dataset(path: Path, mapping: Path | None = None) -> Dataset:
    """Read a data set.

    Args:
        path: JSON lines as fixtures have them; a Parquet or CSV file; a folder; or a mapping.
        mapping: what the columns mean; without one they have the house's own names.

    Raises:
        DatasetError: there are no events, or a record cannot be applied.
        MappingError, TableError, FixtureError: see there.
    """
    if path.is_file() and path.name.endswith((".jsonl", ".jsonl.gz", ".json", ".json.gz")):
        if mapping is not None:
            raise MappingError(
                f"{path.name} holds records as they go to Kafka: leave out --mapping"
            )
        return from_records(path)
    if path.suffix == ".toml":
        if mapping is not None:
            raise MappingError(f"{path.name} is a mapping itself: leave out --mapping")
        return from_tables(path.parent, path, read_mapping(path))
    if mapping is not None:
        return from_tables(path, path, read_mapping(mapping))
    return from_tables(path, path, own_names(path))
