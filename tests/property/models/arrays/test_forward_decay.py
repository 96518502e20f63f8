"""Decay: whatever the order and wherever the landmark, what is left is the sum of what decayed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays.forward_decay import ForwardDecay

HALF_LIFE_MS = 1000


@given(
    batches=st.lists(st.lists(st.integers(0, 200_000), min_size=1, max_size=5), max_size=8),
    most=st.sampled_from([3.0, 60.0, 500.0]),
)
def test_stored_weights_read_as_events_that_decayed_each(
    batches: list[list[int]], most: float
) -> None:
    decay, stored = ForwardDecay(HALF_LIFE_MS, most), 0.0
    for batch in batches:
        ts = np.array(batch, np.int64)
        stored *= decay.advance(int(ts.max()))
        stored += float(decay.weights(ts).sum())
    every = np.array([ts for batch in batches for ts in batch], np.int64)
    now_ms = int(every.max(initial=0))
    expected = np.exp2((every - now_ms) / HALF_LIFE_MS).sum()
    assert stored * decay.left(now_ms) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_nothing_overflows_far_apart() -> None:
    decay = ForwardDecay(HALF_LIFE_MS)
    assert decay.left(10**15) == 0.0
    assert decay.advance(0) == 1.0
    assert decay.advance(10**9) == 0.0
    assert np.isfinite(decay.weights(np.array([0, 10**9])) ** 2).all()
    assert np.isfinite(decay.left(0) ** 2)
