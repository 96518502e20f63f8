"""The account index against brute force, over any interleaving of its operations."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.account_index.ann_main import AnnMain, MainConfig
from models.account_index.index import AccountIndex
from models.account_index.view import Main

DIMENSION = 3
NAMES = tuple("abcdefghij")
# From 4 vectors on an inverted file that probes every list: the IVF code, with exact answers.
IVF = MainConfig(flat_below=4, vectors_per_list=2, probed=100)

names = st.sampled_from(NAMES)
vectors = st.tuples(*[st.integers(-3, 3)] * DIMENSION).filter(any)
batches = st.lists(st.tuples(names, vectors), max_size=6)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), batches),
        st.tuples(st.just("remove"), st.lists(names, max_size=4)),
        st.tuples(st.just("build"), st.none()),
        st.tuples(st.just("swap"), st.integers(0, 3)),
        st.tuples(st.just("carry"), st.none()),
        st.tuples(st.just("bind"), st.integers(0, 3)),
        st.tuples(st.just("search"), st.tuples(vectors, st.integers(0, 12))),
    ),
    max_size=30,
)


def unit(vector: Sequence[float]) -> np.ndarray:
    array = np.array(vector, dtype=np.float64)
    return array / np.linalg.norm(array)


def check_search(
    index: AccountIndex, wanted: dict[str, np.ndarray], query: Sequence[int], k: int
) -> None:
    rows_qk, similarities_qk = index.search(np.array([query], dtype=np.float32), k)
    assert rows_qk.shape == similarities_qk.shape == (1, k)
    found = min(k, len(wanted))
    assert (rows_qk[0, found:] == -1).all()
    assert np.isneginf(similarities_qk[0, found:]).all()
    accounts = index.ids_of(rows_qk[0, :found])
    assert len(set(accounts)) == found
    exact = {account: float(unit(query) @ vector) for account, vector in wanted.items()}
    # Each found account has its own true similarity, and together they are the best there are.
    np.testing.assert_allclose(
        similarities_qk[0, :found], [exact[account] for account in accounts], atol=1e-5
    )
    best = sorted(exact.values(), reverse=True)[:found]
    np.testing.assert_allclose(similarities_qk[0, :found], best, atol=1e-5)


@pytest.mark.parametrize("config", [MainConfig(), IVF], ids=["flat", "ivf"])
@settings(max_examples=120)
@given(steps=operations)
def test_any_interleaving_equals_brute_force(
    config: MainConfig, steps: list[tuple[str, Any]]
) -> None:
    index = AccountIndex(DIMENSION, config)
    wanted: dict[str, np.ndarray] = {}
    rows: dict[str, int] = {}
    built: list[Main] = []
    carried: list[tuple[AnnMain, list[str]]] = []
    for operation, value in steps:
        if operation == "upsert":
            index.upsert(
                [name for name, _ in value],
                np.array([vector for _, vector in value], dtype=np.float32).reshape(-1, DIMENSION),
            )
            wanted |= {name: unit(vector) for name, vector in value}
        elif operation == "remove":
            index.remove(value)
            wanted = {name: vector for name, vector in wanted.items() if name not in value}
        elif operation == "build":
            built.append(index.build_main())
        elif operation == "swap" and built:
            # Mains may be swapped in late, even an older one after a newer one, or twice.
            index.swap(built[value % len(built)])
        elif operation == "carry":
            # A main without the index it was built from, as it comes from a file.
            rows_m, vectors_md, _ = index.snapshot()
            carried.append((AnnMain.build(vectors_md, config), index.ids_of(rows_m)))
        elif operation == "bind" and carried:
            built.append(index.bind_main(*carried[value % len(carried)]))
        elif operation == "search":
            check_search(index, wanted, *value)

    assert len(index) == len(wanted)
    for name in NAMES:
        (row,) = index.row_of([name]).tolist()
        assert (name in index) == (name in wanted) == (row >= 0)
        if row >= 0:
            assert rows.setdefault(name, row) == row
            np.testing.assert_allclose(
                index.vectors_of(np.array([row]))[0], wanted[name], atol=1e-6
            )
    check_search(index, wanted, (1, 2, -1), len(NAMES) + 1)

    before = index.state_hash()
    index.rebuild()
    assert index.state_hash() == before
    assert index.delta_size == 0
    assert index._main.ann.size == len(wanted)
    check_search(index, wanted, (1, 2, -1), len(NAMES) + 1)


@given(final=st.dictionaries(names, vectors), earlier=batches, order=st.randoms())
def test_equal_content_has_equal_hash_whatever_came_before(
    final: dict[str, tuple[int, ...]], earlier: list[tuple[str, tuple[int, ...]]], order
) -> None:
    straight, winding = AccountIndex(DIMENSION), AccountIndex(DIMENSION)
    for name, vector in final.items():
        straight.upsert([name], np.array([vector]))
    for name, vector in earlier:
        winding.upsert([name], np.array([vector]))
    winding.rebuild()
    winding.remove([name for name in NAMES if name not in final])
    shuffled = list(final.items())
    order.shuffle(shuffled)
    for name, vector in shuffled:
        winding.upsert([name], np.array([vector]))
    assert winding.state_hash() == straight.state_hash()
    straight.upsert(["another"], np.ones((1, DIMENSION)))
    assert winding.state_hash() != straight.state_hash()


def test_searches_during_changes_and_swaps_never_fail_nor_find_the_removed() -> None:
    rng = np.random.default_rng(1)
    index = AccountIndex(8, MainConfig(flat_below=200))
    ids = [f"account-{n}" for n in range(400)]
    index.upsert(ids, rng.standard_normal((400, 8)))
    index.rebuild()
    gone = ids[:40]
    index.remove(gone)
    gone_rows = set(range(40))
    done = threading.Event()
    failures: list[BaseException] = []

    def reader(seed: int) -> None:
        queries = np.random.default_rng(seed)
        try:
            while not done.is_set():
                rows_qk, _ = index.search(queries.standard_normal((4, 8)), 20)
                for row in rows_qk:
                    found = [r for r in row.tolist() if r >= 0]
                    assert len(set(found)) == len(found)
                    assert not gone_rows & set(found)
                    index.ids_of(np.array(found))
                index.vectors_of(rows_qk)
        except BaseException as error:
            failures.append(error)

    def builder() -> None:
        try:
            while not done.is_set():
                index.swap(index.build_main())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=reader, args=(seed,)) for seed in range(2)]
    threads.append(threading.Thread(target=builder))
    for thread in threads:
        thread.start()
    for n in range(300):
        fresh = [f"account-{40 + (n * 7 + m) % 360}" for m in range(5)]
        index.upsert(fresh, rng.standard_normal((5, 8)))
        index.upsert([f"new-{n}"], rng.standard_normal((1, 8)))
        index.remove([f"new-{n - 50}"])
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(index) == 360 + 50
