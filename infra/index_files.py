"""Built mains of the account index as files that every process of a machine maps.

Layout::

    {folder}/{version}/manifest.json     the folder is renamed into place when all is written
    {folder}/{version}/main.faiss        FAISS' own format
    {folder}/{version}/vectors.npy       float32 (accounts, dimension)
    {folder}/{version}/ids.npy           names as UTF-8, one after the other
    {folder}/{version}/ends.npy          where each of them ends
    {folder}/building                    locked by the process that builds the next one

FAISS and NumPy map the large files, so the kernel holds them once however many processes search
them, and gives their memory up under pressure. They belong to one machine: whoever has none
builds one, from vectors that ``explore.embeddings`` holds.

Errors::

    FreshgridError
    └── IndexFileError      a file is missing, cut or altered
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import faiss as _faiss
import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.errors import FreshgridError
from models.account_index.ann_main import AnnMain
from models.arrays.packed_ids import pack_ids, unpack_ids

# The stubs of FAISS do not know its flags.
faiss: Any = _faiss

MANIFEST: Final = "manifest.json"
MAIN: Final = "main.faiss"
ARRAYS: Final = ("vectors", "ids", "ends")
SCHEMA: Final = 1
#: The live one, and the one before for those that still open it.
KEPT: Final = 2
_BLOCK: Final = 1 << 20


class IndexFileError(FreshgridError):
    """A built main that must not be used."""


class _File(msgspec.Struct, frozen=True):
    bytes: int
    blake2b: str


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    schema: int = SCHEMA
    space: str
    files: dict[str, _File]


class IndexFolder:
    """Built mains of one machine.

    Args:
        path: a folder on a local disk; made when the first main is written.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def put(self, space: str, ann: AnnMain, ids: Sequence[str]) -> str:
        """Write a main of the accounts `ids` and return its version; all but the newest go.

        Args:
            space: names the fit whose vectors these are.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        part = Path(mkdtemp(prefix=".part-", dir=self.path))
        try:
            faiss.write_index(ann.index, str(part / MAIN))
            blob, ends = pack_ids(ids)
            arrays: tuple[NDArray[Any], ...] = (ann.vectors_md, blob, ends)
            for name, array in zip(ARRAYS, arrays, strict=True):
                np.save(part / f"{name}.npy", array, allow_pickle=False)
            files = {path.name: _described(path) for path in part.iterdir()}
            manifest = msgspec.json.encode(_Manifest(space=space, files=files))
            (part / MANIFEST).write_bytes(manifest)
            # Versions sort by age.
            version = f"{time.time_ns():020d}-{blake2b(manifest, digest_size=6).hexdigest()}"
            part.rename(self.path / version)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        for old in self._versions()[:-KEPT]:
            # Who has mapped its files keeps them until it lets go.
            shutil.rmtree(self.path / old, ignore_errors=True)
        return version

    def get(self, version: str) -> tuple[AnnMain, list[str]]:
        """A main, every byte of it verified, its large files mapped; and its accounts.

        Raises:
            IndexFileError: it is missing, cut or altered.
        """
        folder = self.path / version
        manifest = self._manifest(version)
        if set(manifest.files) != {MAIN, *(f"{name}.npy" for name in ARRAYS)}:
            raise _damaged(folder / MANIFEST, f"names {sorted(manifest.files)}")
        for name, told in manifest.files.items():
            try:
                found = _described(folder / name)
            except OSError as error:
                raise _damaged(folder / name, f"cannot be read: {error}") from error
            if found != told:
                raise _damaged(folder / name, "is not what its manifest says")
        try:
            vectors_md, blob, ends = (
                np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in ARRAYS
            )
            ids = unpack_ids(blob, ends)
            index = faiss.read_index(str(folder / MAIN), faiss.IO_FLAG_MMAP_IFC)
        except Exception as error:
            # NumPy's reader of headers raises whatever Python's tokenizer does.
            raise _damaged(folder, f"cannot be opened: {error}") from error
        if index.ntotal != len(ids) or vectors_md.shape != (len(ids), index.d):
            raise _damaged(
                folder, f"holds {index.ntotal} codes, {vectors_md.shape} vectors, {len(ids)} ids"
            )
        # Read through the mapping all the same, without what the subclass costs each search.
        return AnnMain(index, np.asarray(vectors_md)), ids

    def newest(self, space: str) -> str | None:
        """The newest version of a space, None where there is none."""
        for version in reversed(self._versions()):
            try:
                if self._manifest(version).space == space:
                    return version
            except IndexFileError:
                continue
        return None

    @contextmanager
    def building(self) -> Iterator[bool]:
        """Whether this process is the one to build; it stays so within the block."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "building").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def _versions(self) -> list[str]:
        return sorted(path.parent.name for path in self.path.glob(f"[0-9]*/{MANIFEST}"))

    def _manifest(self, version: str) -> _Manifest:
        path = self.path / version / MANIFEST
        try:
            data = path.read_bytes()
            manifest = msgspec.json.decode(data, type=_Manifest)
        except (OSError, msgspec.DecodeError) as error:
            raise _damaged(path, f"cannot be read: {error}") from error
        if not version.endswith(f"-{blake2b(data, digest_size=6).hexdigest()}"):
            raise _damaged(path, "does not have the checksum in the folder's name")
        if manifest.schema != SCHEMA:
            raise _damaged(path, f"has schema {manifest.schema}, this program reads {SCHEMA}")
        return manifest


def _described(path: Path) -> _File:
    digest, size = blake2b(digest_size=32), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return _File(size, digest.hexdigest())


def _damaged(path: Path, what: str) -> IndexFileError:
    return IndexFileError(f"{path} {what}: delete the folder, the next rebuild writes another")
