"""Co-occurrence of media from the stream: bounded, decayed, the heaviest neighbours kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.actions import Action
from models.events import Media, MediaEvent
from models.inventory.co_engagement import CoEngagement, CoEngagementConfig
from models.world import World

NOW = 1_700_000_000_000
DAY = 86_400_000


def add(counts: CoEngagement, done: list[tuple[int, int]], ts: int = NOW) -> None:
    viewers = np.array([viewer for viewer, _ in done], np.int64)
    media = np.array([row for _, row in done], np.int32)
    counts.add(viewers, media, np.full(len(done), ts, np.int64))


def near(counts: CoEngagement, row: int, now: int = NOW) -> dict[int, float]:
    rows, scores = counts.neighbours(np.array([row], np.int32), now)
    pairs = zip(rows[0].tolist(), scores[0].tolist(), strict=True)
    return {other: score for other, score in pairs if other >= 0}


def test_consecutive_positives_of_one_viewer_are_neighbours() -> None:
    counts = CoEngagement(CoEngagementConfig(window=2))
    add(counts, [(1, 10), (2, 20), (1, 11), (1, 12), (1, 13)])
    assert set(near(counts, 11)) == {10, 12, 13}
    assert set(near(counts, 10)) == {11, 12}
    assert near(counts, 20) == {}
    # The nearer, the more.
    assert near(counts, 13)[12] > near(counts, 13)[11]


def test_batches_may_be_cut_anywhere() -> None:
    whole, parts = CoEngagement(), CoEngagement()
    done = [(i % 3, (i * 7) % 11) for i in range(40)]
    add(whole, done)
    for start in range(0, 40, 3):
        add(parts, done[start : start + 3])
    for row in range(11):
        assert near(whole, row).keys() == near(parts, row).keys()
        for other, score in near(whole, row).items():
            assert abs(near(parts, row)[other] - score) < 1e-5


def test_weights_decay_and_survive_a_moved_landmark() -> None:
    counts = CoEngagement(CoEngagementConfig(half_life_ms=DAY, support=1.0))
    add(counts, [(1, 1), (1, 2)])
    fresh = near(counts, 1)[2]
    assert near(counts, 1, NOW + 3 * DAY)[2] < fresh
    add(counts, [(9, 5), (9, 6)], NOW + 100 * DAY)
    assert abs(near(counts, 5, NOW + 100 * DAY)[6] - fresh) < 1e-6
    assert near(counts, 1, NOW + 100 * DAY)[2] < 1e-20


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("read_after", [-1000, 0, 1000])
def test_counts_of_years_are_finite(read_after: int) -> None:
    """Totals just before the landmark moves are 2^60 times what was counted."""
    counts = CoEngagement(CoEngagementConfig(half_life_ms=DAY, support=1.0))
    for day in (0, 59, 60, 365, 424, 425, 10 * 365):
        add(counts, [(viewer, row) for viewer in range(200) for row in (1, 2)], NOW + day * DAY)
        near_nk, likeness_nk = counts.neighbours(
            np.array([1, 2, 3], np.int32), NOW + (day + read_after) * DAY
        )
        assert likeness_nk.dtype == np.float32
        assert np.isfinite(likeness_nk).all() and (likeness_nk <= 1.0).all()
        assert not likeness_nk[near_nk < 0].any()
        if read_after == 0:
            # 200 viewers of whom each liked both say as much, whenever it was.
            assert 0.9 < near(counts, 1, NOW + day * DAY)[2] <= 1.0


def test_two_viewers_in_one_place_are_not_one() -> None:
    counts = CoEngagement(CoEngagementConfig(viewers=4))
    add(counts, [(1, 10), (5, 20)])
    add(counts, [(5, 21)])
    assert near(counts, 10) == {}
    assert set(near(counts, 20)) == {21}


def test_what_comes_often_stays_among_the_neighbours() -> None:
    counts = CoEngagement(CoEngagementConfig(neighbours=4, window=1))
    for i in range(60):
        add(counts, [(i, 0), (i, 1)])
        add(counts, [(1000 + i, 0), (1000 + i, 100 + i)])
    found = near(counts, 0)
    assert len(found) == 4
    assert max(found, key=found.__getitem__) == 1


@settings(max_examples=50, deadline=None)
@given(
    done=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 60)), max_size=150),
    cut=st.integers(1, 60),
)
def test_memory_is_bounded_whatever_comes(done: list[tuple[int, int]], cut: int) -> None:
    counts = CoEngagement(CoEngagementConfig(neighbours=3, media=8, viewers=16))
    for start in range(0, len(done), cut):
        add(counts, done[start : start + cut], NOW + start)
    assert len(counts) <= 8
    for row in range(61):
        found = near(counts, row)
        assert len(found) <= 3 and row not in found
        assert all(0.0 <= score <= 1.0 for score in found.values())


def test_a_world_counts_likes_saves_and_long_views_that_stand() -> None:
    world = World()
    world.apply_media([Media(f"m{i}", "a", NOW) for i in range(6)])
    done = [
        (Action.LIKE, "m0", False), (Action.VIEW, "m1", False), (Action.SAVE, "m2", False),
        (Action.LIKE, "m3", True), (Action.LONG_VIEW, "m4", False),
        (Action.SEE_FEWER, "m5", False),
    ]  # fmt: skip
    world.apply_events(
        [(a, MediaEvent(f"e{i}", "v", m, NOW, undo=u)) for i, (a, m, u) in enumerate(done)]
    )
    assert set(near(world.co_engagement, 0)) == {2, 4}
    assert len(world.co_engagement) == 3
