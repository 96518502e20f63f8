"""The files of an archive of the log: Parquet by partition and range of offsets, and a manifest.

Layout::

    {url}/manifest.json                                   what is archived; replaced as a whole
    {url}/log/{topic}/{partition}/{start}-{end}.parquet   records with start <= offset < end

A file that the manifest does not name is none of the archive: a run that was cut off left it, and
the next one writes those records again. So each record is archived once, whatever happens.

Errors::

    FreshgridError
    └── ArchiveError    it cannot be written or read, is damaged, or is not of this log
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem

from infra.errors import FreshgridError, reason_of
from infra.kafka import Partition

MANIFEST: Final = "manifest.json"
#: Ending of a manifest that is being written.
UNFINISHED: Final = ".part"
SCHEMA: Final = 1
#: Rows of a group within a file: what a reader unpacks at once.
GROUP_ROWS: Final = 20_000


class ArchiveError(FreshgridError):
    """An archive that cannot be written or read, is damaged, or is not of this log."""


class ArchivedRecord(NamedTuple):
    """One record as it stood in the log; `timestamp` in epoch ms."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file, as the manifest tells of it.

    Attributes:
        start: it holds every record that the log held from this offset on,
        end: up to before this one. Offsets within may be missing, as they are in the log.
        blake2b: of the whole file, 16 bytes in hexadecimal.
    """

    topic: str
    partition: int
    start: int
    end: int
    rows: int
    bytes: int
    blake2b: str

    @property
    def path(self) -> str:
        """Where it lies below the archive. Offsets are padded, so that names sort as they do."""
        return f"log/{self.topic}/{self.partition}/{self.start:020d}-{self.end:020d}.parquet"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Description of an archive.

    Attributes:
        log_id: of the cluster whose offsets these are.
        parts: in the order in which they were written: of one partition, by offset.
    """

    schema: int = SCHEMA
    log_id: str
    parts: tuple[Part, ...] = ()

    def of(self, place: Partition) -> list[Part]:
        """The parts of one partition, by offset."""
        return [part for part in self.parts if (part.topic, part.partition) == place]

    def ends(self) -> dict[Partition, int]:
        """Partition → the offset after everything that is archived of it."""
        return {(part.topic, part.partition): part.end for part in self.parts}

    def gaps(self) -> dict[Partition, int]:
        """Partition → offsets that lie before or between its parts; none where that is 0."""
        ends: dict[Partition, int] = {}
        missing: dict[Partition, int] = {}
        for part in self.parts:
            place = part.topic, part.partition
            missing[place] = missing.get(place, 0) + part.start - ends.get(place, 0)
            ends[place] = part.end
        return {place: count for place, count in missing.items() if count}


