"""Trends against sums over all events, in any order and over any time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.actions import Action
from models.inventory.trend import Trend

HALF_LIFE = 1000
WORTH = tuple(float(n + 1) for n in range(len(Action)))
#: Media, action, time in half-lives, sign.
Event = tuple[int, int, float, int]
events = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, len(Action) - 1),
        st.floats(-1200, 1200),
        st.sampled_from([1, 1, -1]),
    ),
    max_size=30,
)


def add(trend: Trend, done: list[Event]) -> None:
    trend.add(
        np.array([media for media, *_ in done], np.int32),
        np.array([action for _, action, *_ in done], np.int8),
        np.array([round(at * HALF_LIFE) for *_, at, _ in done], np.int64),
        np.array([sign for *_, sign in done], np.int8),
    )


def worth(done: list[Event], row: int, now: int) -> float:
    total = sum(
        sign * WORTH[action] * 2.0 ** ((round(at * HALF_LIFE) - now) / HALF_LIFE)
        for media, action, at, sign in done
        if media == row
    )
    return max(total, 0.0)


@given(done=events, batch=st.integers(1, 30), wait=st.floats(0, 50), seed=st.integers(0, 99))
def test_worth_is_the_decayed_sum_of_all_events_in_any_order(
    done: list[Event], batch: int, wait: float, seed: int
) -> None:
    newest = max((round(at * HALF_LIFE) for *_, at, _ in done), default=0)
    now = newest + round(wait * HALF_LIFE)
    mixed = [done[at] for at in np.random.default_rng(seed).permutation(len(done)).tolist()]
    trend = Trend(HALF_LIFE, WORTH)
    for start in range(0, len(mixed), batch):
        add(trend, mixed[start : start + batch])
    rows = np.array([-1, *range(7)], np.int32)
    found_n = trend.worth(rows, now)
    expected = [worth(done, row, now) for row in rows.tolist()]
    np.testing.assert_allclose(found_n, expected, rtol=1e-9, atol=1e-9)


@given(done=events, back=st.floats(0, 3000))
def test_a_reader_in_the_past_of_the_newest_event_does_not_overflow(
    done: list[Event], back: float
) -> None:
    trend = Trend(HALF_LIFE, WORTH)
    add(trend, done)
    found_n = trend.worth(np.arange(6, dtype=np.int32), round((1200 - back) * HALF_LIFE))
    assert np.isfinite(found_n).all() and (found_n >= 0).all()


def test_what_was_never_done_to_is_worth_nothing() -> None:
    trend = Trend(HALF_LIFE, WORTH)
    assert trend.worth(np.array([0, -1], np.int32), 0).tolist() == [0.0, 0.0]
    add(trend, [])
    assert trend.worth(np.array([3], np.int32), 0).tolist() == [0.0]


def test_an_undo_takes_back_what_its_action_was_worth() -> None:
    trend = Trend(HALF_LIFE, WORTH)
    add(trend, [(1, Action.LIKE, 0.0, 1), (1, Action.SAVE, 0.0, 1), (1, Action.LIKE, 0.0, -1)])
    assert trend.worth(np.array([1], np.int32), 0).tolist() == [WORTH[Action.SAVE]]


@given(done=events, batch=st.integers(1, 30), most=st.integers(1, 7))
def test_the_most_worth_are_those_of_the_highest_worth(
    done: list[Event], batch: int, most: int
) -> None:
    trend = Trend(HALF_LIFE, WORTH)
    for start in range(0, len(done), batch):
        add(trend, done[start : start + batch])
        # Asked in between, so that what is kept must follow.
        found = trend.most_worth(most)
        at = max((round(at * HALF_LIFE) for *_, at, _ in done[: start + batch]), default=0)
        worth_n = trend.worth(np.arange(6, dtype=np.int32), at)
        assert len(set(found.tolist())) == len(found) <= most
        left_n = np.delete(worth_n, found)
        lowest = worth_n[found].min(initial=np.inf)
        assert lowest >= left_n.max(initial=0.0) * (1 - 1e-9)
        assert len(found) == most or left_n.max(initial=0.0) == 0.0
