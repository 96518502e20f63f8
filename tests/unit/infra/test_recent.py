"""Figures of the last minute."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infra.recent import RecentSeconds, Spread


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_what_is_old_is_forgotten() -> None:
    clock = Clock()
    recent = RecentSeconds(within_s=60, clock=clock)
    assert recent.spread() is None
    recent.add(5.0)
    clock.seconds = 50
    recent.add(0.25)
    assert recent.spread() == Spread(2, 250.0, 5000.0)
    clock.seconds = 61
    assert recent.spread() == Spread(1, 250.0, 250.0)
    clock.seconds = 111
    assert recent.spread() is None


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=300), st.integers(1, 50))
def test_a_spread_is_of_the_newest_and_names_figures_that_were(
    durations: list[float], most: int
) -> None:
    recent = RecentSeconds(most=most, clock=Clock())
    for seconds in durations:
        recent.add(seconds)
    kept = [seconds * 1000 for seconds in durations[-most:]]
    spread = recent.spread()
    assert spread is not None
    assert spread.count == len(kept)
    assert {spread.p50_ms, spread.p99_ms} <= set(kept)
    # As many as it says are within.
    assert sum(one <= spread.p50_ms for one in kept) * 2 >= len(kept)
    assert sum(one <= spread.p99_ms for one in kept) * 100 >= 99 * len(kept)
    assert sum(one < spread.p50_ms for one in kept) * 2 < len(kept)
