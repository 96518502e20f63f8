"""Memory of accounts is bounded, and what the bounds promise holds for any stream."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ig2vec.config import Ig2VecConfig
from models.ig2vec.vocabulary import FrequentAccounts, Vocabulary, VocabularyError, with_room

DAY = 24 * 3600 * 1000
accounts = st.sampled_from("abcdefghijkl")
batches = st.lists(accounts, max_size=12)


@given(st.lists(batches, max_size=12), st.integers(1, 6))
def test_a_frequent_account_is_never_lost(stream: list[list[str]], capacity: int) -> None:
    frequent, truth = FrequentAccounts(capacity), Counter[str]()
    for batch in stream:
        frequent.add(Counter(batch))
        truth.update(batch)
        most_lost = truth.total() / (capacity + 1)
        assert len(frequent.counts) <= capacity
        for account, count in truth.items():
            assert count - most_lost <= frequent.counts.get(account, 0) <= count
        assert {a for a, count in truth.items() if count > most_lost} <= set(frequent.counts)


def state(vocabulary: Vocabulary) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    arrays, meta = vocabulary.save_arrays()
    return {name: array.tolist() for name, array in arrays.items()}, meta


counted = st.tuples(st.just("count"), batches, st.integers(0, 3))
expired = st.tuples(st.just("expire"), st.integers(0, 5), st.just(0))


@given(
    st.lists(st.one_of(counted, counted, expired), max_size=15),
    st.integers(1, 3),
    st.integers(1, 12),
)
def test_any_stream_against_plain_counting(
    stream: list[tuple[str, Any, int]], min_count: int, max_accounts: int
) -> None:
    config = Ig2VecConfig(
        min_count=min_count, max_accounts=max_accounts, count_half_life_ms=2 * DAY
    )
    vocabulary, now_ms = Vocabulary(config), DAY
    waiting: Counter[str] = Counter()
    held: dict[str, float] = {}
    seen: dict[str, int] = {}
    for what, value, days in stream:
        if what == "count":
            now_ms += days * DAY
            counts = Counter(value)
            rows = vocabulary.count(counts, now_ms)
            held = {account: count * 0.5 ** (days / 2) for account, count in held.items()}
            for account, count in counts.items():
                if account not in held:
                    waiting[account] += count
                    if waiting[account] < min_count or len(held) >= max_accounts:
                        continue
                    count = waiting.pop(account)
                held[account] = held.get(account, 0) + count
                seen[account] = now_ms
            assert sorted(vocabulary.ids[row] for row in rows) == sorted(counts.keys() & held)
            assert rows.tolist() == sorted(rows.tolist())
        else:
            before, before_ms = list(vocabulary.ids), now_ms - value * DAY
            stay = vocabulary.expire(before_ms)
            assert vocabulary.ids == [before[row] for row in stay]
            held = {a: count for a, count in held.items() if seen[a] >= before_ms}
        assert vocabulary.ids == list(held)
        assert vocabulary.row_of == {account: row for row, account in enumerate(held)}
        assert vocabulary.counts_n.tolist() == pytest.approx(list(held.values()))
        assert vocabulary.seen_n.tolist() == [seen[account] for account in held]
        loaded = Vocabulary.load_arrays(*vocabulary.save_arrays(), config)
        assert state(loaded) == state(vocabulary)


@given(st.lists(batches, max_size=15), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_memory_is_bounded(
    stream: list[list[str]], min_count: int, max_accounts: int, max_waiting: int
) -> None:
    config = Ig2VecConfig(min_count=min_count, max_accounts=max_accounts, max_waiting=max_waiting)
    vocabulary = Vocabulary(config)
    for batch in stream:
        vocabulary.count(Counter(batch), 1)
        arrays, _ = vocabulary.save_arrays()
        assert len(vocabulary) <= max_accounts
        assert len(arrays["waiting_counts"]) <= max_waiting


def test_a_full_vocabulary_lets_go_of_those_seen_longest_ago() -> None:
    vocabulary = Vocabulary(Ig2VecConfig(min_count=1, max_accounts=40))
    for n in range(40):
        vocabulary.count({f"a{n}": 1}, 100 + n)
    vocabulary.count({"a0": 1, "newcomer": 5}, 200)
    assert "newcomer" not in vocabulary.row_of
    vocabulary.expire(0)
    # A twentieth of the rows; a0 was seen again.
    assert vocabulary.ids == ["a0", *(f"a{n}" for n in range(3, 40))]
    vocabulary.count({"newcomer": 1}, 201)
    assert vocabulary.ids[-1] == "newcomer"
    assert vocabulary.counts_n[-1] == 6


def test_time_never_goes_back() -> None:
    vocabulary = Vocabulary(Ig2VecConfig(min_count=1, count_half_life_ms=DAY))
    vocabulary.count({"a": 8}, 10 * DAY)
    vocabulary.count({"b": 1}, 9 * DAY)
    assert vocabulary.counts_n.tolist() == [8, 1]
    assert vocabulary.seen_n.tolist() == [10 * DAY, 10 * DAY]
    vocabulary.count({"b": 1}, 11 * DAY)
    assert vocabulary.counts_n.tolist() == [4, 1.5]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("counts", np.ones(3)),
        ("seen", np.ones(1, dtype=np.int64)),
        ("ends", np.array([1])),
        ("ids", np.frombuffer(b"aa", dtype=np.uint8)),  # the same account twice
        ("waiting_counts", np.array([1])),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(name: str, array: np.ndarray) -> None:
    config = Ig2VecConfig(min_count=1)
    vocabulary = Vocabulary(config)
    vocabulary.count({"a": 1, "b": 1}, 1)
    arrays, meta = vocabulary.save_arrays()
    assert Vocabulary.load_arrays(arrays, meta, config).ids == ["a", "b"]
    with pytest.raises(VocabularyError):
        Vocabulary.load_arrays(arrays | {name: array}, meta, config)
    with pytest.raises(VocabularyError):
        Vocabulary.load_arrays(arrays, {}, config)


def test_room_is_doubled_so_that_copies_are_rare() -> None:
    array_n = np.arange(4)
    assert with_room(array_n, 4) is array_n
    assert with_room(array_n, 5).tolist() == [0, 1, 2, 3, 0, 0, 0, 0]
    assert len(with_room(array_n, 100)) == 100
