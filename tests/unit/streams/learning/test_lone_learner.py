"""A second learner is noticed, a rebalance is not taken for one."""

from __future__ import annotations

import asyncio
import contextlib

from infra.metrics import OTHER_LEARNERS
from streams.learning.lone_learner import LOOKS, watch_for_another


async def looked(assigned: list[int]) -> float:
    """The metric after these looks at how many of four partitions this learner has."""
    left = iter(assigned)
    with contextlib.suppress(asyncio.TimeoutError, StopIteration, RuntimeError):
        await watch_for_another(lambda: next(left), lambda: 4, 0.0)
    return OTHER_LEARNERS._value.get()


async def test_a_second_learner_is_told_of_once(caplog) -> None:
    assert await looked([4, *[2] * (LOOKS + 3)]) == 1.0
    assert len(caplog.records) == 1
    assert "another learner runs: it has 2 of 4 partitions" in caplog.text
    assert await looked([2] * (LOOKS + 1) + [4]) == 0.0


async def test_a_rebalance_is_no_second_learner(caplog) -> None:
    assert await looked([4, 0, 2, 4, 4, 0, 0, 4]) == 0.0
    assert caplog.records == []


async def test_one_that_joins_with_added_partitions_is_a_second_learner(caplog) -> None:
    # This one keeps the four that it had; the other has what was added.
    left, counts = iter([4] * (LOOKS + 2)), iter([4])
    with contextlib.suppress(asyncio.TimeoutError, StopIteration, RuntimeError):
        await watch_for_another(lambda: next(left), lambda: next(counts, 8), 0.0)
    assert OTHER_LEARNERS._value.get() == 1.0
    assert "it has 4 of 8 partitions" in caplog.text
