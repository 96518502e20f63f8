"""The files of a back-up: rows of bytes, packed, with a manifest that knows each file.

Layout::

    {url}/manifest.json                written last: a back-up without it is not one
    {url}/log/{topic}/{partition}.gz   records of the log, in their order
    {url}/store.gz                     keys of the store
    {url}/artifacts/…                  trained models, as they stand in their store

A file ``.gz`` is gzip of MessagePack arrays, one a row, each behind its length in four bytes.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import IO, Any, Final, TypeVar

import fsspec
import msgspec

from infra.errors import FreshgridError, reason_of

MANIFEST: Final = "manifest.json"
SCHEMA: Final = 1
COPY_BYTES: Final = 1 << 20
_LENGTH: Final = struct.Struct(">I")

Row = TypeVar("Row")


class BackupError(FreshgridError):
    """A back-up that cannot be written, or must not be restored."""


class BackupFile(msgspec.Struct, frozen=True):
    """What the manifest says of one file; `rows` is 0 where it has none."""

    bytes: int
    blake2b: str
    rows: int = 0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Description of a back-up.

    Attributes:
        made_ms: when it was begun.
        log_id: of the cluster that the log is of.
        partitions: of each topic.
        committed: group → topic → partition → how many of the saved records it had done.
        files: path below the back-up → the file.
    """

    schema: int = SCHEMA
    made_ms: int
    log_id: str
    partitions: dict[str, int]
    committed: dict[str, dict[str, dict[int, int]]]
    files: dict[str, BackupFile]


class BackupFolder:
    """The files below one fsspec URL: a folder, ``s3://bucket/path``, ``memory://…``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")
        self._files: dict[str, BackupFile] = {}

    def begin(self) -> None:
        """Make the folder.

        Raises:
            BackupError: there is something in it, or it cannot be made.
        """
        with self._reached():
            if self._fs.exists(self._root) and self._fs.ls(self._root):
                raise BackupError(f"{self.url} is not empty; name a folder that does not exist yet")
            self._fs.makedirs(self._root, exist_ok=True)

    @contextmanager
    def rows(self, path: str) -> Iterator[RowWriter]:
        """Write rows to a file, which is noted for the manifest when it is whole."""
        with self._reached(), self._create(path) as file:
            counted = _Counted(file)
            with gzip.GzipFile(fileobj=counted, mode="wb", compresslevel=6, mtime=0) as packed:
                writer = RowWriter(packed)
                yield writer
        self._files[path] = counted.told(writer.rows)

    def copy_in(self, path: str, source: IO[bytes]) -> None:
        """Keep a file as it is."""
        with self._reached(), self._create(path) as file:
            counted = _Counted(file)
            while data := source.read(COPY_BYTES):
                counted.write(data)
        self._files[path] = counted.told(0)

    def finish(self, **described: Any) -> Manifest:
        """Write the manifest: from here on it is a back-up."""
        manifest = Manifest(files=self._files, **described)
        with self._reached(), self._create(MANIFEST) as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        return manifest

    def verified(self) -> Manifest:
        """The manifest, once every file was found to be as it says.

        Raises:
            BackupError: it is no back-up, of another release, or damaged.
        """
        try:
            with self._fs.open(f"{self._root}/{MANIFEST}", "rb") as file:
                manifest = msgspec.json.decode(file.read(), type=Manifest)
        except OSError as error:
            raise BackupError(
                f"{self.url} is no back-up: {MANIFEST} cannot be read ({reason_of(error)}); one "
                "that was cut off has none"
            ) from error
        except msgspec.DecodeError as error:
            raise BackupError(f"{self.url}/{MANIFEST} is damaged ({error})") from error
        if manifest.schema != SCHEMA:
            raise BackupError(
                f"{self.url} is a back-up of schema {manifest.schema}, and this release reads "
                f"{SCHEMA}; restore it by the release that made it"
            )
        for path, noted in manifest.files.items():
            digest, size = blake2b(digest_size=16), 0
            with self._reached(), self._fs.open(f"{self._root}/{path}", "rb") as file:
                while data := file.read(COPY_BYTES):
                    digest.update(data)
                    size += len(data)
            if (size, digest.hexdigest()) != (noted.bytes, noted.blake2b):
                raise BackupError(
                    f"{self.url}/{path} is not as it was written; restore another back-up"
                )
        return manifest

    def read_rows(self, path: str, as_type: type[Row]) -> Iterator[Row]:
        """The rows of a file, one after the other."""
        decoder = msgspec.msgpack.Decoder(as_type)
        with (
            self._reached(),
            self._fs.open(f"{self._root}/{path}", "rb") as file,
            gzip.GzipFile(fileobj=file) as packed,
        ):
            while head := packed.read(_LENGTH.size):
                yield decoder.decode(packed.read(_LENGTH.unpack(head)[0]))

    @contextmanager
    def read(self, path: str) -> Iterator[IO[bytes]]:
        """A file that is kept as it is."""
        with self._reached(), self._fs.open(f"{self._root}/{path}", "rb") as file:
            yield file

    def _create(self, path: str) -> Any:
        full = f"{self._root}/{path}"
        self._fs.makedirs(full.rpartition("/")[0], exist_ok=True)
        return self._fs.open(full, "wb")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BackupError(f"{self.url} cannot be used: {reason_of(error)}") from error


class RowWriter:
    """Appends rows to a file that is packed, and counts them."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self._encoder = msgspec.msgpack.Encoder()
        self.rows = 0

    def write(self, rows: Iterable[Any]) -> None:
        """Append what MessagePack can hold."""
        for row in rows:
            encoded = self._encoder.encode(row)
            self._file.write(_LENGTH.pack(len(encoded)) + encoded)
            self.rows += 1


class _Counted:
    """A file that is written, and what the manifest says of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = blake2b(digest_size=16)
        self._bytes = 0

    def write(self, data: Any) -> int:
        self._digest.update(data)
        self._bytes += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def told(self, rows: int) -> BackupFile:
        return BackupFile(self._bytes, self._digest.hexdigest(), rows)
