"""What of the artifacts goes into a back-up."""

from pathlib import Path

import numpy as np

from infra.artifacts import ArtifactStore
from infra.backup_files import BackupFolder
from streams.log.backup import _save_artifacts
from streams.snapshots import LEARNER, WORLD


def test_snapshots_are_left_out_since_their_offsets_are_of_this_log(
    tmp_path: Path,
) -> None:
    store, folder = ArtifactStore(str(tmp_path / "artifacts")), BackupFolder(str(tmp_path / "to"))
    arrays = {"array": np.arange(3)}
    version = store.put("rankers", arrays, {})
    store.put(WORLD, arrays, {})
    store.put(LEARNER, arrays, {})
    folder.begin()
    assert _save_artifacts(store.url, folder) == 2
    saved = tmp_path / "to" / "artifacts"
    assert [path.name for path in saved.iterdir()] == ["rankers"]
    assert {path.name for path in (saved / "rankers" / version).iterdir()} == {
        "array.npy",
        "manifest.json",
    }