class Archive:
    """An archive below an fsspec URL: a folder, ``s3://bucket/path``, ``memory://…``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")

    def manifest(self, log_id: str | None = None) -> Manifest | None:
        """What is archived, None where nothing is yet.

        Args:
            log_id: of the log that it has to be of; any by default.

        Raises:
            ArchiveError: it is of another log or release, damaged, or out of reach.
        """
        try:
            text = self._fs.cat_file(f"{self._root}/{MANIFEST}")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArchiveError(f"{self.url} cannot be read: {reason_of(error)}") from error
        try:
            manifest = msgspec.json.decode(text, type=Manifest)
        except msgspec.DecodeError as error:
            raise ArchiveError(
                f"{self.url}/{MANIFEST} is damaged ({error}); put back the one that your store "
                "kept before it, or archive into another folder"
            ) from error
        if manifest.schema != SCHEMA:
            raise ArchiveError(
                f"{self.url} is an archive of schema {manifest.schema}, and this release reads "
                f"{SCHEMA}; use the release that wrote it"
            )
        if log_id is not None and manifest.log_id != log_id:
            raise ArchiveError(
                f"{self.url} is an archive of log {manifest.log_id}, and the cluster's is "
                f"{log_id}: their offsets are not the same; name another folder"
            )
        return manifest

    def write(
        self, place: Partition, start: int, end: int, records: Sequence[ArchivedRecord]
    ) -> Part:
        """Write one file, for a manifest that :meth:`finish` writes.

        Raises:
            ArchiveError: the store does not take it.
        """
        content = _packed(records)
        part = Part(
            topic=place[0], partition=place[1], start=start, end=end, rows=len(records),
            bytes=len(content), blake2b=_digest(content),
        )  # fmt: skip
        with self._taken():
            path = f"{self._root}/{part.path}"
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(path, content)
        return part

    def finish(self, manifest: Manifest) -> None:
        """Replace the manifest: from here on its parts are archived.

        Raises:
            ArchiveError: the store does not take it.
        """
        path = f"{self._root}/{MANIFEST}"
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        with self._taken():
            self._fs.makedirs(self._root, exist_ok=True)
            # Object stores show a file once all of it is there; folders show what there is so far.
            if isinstance(self._fs, LocalFileSystem):
                self._fs.pipe_file(path + UNFINISHED, content)
                self._fs.mv(path + UNFINISHED, path)
            else:
                self._fs.pipe_file(path, content)

    def read(self, part: Part) -> Iterator[list[ArchivedRecord]]:
        """The records of a part, some at a time, in the order of their offsets.

        Raises:
            ArchiveError: as :meth:`check`.
        """
        yield from _unpacked(part.partition, self.check(part))

    def check(self, part: Part) -> bytes:
        """A part's file as it is.

        Raises:
            ArchiveError: the file is not as it was written, or out of reach.
        """
        try:
            content: bytes = self._fs.cat_file(f"{self._root}/{part.path}")
        except OSError as error:
            raise ArchiveError(
                f"{self.url}/{part.path} cannot be read: {reason_of(error)}"
            ) from error
        if (len(content), _digest(content)) != (part.bytes, part.blake2b):
            raise ArchiveError(
                f"{self.url}/{part.path} is not as it was written; put back the file that your "
                "store kept, or use another archive"
            )
        return content

    def place(self, part: Part) -> str:
        """Address of a part's file for others than fsspec."""
        full = f"{self._root}/{part.path}"
        return str(self._fs.unstrip_protocol(full))

    @contextlib.contextmanager
    def _taken(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ArchiveError(f"{self.url} does not take it: {reason_of(error)}") from error


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def _arrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet, which only archives need."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ArchiveError(
            "an archive needs pyarrow, which is not here: pip install 'freshgrid[archive]'"
        ) from error
    return pyarrow, parquet


def _packed(records: Sequence[ArchivedRecord]) -> bytes:
    """A Parquet file: offset and timestamp (int64), key and value (binary, null for none)."""
    pyarrow, parquet = _arrow()
    columns: Mapping[str, tuple[Iterable[Any], Any]] = {
        "offset": ((record.offset for record in records), pyarrow.int64()),
        "timestamp": ((record.timestamp for record in records), pyarrow.int64()),
        "key": ((record.key for record in records), pyarrow.binary()),
        "value": ((record.value for record in records), pyarrow.binary()),
    }
    table = pyarrow.table(
        {name: pyarrow.array(list(of), type_) for name, (of, type_) in columns.items()}
    )
    file = io.BytesIO()
    parquet.write_table(table, file, compression="zstd", row_group_size=GROUP_ROWS)
    return file.getvalue()


def _unpacked(partition: int, content: bytes) -> Iterator[list[ArchivedRecord]]:
    pyarrow, parquet = _arrow()
    file = parquet.ParquetFile(pyarrow.BufferReader(content))
    for batch in file.iter_batches(GROUP_ROWS, columns=["offset", "timestamp", "key", "value"]):
        columns = (column.to_pylist() for column in batch.columns)
        yield [ArchivedRecord(partition, *row) for row in zip(*columns, strict=True)]
