"""A built index in files: mapped again as it was, and refused when it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infra.index_files import IndexFileError, IndexFolder
from models.account_index.ann_main import AnnMain, MainConfig
from models.account_index.index import AccountIndex
from models.account_index.space import AccountSpace
from streams.serving import index_refresh
from streams.serving.index_refresh import shared_main

CONFIG = MainConfig(flat_below=100, vectors_per_list=8, probed=1000)
ACCOUNTS = 500


def filled(accounts: int = ACCOUNTS) -> AccountSpace:
    space = AccountSpace("fit", 8)
    space.index.config = CONFIG
    vectors_nd = np.random.default_rng(3).standard_normal((accounts, 8)).astype(np.float32)
    names = [f"ä-{n}" for n in range(accounts)]
    space.upsert(names, np.arange(accounts, dtype=np.int32), vectors_nd)
    return space


def built(index: AccountIndex) -> tuple[AnnMain, list[str]]:
    rows_m, vectors_md, _ = index.snapshot()
    return AnnMain.build(vectors_md, CONFIG), index.ids_of(rows_m)


@pytest.mark.parametrize("accounts", [1, 50, ACCOUNTS])
def test_what_comes_back_searches_as_what_was_written(tmp_path: Path, accounts: int) -> None:
    ann, ids = built(filled(accounts).index)
    folder = IndexFolder(str(tmp_path))
    again, ids_again = folder.get(folder.put("fit", ann, ids))
    assert ids_again == ids
    assert again.exact == ann.exact
    queries_qd = np.random.default_rng(4).standard_normal((5, 8)).astype(np.float32)
    for alive in (None, np.packbits(np.arange(accounts) % 3 > 0, bitorder="little")):
        for found, expected in zip(
            again.search(queries_qd, 7, alive), ann.search(queries_qd, 7, alive), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_another_process_takes_over_what_is_there(tmp_path: Path) -> None:
    folder = IndexFolder(str(tmp_path))
    first, second = filled(), filled()
    first.index.swap(shared_main(first, folder))
    [version] = folder._versions()
    second.remove(["ä-3"], np.array([3]))
    second.upsert(["ä-4", "new"], np.array([4, 600]), np.eye(2, 8, dtype=np.float32))
    before = second.index.state_hash()
    second.index.swap(shared_main(second, folder))
    # Nothing was built, and it brought no content: one account is gone, two have other vectors.
    assert folder._versions() == [version]
    assert second.index.state_hash() == before
    assert (second.index._main.ann.size, second.index.delta_size) == (ACCOUNTS, 2)
    rows_qk, _ = second.index.search(np.eye(2, 8, dtype=np.float32), 1)
    assert second.index.ids_of(rows_qk[:, 0]) == ["ä-4", "new"]


def test_a_main_too_old_is_built_anew_by_one_process_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_refresh, "REBUILD_AT_LEAST", 10)
    folder = IndexFolder(str(tmp_path))
    shared_main(filled(400), folder)
    space = filled()
    with folder.building() as ours:
        assert ours
        assert shared_main(space, folder) is None
    main = shared_main(space, folder)
    assert main is not None
    assert main.valid_m.all()
    assert len(main.rows_m) == ACCOUNTS
    assert len(folder._versions()) == 2
    shared_main(filled(600), folder)
    assert len(folder._versions()) == 2


@pytest.mark.parametrize(
    "name", ["main.faiss", "vectors.npy", "ids.npy", "ends.npy", "manifest.json"]
)
@pytest.mark.parametrize("damage", ["cut", "altered", "missing"])
def test_damage_is_refused_and_the_next_build_replaces_it(
    tmp_path: Path, name: str, damage: str
) -> None:
    folder = IndexFolder(str(tmp_path))
    space = filled()
    version = folder.put("fit", *built(space.index))
    path = tmp_path / version / name
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "cut" else bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(IndexFileError, match=rf"{name}.*delete the folder"):
        folder.get(version)
    main = shared_main(space, folder)
    assert main is not None
    assert main.valid_m.all()


def test_a_main_of_another_space_is_not_looked_at(tmp_path: Path) -> None:
    folder = IndexFolder(str(tmp_path))
    assert folder.newest("fit") is None
    folder.put("another", *built(filled().index))
    assert folder.newest("fit") is None
