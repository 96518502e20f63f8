"""Versioned artifacts (embeddings, index, rankers) as checked folders on any fsspec URL.

Layout::

    {url}/{kind}/{version}/manifest.json      written last: a version without it does not exist
    {url}/{kind}/{version}/{name}.npy         one array each, never pickled
    {url}/{kind}/{version}/notes/{name}.json  what became of it; no part of the version

The version is a hash of the content, so writing the same thing twice changes nothing, and a
manifest that lies about a file, a file that was cut, or a manifest that was edited is noticed.

Errors::

    FreshgridError
    └── ArtifactError            the message names the file, what is wrong and what to do
        └── ArtifactMissingError the version does not exist

A store that cannot be reached, is no folder, is full or forbidden is an ArtifactError, too.
"""

from __future__ import annotations

import contextlib
import io
import re
import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, Final, TypeVar

import fsspec
import msgspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from infra.errors import FreshgridError

MANIFEST: Final = "manifest.json"
#: Ending of a file that is being written.
PART: Final = ".part"
SCHEMA: Final = 1
Note = TypeVar("Note")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
#: Bytes handed to a store at once; nothing of an array is copied as a whole.
_WRITTEN: Final = 1 << 20
#: Nobody takes longer to write a version: what is unfinished and older was left by a crash.
UNFINISHED_S: Final = 3600.0


class ArtifactError(FreshgridError):
    """An artifact that cannot be written, or must not be loaded."""


class ArtifactMissingError(ArtifactError):
    """A version that does not exist, or was never finished."""


