"""The newest examples are kept, however they come in, and adding costs what comes in."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.examples import newest
from models.examples.examples import Examples
from models.examples.newest import NewestExamples
from tests.unit.models.training.test_rankers import exposures

ALL = exposures(200)


def part(first: int, times: list[int]) -> Examples:
    rows = ALL.take(np.arange(first, first + len(times)))
    return msgspec.structs.replace(rows, ts_n=np.array(times, np.int64))


@given(st.lists(st.lists(st.integers(0, 20), max_size=9), max_size=20), st.integers(1, 12))
def test_the_newest_are_kept_in_order_of_time(batches: list[list[int]], keep: int) -> None:
    kept, came = NewestExamples(keep), Examples.empty()
    for number, times in enumerate(batches):
        batch = part(number * 9, times)
        kept.add(batch)
        came = Examples.concatenate([came, batch])
        assert len(kept) == min(len(came), keep)
    expected = came.take(np.argsort(came.ts_n, kind="stable")[-keep:])
    for found in (kept.all(), kept.take()):
        assert found.ts_n.tolist() == expected.ts_n.tolist()
        assert found.features.dense_nf.tobytes() == expected.features.dense_nf.tobytes()
    assert (len(kept), len(kept.all())) == (0, 0)


def test_what_is_kept_is_copied_once_for_many_that_come(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = 0

    class Counting(Examples, frozen=True, kw_only=True, eq=False):
        @classmethod
        def concatenate(cls, parts):
            nonlocal copied
            copied += sum(map(len, parts))
            return Examples.concatenate(parts)

    monkeypatch.setattr(newest, "Examples", Counting)
    kept = NewestExamples(1_000)
    for number in range(5_000):
        kept.add(part(number % 200, [number]))
    # Copied whole for each, it would be five million.
    assert copied < 6 * 5_000


def test_examples_of_the_forgotten_are_gone() -> None:
    kept = NewestExamples(1_000)
    groups_n = np.arange(len(ALL)) % 5
    kept.add(msgspec.structs.replace(ALL, groups_n=groups_n))
    kept.forget({3})
    assert len(kept) == int((groups_n != 3).sum())
    assert 3 not in kept.all().groups_n
