"""Bad input, edges and the approximate main of the account index."""

from __future__ import annotations

import numpy as np
import pytest

from models.account_index.ann_main import AnnMain, MainConfig
from models.account_index.index import (
    AccountIndex,
    AccountIndexError,
    ForeignMainError,
    RejectedVectorsError,
    VectorShapeError,
)


@pytest.fixture
def index() -> AccountIndex:
    index = AccountIndex(2)
    index.upsert(["a", "b"], np.array([[1, 0], [0, 1]]))
    return index


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ([np.nan, 1], "not finite"),
        ([np.inf, 1], "not finite"),
        ([0, 0], "length zero"),
        ([1e-30, 0], "length zero"),
    ],
)
def test_a_bad_vector_is_named_and_the_rest_applied(
    index: AccountIndex, bad: list[float], reason: str
) -> None:
    with pytest.raises(RejectedVectorsError, match=r"'b'.*rest of the batch was applied") as caught:
        index.upsert(["c", "b", "d"], np.array([[1, 1], bad, [-1, 0]]))
    assert reason in caught.value.rejected["b"]
    assert caught.value.rejected.keys() == {"b"}
    assert len(index) == 4
    np.testing.assert_array_equal(index.vectors_of(index.row_of(["b"])), [[0, 1]])


def test_huge_vectors_are_directions_too(index: AccountIndex) -> None:
    index.upsert(["a"], np.array([[3e30, 4e30]]))
    np.testing.assert_allclose(index.vectors_of(index.row_of(["a"])), [[0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (2,), (0, 2)])
def test_a_wrong_shape_applies_nothing(index: AccountIndex, shape: tuple[int, ...]) -> None:
    before = index.state_hash(), index.version
    with pytest.raises(VectorShapeError, match=r"'c'.*\(1, 2\) is expected"):
        index.upsert(["c"], np.ones(shape))
    assert (index.state_hash(), index.version) == before


def test_queries_of_a_wrong_kind_are_refused_and_zero_finds_nothing(index: AccountIndex) -> None:
    with pytest.raises(VectorShapeError, match="expected"):
        index.search(np.ones((1, 3)), 1)
    with pytest.raises(VectorShapeError, match="not finite"):
        index.search(np.array([[np.nan, 0]]), 1)
    rows_qk, similarities_qk = index.search(np.array([[0, 0], [1, 0]]), 1)
    assert rows_qk.tolist() == [[-1], [0]]
    assert similarities_qk.tolist() == [[-np.inf], [1]]


def test_an_empty_index_and_empty_batches_answer() -> None:
    index = AccountIndex(2)
    index.rebuild()
    rows_qk, similarities_qk = index.search(np.ones((2, 2)), 3)
    assert (rows_qk == -1).all()
    assert np.isneginf(similarities_qk).all()
    assert index.search(np.ones((0, 2)), 3)[0].shape == (0, 3)
    assert index.upsert([], np.zeros((0, 2))) == index.remove(["a"]) == len(index) == 0
    assert index.row_of([]).shape == (0,)
    assert index.vectors_of(np.array([-1, 5])).tolist() == [[0, 0], [0, 0]]
    assert index.version == 0


def test_an_account_added_and_removed_is_gone_and_comes_back_in_its_row(
    index: AccountIndex,
) -> None:
    row = index.row_of(["b"])
    index.rebuild()
    index.remove(["b", "b", "unknown"])
    assert "b" not in index
    assert index.row_of(["b"]).tolist() == [-1]
    assert index.vectors_of(row).tolist() == [[0, 0]]
    assert index.ids_of(row) == ["b"]
    assert index.search(np.array([[0, 1]]), 5)[0][0].tolist() == [0, -1, -1, -1, -1]
    index.upsert(["b"], np.array([[0, 2]]))
    assert index.row_of(["b"]).tolist() == row.tolist()
    assert index.search(np.array([[0, 1]]), 1)[0][0].tolist() == row.tolist()


def test_only_real_changes_count(index: AccountIndex) -> None:
    index.rebuild()
    version = index.version
    assert index.upsert(["a", "b"], np.array([[5, 0], [0, 5]])) == 0
    assert (index.version, index.delta_size) == (version, 0)
    assert index.upsert(["a", "a"], np.array([[1, 0], [1, 1]])) == 1
    assert (index.version, index.delta_size, index._main.ann.size) == (version + 1, 1, 2)
    index.swap(index.build_main())
    assert (index.version, index.delta_size) == (version + 1, 0)


def test_rows_nobody_had_and_foreign_mains_are_refused(index: AccountIndex) -> None:
    with pytest.raises(AccountIndexError, match="row -1 is no account"):
        index.ids_of(np.array([0, -1]))
    with pytest.raises(ForeignMainError):
        index.swap(AccountIndex(2).build_main())


def test_equal_similarities_come_in_the_order_of_rows() -> None:
    index = AccountIndex(2)
    index.upsert(["a", "b", "c"], np.array([[1, 1], [1, 1], [1, 1]]))
    index.rebuild()
    index.upsert(["b"], np.array([[1, 0]]))
    index.upsert(["b"], np.array([[1, 1]]))
    assert index.search(np.array([[1, 1]]), 3)[0].tolist() == [[0, 1, 2]]


def test_the_approximate_main_finds_nearly_all_true_neighbours() -> None:
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((200, 16))
    vectors_nd = centres[rng.integers(0, 200, 5000)] + 0.5 * rng.standard_normal((5000, 16))
    vectors_nd = (vectors_nd / np.linalg.norm(vectors_nd, axis=1, keepdims=True)).astype(np.float32)
    main = AnnMain.build(vectors_nd, MainConfig(flat_below=1000, probed=40))
    assert not main.exact
    dead = np.zeros(5000, dtype=np.bool_)
    dead[::3] = True
    alive = np.packbits(~dead, bitorder="little")
    queries_qd = vectors_nd[:100]
    found_qk, _ = main.search(queries_qd, 50, alive)
    assert not dead[found_qk].any()
    exact_qn = np.where(dead, -np.inf, queries_qd @ vectors_nd.T)
    true_qk = np.argsort(-exact_qn, axis=1)[:, :50]
    recall = np.mean([len(set(f) & set(t)) / 50 for f, t in zip(found_qk, true_qk, strict=True)])
    assert recall >= 0.95


def test_an_older_main_after_a_newer_one_loses_nobody(index: AccountIndex) -> None:
    older = index.build_main()
    index.upsert(["c"], np.array([[-1, 0]]))
    index.swap(index.build_main())
    index.swap(older)
    rows_qk, _ = index.search(np.array([[-1, 0]]), 3)
    assert index.ids_of(rows_qk[0]) == ["c", "b", "a"]
    assert (index._main.ann.size, index.delta_size) == (2, 1)


def test_a_long_stream_of_changes_to_few_accounts_is_followed() -> None:
    rng = np.random.default_rng(6)
    index = AccountIndex(4)
    wanted: dict[str, np.ndarray] = {}
    for step in range(400):
        names = [f"{n}" for n in rng.integers(0, 20, 10)]
        vectors_nd = rng.standard_normal((10, 4))
        index.upsert(names, vectors_nd)
        wanted |= dict(zip(names, vectors_nd, strict=True))
        if step % 7 == 0:
            index.remove(names[:2])
            wanted = {name: vector for name, vector in wanted.items() if name not in names[:2]}
        if step == 100:
            index.rebuild()
    # More entries than the first delta holds: those replaced were given up.
    assert index.nbytes()["delta"] < 400 * 10 * 4 * 4
    assert index.delta_size <= len(index) == len(wanted)
    query_d = rng.standard_normal(4)
    rows_qk, _ = index.search(query_d[None], 5)
    cosines = {name: query_d @ v / np.linalg.norm(v) for name, v in wanted.items()}
    assert index.ids_of(rows_qk[0]) == sorted(cosines, key=cosines.__getitem__, reverse=True)[:5]


def test_a_search_works_on_the_moment_it_began(index: AccountIndex) -> None:
    index.rebuild()
    index.upsert(["c"], np.array([[1, 1]]))
    view = index._current_view()
    index.remove(["a", "c"])
    index.upsert(["b"], np.array([[-1, 0]]))
    assert view.alive is None
    assert not view.delta.dead_e.any()
    assert view.delta.rows_e.tolist() == [2]
    assert index.search(np.array([[1, 0]]), 3)[0].tolist() == [[1, -1, -1]]


def test_added_and_removed_before_a_main_built_meanwhile_comes(index: AccountIndex) -> None:
    main = index.build_main()
    index.upsert(["c"], np.array([[1, 0]]))
    index.remove(["c", "a"])
    index.swap(main)
    assert (len(index), index.delta_size) == (1, 0)
    assert index.search(np.array([[1, 0]]), 3)[0].tolist() == [[1, -1, -1]]


def test_a_main_from_elsewhere_must_fit(index: AccountIndex) -> None:
    ann = AnnMain.build(np.eye(3, dtype=np.float32), MainConfig())
    with pytest.raises(VectorShapeError, match=r"\(3, 3\) for 3 accounts where dimension 2"):
        index.bind_main(ann, ["a", "b", "c"])
    ann = AnnMain.build(np.eye(2, dtype=np.float32), MainConfig())
    with pytest.raises(VectorShapeError, match="1 accounts"):
        index.bind_main(ann, ["a"])
    # The names it brings are no accounts here.
    index.swap(index.bind_main(ann, ["a", "stranger"]))
    assert "stranger" not in index
    assert (index._main.ann.size, index.delta_size, len(index)) == (2, 1, 2)
    assert index.search(np.array([[0, 1]]), 3)[0].tolist() == [[1, 0, -1]]


@pytest.mark.parametrize("noise", [0.3, 5.0])
def test_scattered_vectors_are_looked_for_in_more_lists(noise: float) -> None:
    rng = np.random.default_rng(5)
    vectors_nd = rng.standard_normal((60, 16))[rng.integers(0, 60, 3000)]
    vectors_nd = vectors_nd + noise * rng.standard_normal(vectors_nd.shape)
    vectors_nd = (vectors_nd / np.linalg.norm(vectors_nd, axis=1, keepdims=True)).astype(np.float32)
    main = AnnMain.build(vectors_nd, MainConfig(flat_below=1000, probed=1, recall=0.95))
    queries_qd = vectors_nd[7::13]
    found_qk, _ = main.search(queries_qd, 50, None)
    true_qk = np.argsort(-queries_qd @ vectors_nd.T, axis=1)[:, :50]
    recall = np.mean([len(set(f) & set(t)) / 50 for f, t in zip(found_qk, true_qk, strict=True)])
    assert recall >= 0.92
    lists = main.index.nlist
    assert (main.index.nprobe < lists / 4) == (noise < 1)
