"""Artifacts survive anything but what was written, and say what is wrong otherwise."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from infra.artifacts import ArtifactError, ArtifactMissingError, ArtifactStore

ARRAYS = {
    "vectors": np.arange(12, dtype=np.float32).reshape(3, 4),
    "names": np.array(["a", "bé"]),
    "scalar": np.array(7, dtype=np.int64),
    "empty": np.zeros((0, 4), dtype=np.float32),
}
META = {"space_id": "s1", "f1": 0.5, "topics": ["x", "y"], "none": None}


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArtifactStore]:
    if request.param == "folder":
        yield ArtifactStore(str(tmp_path / "artifacts"))
        return
    store = ArtifactStore(f"memory://{uuid.uuid4().hex}")
    yield store
    store._fs.rm(store._root, recursive=True)


@pytest.fixture
def folder(tmp_path: Path) -> tuple[ArtifactStore, str, Path]:
    store = ArtifactStore(tmp_path.as_uri())
    version = store.put("ig2vec", ARRAYS, META)
    return store, version, tmp_path / "ig2vec" / version


def test_what_is_read_is_what_was_written(store: ArtifactStore) -> None:
    version = store.put("ig2vec", ARRAYS, META)
    artifact = store.get("ig2vec", version)
    assert (artifact.kind, artifact.version, artifact.meta) == ("ig2vec", version, META)
    assert artifact.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert artifact.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(artifact.arrays[name], array)
    assert store.list("ig2vec") == [version]
    assert store.list("rankers") == []


def test_arrays_can_stay_in_their_files(store: ArtifactStore, tmp_path: Path) -> None:
    version = store.put("rankers", ARRAYS, META)
    mapped = store.get("rankers", version, mapped=True).arrays
    local = "memory" not in store.url
    assert all(isinstance(array, np.memmap) == local for array in mapped.values())
    store.prune("rankers", 0)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(mapped[name], array)


@given(
    array=hnp.arrays(
        st.sampled_from([np.dtype("<f4"), np.dtype("i8"), np.dtype("?"), np.dtype("U3")]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    fortran=st.booleans(),
)
def test_any_plain_array_comes_back(array: np.ndarray, fortran: bool) -> None:
    store = ArtifactStore(f"memory://property-{uuid.uuid4().hex}")
    written = np.asfortranarray(array) if fortran else array
    got = store.get("any", store.put("any", {"x": written}, {})).arrays["x"]
    assert (got.dtype, got.shape) == (written.dtype, written.shape)
    assert got.tobytes() == written.tobytes()
    store._fs.rm(store._root, recursive=True)


def test_equal_content_is_one_version_and_any_difference_another(store: ArtifactStore) -> None:
    version = store.put("ig2vec", ARRAYS, META)
    created = store.manifest("ig2vec", version).created_ns
    assert store.put("ig2vec", dict(reversed(ARRAYS.items())), dict(META)) == version
    assert store.manifest("ig2vec", version).created_ns == created
    others = [
        store.put("ig2vec", ARRAYS, META | {"f1": 0.6}),
        store.put("ig2vec", ARRAYS | {"vectors": ARRAYS["vectors"] + 1}, META),
        store.put("ig2vec", ARRAYS | {"scalar": np.array(7, dtype=np.int32)}, META),
        store.put("rankers", ARRAYS, META),
    ]
    assert len({version, *others}) == 5
    assert store.list("ig2vec") == [version, *others[:3]]


@pytest.mark.parametrize("cut", [0, 1, 50, -1])
def test_a_cut_file_is_refused(folder: tuple[ArtifactStore, str, Path], cut: int) -> None:
    store, version, path = folder
    file = path / "vectors.npy"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(ArtifactError, match=r"vectors\.npy has \d+ bytes.*last good version"):
        store.get("ig2vec", version)


def test_a_flipped_bit_is_refused(folder: tuple[ArtifactStore, str, Path]) -> None:
    store, version, path = folder
    file = path / "vectors.npy"
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"vectors\.npy does not have the checksum"):
        store.get("ig2vec", version)


def test_a_missing_file_is_refused(folder: tuple[ArtifactStore, str, Path]) -> None:
    store, version, path = folder
    (path / "names.npy").unlink()
    with pytest.raises(ArtifactError, match=r"names\.npy is missing"):
        store.get("ig2vec", version)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m | {"meta": {"f1": 0.9}}, "does not describe this version"),
        (lambda m: m | {"kind": "rankers"}, "does not describe this version"),
        (lambda m: m | {"version": "0" * 24}, "does not describe this version"),
        (lambda m: m | {"files": {}}, "does not describe this version"),
        (lambda m: m | {"files": {"../x": m["files"]["names"]}}, "does not describe this version"),
        (lambda m: m | {"schema": 9}, "has schema 9"),
        (lambda m: [], "is no manifest"),
    ],
)
def test_a_manifest_that_lies_is_refused(
    folder: tuple[ArtifactStore, str, Path], change, message: str
) -> None:
    store, version, path = folder
    manifest = msgspec.json.decode((path / "manifest.json").read_bytes())
    (path / "manifest.json").write_bytes(msgspec.json.encode(change(manifest)))
    with pytest.raises(ArtifactError, match=message):
        store.get("ig2vec", version)
    assert store.list("ig2vec") == []


def test_writing_again_repairs(folder: tuple[ArtifactStore, str, Path]) -> None:
    store, version, path = folder
    (path / "vectors.npy").write_bytes(b"")
    assert store.put("ig2vec", ARRAYS, META) == version
    np.testing.assert_array_equal(store.get("ig2vec", version).arrays["vectors"], ARRAYS["vectors"])
    assert sorted(p.name for p in path.iterdir()) == [
        *("empty.npy", "manifest.json", "names.npy", "scalar.npy", "vectors.npy")
    ]


def test_an_unfinished_version_does_not_exist(folder: tuple[ArtifactStore, str, Path]) -> None:
    store, version, path = folder
    (path / "manifest.json").unlink()
    assert store.list("ig2vec") == []
    with pytest.raises(ArtifactMissingError, match=rf"'{version}' does not exist.*known: none"):
        store.get("ig2vec", version)


def test_old_versions_are_pruned_and_protected_ones_kept(store: ArtifactStore) -> None:
    versions = [store.put("ig2vec", {"x": np.array(n)}, {}) for n in range(5)]
    assert store.prune("ig2vec", keep=2, protect={versions[1]}) == (versions[0], versions[2])
    assert store.list("ig2vec") == [versions[1], *versions[3:]]
    assert store.get("ig2vec", versions[1]).arrays["x"] == 1
    with pytest.raises(ArtifactMissingError):
        store.get("ig2vec", versions[0])
    assert store.prune("ig2vec", keep=0) == (versions[1], *versions[3:])
    assert store.prune("nothing", keep=1) == ()
    with pytest.raises(ValueError, match="negative"):
        store.prune("ig2vec", keep=-1)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 101, "a b"])
def test_names_that_are_no_plain_file_names_are_refused(tmp_path: Path, name: str) -> None:
    store = ArtifactStore(str(tmp_path / "artifacts"))
    with pytest.raises(ArtifactError, match="not plain"):
        store.put(name, {}, {})
    with pytest.raises(ArtifactError, match="not plain"):
        store.put("ig2vec", {name: np.zeros(1)}, {})
    with pytest.raises(ArtifactError, match="not plain"):
        store.get("ig2vec", name)
    assert not (tmp_path / "artifacts").exists()


def test_objects_and_strange_meta_are_refused(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    with pytest.raises(ArtifactError, match="pickle"):
        store.put("ig2vec", {"x": np.array([object()])}, {})
    with pytest.raises(ArtifactError, match="not JSON"):
        store.put("ig2vec", {}, {"x": object()})
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_no_folder_is_an_artifact_error_whatever_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    store = ArtifactStore(str(file))
    asked: list[Callable[[], object]] = [
        lambda: store.put("ig2vec", ARRAYS, META),
        lambda: store.get("ig2vec", "v"),
        lambda: store.list("ig2vec"),
        lambda: store.prune("ig2vec", 1),
        lambda: store.write_note("ig2vec", "v", "live", {}),
    ]
    for ask in asked:
        with pytest.raises(ArtifactError, match="ARTIFACTS_URL"):
            ask()
    assert store.read_note("ig2vec", "v", "live", dict) is None
    assert file.read_text() == "no folder"


@pytest.mark.parametrize("fails_at", range(6))
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, fails_at: int) -> None:
    store = ArtifactStore(str(tmp_path))
    kept = store.put("ig2vec", {"x": np.zeros(1)}, {})
    written = 0
    opened = store._fs.open

    def full(path: str, mode: str = "rb", **more: object) -> Any:
        nonlocal written
        written += mode == "wb"
        if mode == "wb" and written > fails_at:
            Path(path).write_bytes(b"x")
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, mode, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store._fs, "open", full)
        if fails_at == 5:  # four arrays and the manifest: it fits
            store.put("ig2vec", ARRAYS, META)
            return
        with pytest.raises(ArtifactError, match="No space left"):
            store.put("ig2vec", ARRAYS, META)
        with pytest.raises(ArtifactError, match="No space left"):
            patched.setattr(store._fs, "open", full)
            written = fails_at
            store.write_note("ig2vec", kept, "live", {})
    assert store.list("ig2vec") == [kept]
    assert {path.parent.name for path in tmp_path.rglob("*") if path.is_file()} == {kept}
    assert store.get("ig2vec", store.put("ig2vec", ARRAYS, META)).meta == META


def test_what_a_crash_left_is_swept_and_what_may_be_under_way_is_not(store: ArtifactStore) -> None:
    whole = store.put("ig2vec", ARRAYS, META)
    store.write_note("ig2vec", whole, "live", {"a": 1})
    root = f"{store._root}/ig2vec"
    for path in (f"{whole}/x.npy.1234.part", "unfinished/x.npy", "unfinished/notes/live.json"):
        store._fs.makedirs(f"{root}/{path}".rpartition("/")[0], exist_ok=True)
        store._fs.pipe_file(f"{root}/{path}", b"x")
    assert store.sweep("ig2vec") == ()
    assert sorted(store.sweep("ig2vec", older_than_s=-60)) == sorted(
        ["unfinished", f"{whole}/x.npy.1234.part"]
    )
    assert store.sweep("ig2vec", older_than_s=-60) == ()
    assert store.get("ig2vec", whole).meta == META
    assert store.read_note("ig2vec", whole, "live", dict) == {"a": 1}
    assert not store._fs.exists(f"{root}/unfinished")
    assert store.sweep("rankers") == ()
