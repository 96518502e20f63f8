"""Cached neighbours against a search made now, over any interleaving of changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.account_index.ann_main import MainConfig
from models.account_index.change_log import KEPT
from models.account_index.index import AccountIndex
from models.account_index.neighbour_cache import NeighbourCache

DIMENSION = 3
NAMES = tuple("abcdefghijkl")
IVF = MainConfig(flat_below=4, vectors_per_list=2, probed=100)

names = st.sampled_from(NAMES)
vectors = st.tuples(*[st.integers(-3, 3)] * DIMENSION).filter(any)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), st.lists(st.tuples(names, vectors), max_size=4)),
        st.tuples(st.just("remove"), st.lists(names, max_size=3)),
        st.tuples(st.just("rebuild"), st.none()),
        st.tuples(st.just("ask"), st.tuples(st.lists(names, max_size=6), st.integers(0, 13))),
    ),
    max_size=30,
)


def check(index: AccountIndex, cache: NeighbourCache, asked: list[str], k: int) -> None:
    rows_q = index.row_of(asked)
    rows_qk, cosines_qk = cache.neighbours_of(rows_q, k)
    assert rows_qk.shape == cosines_qk.shape == (len(asked), k)
    for row, found_k, cosines_k in zip(rows_q.tolist(), rows_qk, cosines_qk, strict=True):
        everybody = index.row_of(NAMES)
        others = everybody[(everybody >= 0) & (everybody != row)] if row >= 0 else everybody[:0]
        own_d, others_nd = index.vectors_of(np.array(row)), index.vectors_of(others)
        # Those of cosine zero are in, those without a vector are not.
        best = np.sort(others_nd @ own_d)[::-1][:k]
        count = len(best)
        np.testing.assert_allclose(cosines_k[:count], best, atol=2e-5)
        assert (found_k[count:] == -1).all()
        assert np.isneginf(cosines_k[count:]).all()
        assert len(set(found_k[:count].tolist()) & set(others.tolist())) == count
        np.testing.assert_allclose(
            index.vectors_of(found_k[:count]) @ own_d, cosines_k[:count], atol=1e-6
        )


@pytest.mark.parametrize("config", [MainConfig(), IVF], ids=["flat", "ivf"])
@pytest.mark.parametrize(("capacity", "length"), [(2, 1), (100, 1), (100, 8)])
@settings(max_examples=60, deadline=None)
@given(steps=operations)
def test_the_cache_answers_as_a_search_would(
    config: MainConfig, capacity: int, length: int, steps: list[tuple[str, Any]]
) -> None:
    index = AccountIndex(DIMENSION, config)
    cache = NeighbourCache(index, capacity, length)
    for operation, value in steps:
        if operation == "upsert":
            index.upsert(
                [name for name, _ in value],
                np.array([vector for _, vector in value], np.float32).reshape(-1, DIMENSION),
            )
        elif operation == "remove":
            index.remove(value)
        elif operation == "rebuild":
            index.rebuild()
        else:
            check(index, cache, *value)
    check(index, cache, list(NAMES), 5)
    misses = cache.misses
    check(index, cache, list(NAMES[:2]), 3)
    # Nothing changed since, so what fits into the cache is not searched for again.
    assert capacity == 2 or cache.misses == misses


def test_a_change_far_away_or_a_rebuild_spoils_nothing_and_a_near_one_does() -> None:
    index = AccountIndex(2)
    index.upsert(["a", "b", "far"], np.array([[1, 0], [1, 0.1], [-1, 0]]))
    cache = NeighbourCache(index)
    rows_q = index.row_of(["a"])
    assert index.ids_of(cache.neighbours_of(rows_q, 1)[0][0]) == ["b"]
    index.upsert(["far"], np.array([[-1, 1]]))
    index.rebuild()
    cache.neighbours_of(rows_q, 1)
    assert (cache.hits, cache.misses) == (1, 1)
    index.upsert(["far"], np.array([[1, 0.05]]))
    assert index.ids_of(cache.neighbours_of(rows_q, 1)[0][0]) == ["far"]
    index.remove(["far"])
    assert index.ids_of(cache.neighbours_of(rows_q, 1)[0][0]) == ["b"]
    assert (cache.hits, cache.misses) == (1, 3)


def test_more_changes_than_are_remembered_are_all_seen() -> None:
    index = AccountIndex(2)
    count = KEPT + 1
    index.upsert([f"{n}" for n in range(count)], np.tile([-1.0, 0.0], (count, 1)))
    index.upsert(["a", "b"], np.array([[1, 0], [1, 0.1]]))
    cache = NeighbourCache(index)
    rows_q = index.row_of(["a"])
    cache.neighbours_of(rows_q, 1)
    for n in range(count):
        index.upsert([f"{n}"], np.array([[1.0, 0.0]]) if n == 0 else np.array([[-1.0, 0.01]]))
    assert index.ids_of(cache.neighbours_of(rows_q, 1)[0][0]) == ["0"]
