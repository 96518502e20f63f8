"""Recent values against a dict, and what is remembered at least and at most."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.arrays.recent_values import ABSENT, RecentValues

#: Few different low bits, so that keys meet in slots; 0 marks a free slot inside.
keys = st.integers(0, 40).map(lambda n: (n % 3) | (n << 40))
MOST_AT_ONCE = 12
batches = st.lists(st.dictionaries(keys, st.integers(-9, 9), max_size=MOST_AT_ONCE), max_size=30)


def told(values: RecentValues, batch: dict[int, int]) -> list[int]:
    key_k = np.array(list(batch), np.uint64)
    return values.raise_to(key_k, np.array(list(batch.values()), np.int64)).tolist()


@given(batches)
def test_the_highest_value_of_each_key_is_kept(given_batches: list[dict[int, int]]) -> None:
    values, highest = RecentValues(1000), dict[int, int]()
    for batch in given_batches:
        assert told(values, batch) == [highest.get(key, ABSENT) for key in batch]
        for key, value in batch.items():
            highest[key] = max(highest.get(key, ABSENT), value)


@given(batches, st.integers(0, 20))
def test_the_keys_named_last_are_remembered(given_batches: list[dict[int, int]], most: int) -> None:
    values, named = RecentValues(most + MOST_AT_ONCE), dict[int, int]()
    for batch in given_batches:
        newest = list(named)[-most:] if most else []
        for key, before in zip(list(batch), told(values, batch), strict=True):
            known = named.pop(key, ABSENT)
            # Who is forgotten begins anew; nobody gets what another had.
            assert before == known or (before == ABSENT and key not in newest)
            named[key] = max(before, batch[key])


def test_memory_is_bounded_and_grows_with_what_is_held() -> None:
    values = RecentValues(1 << 12)
    assert values.bytes <= 1 << 15
    rng = np.random.default_rng(1)
    for _ in range(100):
        values.raise_to(rng.integers(0, 1 << 63, 1000).astype(np.uint64), np.arange(1000))
        assert values.bytes <= 64 * (1 << 12)
