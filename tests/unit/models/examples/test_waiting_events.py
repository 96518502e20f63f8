"""Events that wait for their labels: what comes out, in which order, and what they take."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from models.actions import HEADS, STRONG_HEADS
from models.events import FollowEvent, MediaEvent, Relation
from models.examples.from_events import ExampleBuilder, ExampleConfig
from models.examples.waiting_events import Observed, WaitingEvents
from models.world import World

SLICE_MS = 1000
ids = st.text(min_size=1, max_size=5)
times = st.integers(0, 5 * SLICE_MS)
actions = st.tuples(
    st.sampled_from(HEADS),
    st.builds(
        MediaEvent, ids, ids, ids, times, st.none() | ids, st.none() | ids, st.booleans(),
        st.none() | st.integers(0, 9999), st.booleans(),
    ),
)  # fmt: skip
follows = st.tuples(
    st.none(),
    st.builds(FollowEvent, ids, ids, ids, st.sampled_from(list(Relation)), times, st.booleans()),
)


@given(st.lists(actions | follows))
def test_what_comes_out_is_what_went_in_by_time(events: list[Observed]) -> None:
    waiting = WaitingEvents(SLICE_MS)
    for action, event in events:
        waiting.add(action, event)
    assert len(waiting) == len(events)
    found: list[Observed] = []
    while (number := waiting.oldest()) is not None:
        some = waiting.take(number)
        assert {event.ts // SLICE_MS for _, event in some} == {number}
        found += some
    assert len(waiting) == 0
    assert waiting.take(3) == []
    assert found == sorted(events, key=lambda one: (one[1].ts, one[0] in STRONG_HEADS))
    for (action, event), (before, _) in zip(found, sorted(events, key=_order), strict=True):
        assert action is before
        assert not isinstance(event, FollowEvent) or isinstance(event.kind, Relation)


def _order(one: Observed) -> tuple[int, bool]:
    return one[1].ts, one[0] in STRONG_HEADS


def acting(number: int, ts: int, viewers: int) -> Observed:
    """One action, of ids as long as those of a product."""
    viewer, media = f"viewer-{number % viewers:016d}", f"media-{number % 977:016d}"
    event = MediaEvent(f"event-{number:026d}", viewer, media, ts, f"account-{number % 89:014d}")
    return HEADS[number % len(HEADS)], event


def test_an_event_that_waits_takes_a_few_hundred_bytes() -> None:
    waiting, many = WaitingEvents(SLICE_MS), 10_000
    tracemalloc.start()
    try:
        for number in range(many):
            action, event = acting(number, number, many)
            waiting.add(action, event)
        del event
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / many < 250


def test_what_waits_levels_off_after_the_window_whoever_comes() -> None:
    """Viewers keep coming who were never there: what is held of them ends with the window, but for
    the states of the last of them."""
    config = ExampleConfig(window_ms=10_000, slice_ms=1000, max_viewers=300)
    builder = ExampleBuilder(World(), config)
    held: list[int] = []
    for second in range(60):
        ts = 1_700_000_000_000 + second * 1000
        events = [acting(100 * second + at, ts + 10 * at, 10**9) for at in range(100)]
        builder.observe(events, ts + 1000)
        builder.take()
        labels = sum(map(len, builder._labels.values()))
        held.append(builder.waiting() + labels + sum(map(len, builder._next.values())))
        assert len(list(builder.viewers())) <= config.max_viewers
    window = 100 * (config.window_ms + 2 * config.slice_ms) // 1000
    assert max(held) <= 2 * window
    assert max(held[40:]) == max(held[15:40])