class ArrayFile(msgspec.Struct, frozen=True):
    """What the manifest says about one ``.npy`` file; `blake2b` is of the whole file."""

    bytes: int
    blake2b: str
    dtype: str
    shape: tuple[int, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Description of one version. All but `created_ns` and `version` goes into the version."""

    schema: int = SCHEMA
    kind: str
    version: str = ""
    created_ns: int = 0
    files: dict[str, ArrayFile]
    meta: dict[str, Any]

    @property
    def bytes(self) -> int:
        """Size of all arrays together, in bytes."""
        return sum(file.bytes for file in self.files.values())


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an artifact as :class:`ArtifactStore` loads it."""

    kind: str
    version: str
    arrays: dict[str, NDArray[Any]]
    meta: dict[str, Any]


class ArtifactStore:
    """Artifacts below one fsspec URL: a folder, ``s3://bucket/path``, ``memory://…``.

    Args:
        url: where the artifacts are; made when the first one is written.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")

    def put(self, kind: str, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> str:
        """Write one version and return its name; writing the same content again is free.

        Args:
            kind: what it is, e.g. ``ig2vec``.
            arrays: name → array of numbers, booleans or fixed-size strings.
            meta: anything JSON can hold.

        Raises:
            ArtifactError: a name is not a plain file name, an array holds Python objects,
                `meta` is not JSON, or the store does not take it; nothing of it is left then.
        """
        _check_name("kind", kind)
        data = {_check_name("array", name): _npy(name, array) for name, array in arrays.items()}
        files = {
            name: ArrayFile(
                sum(map(len, data[name])), _digest(*data[name]), array.dtype.str, array.shape
            )
            for name, array in arrays.items()
        }
        try:
            plain_meta = msgspec.json.decode(msgspec.json.encode(dict(meta)), type=dict[str, Any])
        except (TypeError, ValueError) as error:
            raise ArtifactError(f"meta of {kind!r} is not JSON: {error}") from error
        manifest = Manifest(kind=kind, files=files, meta=plain_meta)
        version = _version(manifest)
        if self._is_whole(kind, version):
            return version

        folder = self._path(kind, version)
        manifest = msgspec.structs.replace(manifest, version=version, created_ns=time.time_ns())
        try:
            with self._reached(folder, "written"):
                self._fs.makedirs(folder, exist_ok=True)
            for name, content in data.items():
                self._write(f"{folder}/{name}.npy", *content)
            self._write(f"{folder}/{MANIFEST}", msgspec.json.format(msgspec.json.encode(manifest)))
        except ArtifactError:
            # A full disk stays full of what nobody will finish.
            with contextlib.suppress(Exception):
                self._fs.rm(folder, recursive=True)
            raise
        return version

    def get(self, kind: str, version: str, *, mapped: bool = False) -> Artifact:
        """Load one version, every byte of it verified.

        Args:
            mapped: read-only arrays that stay in the file, where the store is a local folder, so
                that the processes of a machine hold them in memory once.

        Raises:
            ArtifactMissingError: there is no such version.
            ArtifactError: a file is missing, cut or altered.
        """
        manifest = self.manifest(kind, version)
        arrays: dict[str, NDArray[Any]] = {}
        for name, file in manifest.files.items():
            path = f"{self._path(kind, version)}/{name}.npy"
            data = self._read(path)
            if len(data) != file.bytes:
                raise _damaged(path, f"has {len(data)} bytes, the manifest says {file.bytes}")
            if _digest(data) != file.blake2b:
                raise _damaged(path, "does not have the checksum the manifest says")
            try:
                if mapped and isinstance(self._fs, LocalFileSystem):
                    # A file is replaced as a whole and never written to, so what was verified is
                    # what is mapped, whatever happens to its name.
                    array = np.load(path, mmap_mode="r", allow_pickle=False)
                else:
                    array = np.load(io.BytesIO(data), allow_pickle=False)
            except Exception as error:
                # NumPy's reader of headers raises whatever Python's tokenizer does.
                raise _damaged(path, f"is no array: {error}") from error
            if array.dtype.str != file.dtype or array.shape != file.shape:
                raise _damaged(path, f"holds {array.dtype.str} {array.shape}, not as promised")
            arrays[name] = array
        return Artifact(kind=kind, version=version, arrays=arrays, meta=manifest.meta)

    def manifest(self, kind: str, version: str) -> Manifest:
        """The verified manifest of one version, without loading its arrays.

        Raises:
            ArtifactMissingError: there is no such version.
            ArtifactError: the manifest was altered.
        """
        _check_name("kind", kind)
        _check_name("version", version)
        path = f"{self._path(kind, version)}/{MANIFEST}"
        try:
            with self._reached(path, "read"):
                data = self._fs.cat_file(path)
        except FileNotFoundError as error:
            raise ArtifactMissingError(
                f"{kind} version {version!r} does not exist in {self.url}; "
                f"known: {', '.join(self.list(kind)[-5:]) or 'none'}"
            ) from error
        try:
            manifest = msgspec.json.decode(data, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _damaged(path, f"is no manifest: {error}") from error
        if manifest.schema != SCHEMA:
            raise ArtifactError(
                f"{path} has schema {manifest.schema}, this program reads {SCHEMA}: use the "
                "program that wrote it, or train again"
            )
        if manifest.version != version or manifest.kind != kind or _version(manifest) != version:
            raise _damaged(path, "does not describe this version")
        return manifest

    def write_note(self, kind: str, version: str, name: str, note: Any) -> None:
        """Write a small JSON document beside a version, in place of an older one of that name.

        Args:
            note: anything JSON can hold.

        Raises:
            ArtifactError: a name is not a plain file name, or the store does not take it.
        """
        path = self._note_path(kind, version, name)
        with self._reached(path, "written"):
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._write(path, msgspec.json.format(msgspec.json.encode(note)))

    def read_note(self, kind: str, version: str, name: str, as_type: type[Note]) -> Note | None:
        """A document that :meth:`write_note` wrote; None where there is none, or a damaged one.

        A store that cannot be read has none: a note is no part of its version.
        """
        path = self._note_path(kind, version, name)
        try:
            with self._reached(path, "read"):
                data = self._fs.cat_file(path)
            return msgspec.json.decode(data, type=as_type)
        except (FileNotFoundError, ArtifactError):
            return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def list(self, kind: str) -> list[str]:
        """The finished versions of `kind`, oldest first; damaged manifests are left out.

        Raises:
            ArtifactError: the store cannot be read.
        """
        _check_name("kind", kind)
        folder = f"{self._root}/{kind}"
        try:
            with self._reached(folder, "read"):
                self._fs.invalidate_cache()
                names = [path.rstrip("/").rpartition("/")[2] for path in self._fs.ls(folder, False)]
        except FileNotFoundError:
            return []
        found: list[tuple[int, str]] = []
        for name in names:
            path = f"{folder}/{name}/{MANIFEST}"
            if is_plain_name(name) and self._fs.exists(path):
                try:
                    found.append((self.manifest(kind, name).created_ns, name))
                except ArtifactError:
                    continue
        return [name for _, name in sorted(found)]

    def prune(self, kind: str, keep: int, protect: Collection[str] = ()) -> tuple[str, ...]:
        """Delete all but the newest `keep` versions and those in `protect`; returns the deleted.

        Raises:
            ValueError: `keep` is negative.
            ArtifactError: the store cannot be read or changed.
        """
        if keep < 0:
            raise ValueError(f"keep {keep} is negative; give the number of versions to keep")
        versions = self.list(kind)
        old = [v for v in versions[: max(0, len(versions) - keep)] if v not in protect]
        for version in old:
            folder = self._path(kind, version)
            with self._reached(folder, "deleted"):
                # Without its manifest a version is gone, whatever happens to the rest.
                self._fs.rm_file(f"{folder}/{MANIFEST}")
                self._fs.rm(folder, recursive=True)
        return tuple(old)

    def sweep(self, kind: str, older_than_s: float = UNFINISHED_S) -> tuple[str, ...]:
        """Delete what crashes left unfinished and nobody can be writing any more.

        That is: versions without a manifest, and files that were about to be renamed.

        Returns:
            The deleted versions and files, relative to the folder of the kind.

        Raises:
            ArtifactError: the store cannot be read or changed.
        """
        _check_name("kind", kind)
        folder = f"{self._root}/{kind}"
        before = time.time() - older_than_s
        gone: list[str] = []
        with self._reached(folder, "swept"):
            self._fs.invalidate_cache()
            files: dict[str, list[str]] = {}
            for path in self._fs.find(folder):
                version, _, name = path.removeprefix(f"{folder}/").partition("/")
                files.setdefault(version, []).append(name)
            for version, names in files.items():
                unfinished = MANIFEST not in names
                left = [name for name in names if unfinished or name.endswith(PART)]
                old = [
                    name
                    for name in left
                    if self._fs.modified(f"{folder}/{version}/{name}").timestamp() < before
                ]
                if unfinished and len(old) == len(names):
                    self._fs.rm(f"{folder}/{version}", recursive=True)
                    gone.append(version)
                else:
                    parts = [name for name in old if name.endswith(PART)]
                    for name in parts:
                        self._fs.rm_file(f"{folder}/{version}/{name}")
                    gone += [f"{version}/{name}" for name in parts]
        return tuple(gone)

    def _note_path(self, kind: str, version: str, name: str) -> str:
        for what, checked in (("kind", kind), ("version", version), ("note", name)):
            _check_name(what, checked)
        return f"{self._path(kind, version)}/notes/{name}.json"

    def _path(self, kind: str, version: str) -> str:
        return f"{self._root}/{kind}/{version}"

    def _is_whole(self, kind: str, version: str) -> bool:
        if not self._fs.exists(f"{self._path(kind, version)}/{MANIFEST}"):
            return False
        try:
            self.get(kind, version)
        except ArtifactError:
            return False
        return True

    @contextmanager
    def _reached(self, path: str, done: str) -> Iterator[None]:
        """Turn whatever the store answers, but that a file is not there, into an ArtifactError."""
        try:
            yield
        except (FileNotFoundError, ArtifactError):
            raise
        except Exception as error:  # each kind of store has errors of its own
            raise ArtifactError(
                f"{path} cannot be {done}: {error or type(error).__name__}; "
                "check ARTIFACTS_URL, and that there is room"
            ) from error

    def _read(self, path: str) -> bytes:
        try:
            with self._reached(path, "read"):
                data: bytes = self._fs.cat_file(path)
        except FileNotFoundError as error:
            raise _damaged(path, "is missing") from error
        return data

    def _write(self, path: str, *data: bytes | memoryview) -> None:
        # A reader sees the old file, none, or the whole new one.
        part = f"{path}.{secrets.token_hex(4)}{PART}"
        with self._reached(path, "written"):
            try:
                with self._fs.open(part, "wb") as file:
                    for block in data:
                        for start in range(0, len(block), _WRITTEN):
                            file.write(block[start : start + _WRITTEN])
                self._fs.mv(part, path)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._fs.rm_file(part)
                raise


def _version(manifest: Manifest) -> str:
    content = (manifest.schema, manifest.kind, manifest.files, manifest.meta)
    return blake2b(msgspec.json.encode(content, order="deterministic"), digest_size=12).hexdigest()


def _digest(*data: bytes | memoryview) -> str:
    digest = blake2b(digest_size=32)
    for part in data:
        digest.update(part)
    return digest.hexdigest()


def _npy(name: str, array: NDArray[Any]) -> tuple[bytes, memoryview]:
    """Header and content of a file of NumPy's format; the content is that of the array itself."""
    if array.dtype.hasobject:
        raise ArtifactError(
            f"array {name!r} of dtype {array.dtype} would need pickle; use numbers or fixed-size "
            "strings"
        )
    array = np.asarray(array, order="C")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    content = array.reshape(-1).view(np.uint8) if array.nbytes else np.empty(0, np.uint8)
    return header.getvalue(), content.data


def is_plain_name(name: str) -> bool:
    """Whether a kind or a version may have this name: no path leads out of the store."""
    return _NAME.fullmatch(name) is not None


def _check_name(what: str, name: str) -> str:
    if not is_plain_name(name):
        raise ArtifactError(
            f"{what} name {name!r} is not plain; use letters, digits, '_', '-' and '.'"
        )
    return name


def _damaged(path: str, what: str) -> ArtifactError:
    return ArtifactError(f"{path} {what}: keep the last good version live and write this one again")
