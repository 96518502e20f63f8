"""Whatever stands in the files of a version, it is whole or refused in one way."""

from __future__ import annotations

import uuid

import fsspec
import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infra.artifacts import (
    MANIFEST,
    Artifact,
    ArtifactError,
    ArtifactStore,
    Manifest,
    _digest,
    _version,
)

ARRAYS = {"vectors_nd": np.arange(12, dtype=np.float32).reshape(3, 4), "names": np.array(["a"])}
META = {"space": "s1", "topics": ["x", None], "f1": 0.5}


def changed(data: bytes, at: float, put: bytes, cut: bool) -> bytes:
    """Bytes with some of them replaced, and what comes after them cut off or not."""
    begin = int(at * len(data))
    return data[:begin] + put + (b"" if cut else data[begin + len(put) :])


CHANGES = st.tuples(st.floats(0, 1), st.binary(max_size=40), st.booleans())


def read(files: dict[str, bytes], version: str) -> Artifact | None:
    """What a store with these files in a version gives, None where it refuses."""
    store = ArtifactStore(f"memory://damaged-{uuid.uuid4().hex}")
    fs, root = fsspec.core.url_to_fs(store.url)
    for name, data in files.items():
        fs.makedirs(f"{root}/ig2vec/{version}", exist_ok=True)
        fs.pipe(f"{root}/ig2vec/{version}/{name}", data)
    try:
        store.manifest("ig2vec", version)
        return store.get("ig2vec", version)
    except ArtifactError:
        return None
    finally:
        fs.rm(root, recursive=True)


def written() -> tuple[str, dict[str, bytes]]:
    """A version and its files."""
    store = ArtifactStore(f"memory://good-{uuid.uuid4().hex}")
    version = store.put("ig2vec", ARRAYS, META)
    fs, root = fsspec.core.url_to_fs(store.url)
    names = [*(f"{name}.npy" for name in ARRAYS), MANIFEST]
    files = {name: fs.cat(f"{root}/ig2vec/{version}/{name}") for name in names}
    fs.rm(root, recursive=True)
    return version, files


VERSION, FILES = written()


@given(st.sampled_from(sorted(FILES)), CHANGES)
def test_a_changed_file_is_refused_or_changed_nothing(
    name: str, change: tuple[float, bytes, bool]
) -> None:
    found = read({**FILES, name: changed(FILES[name], *change)}, VERSION)
    if found is not None:
        for array, whole in ARRAYS.items():
            np.testing.assert_array_equal(found.arrays[array], whole)
        assert found.meta == META


@given(st.sampled_from(sorted(ARRAYS)), CHANGES)
def test_an_array_that_is_as_promised_and_no_array_is_refused(
    name: str, change: tuple[float, bytes, bool]
) -> None:
    """The checksum is right: somebody wrote it so, and the loader is what has to refuse it."""
    data = changed(FILES[f"{name}.npy"], *change)
    manifest = msgspec.json.decode(FILES[MANIFEST], type=Manifest)
    told = msgspec.structs.replace(manifest.files[name], bytes=len(data), blake2b=_digest(data))
    unnamed = msgspec.structs.replace(
        manifest, files={**manifest.files, name: told}, version="", created_ns=0
    )
    version = _version(unnamed)
    manifest = msgspec.structs.replace(unnamed, version=version, created_ns=1)
    files = {**FILES, f"{name}.npy": data, MANIFEST: msgspec.json.encode(manifest)}
    found = read(files, version)
    if found is not None:
        array = found.arrays[name]
        assert (array.dtype.str, array.shape) == (told.dtype, tuple(told.shape))


@given(st.binary(max_size=200))
def test_any_manifest_is_refused_in_one_way(data: bytes) -> None:
    assert read({**FILES, MANIFEST: data}, VERSION) is None
