"""What everybody is counted for, against a plain fold, in any order and with any copies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.actions import POSITIVE, VIEWS, Action, undo_kind
from models.events import DAY_MS, Media, MediaEvent
from models.item_to_item.histories import PositiveLog
from models.world import World, WorldConfig

NOW = 1_700_000_000_000
MEDIA = ("m0", "m1", "m2", "m3")
AUTHOR = {"m0": "a0", "m1": "a0", "m2": "a1", "m3": "a1"}


class Done(NamedTuple):
    viewer: str
    media: str
    action: Action
    ts: int
    undo: bool


done = st.builds(
    Done,
    st.sampled_from(("v0", "v1", "v2")),
    st.sampled_from(MEDIA),
    st.sampled_from(Action),
    st.integers(0, 5).map(lambda days: NOW - days * DAY_MS),
    st.sampled_from((False, False, False, True)),
)


def a_world(remembered: int = 1 << 20) -> World:
    world = World(WorldConfig(remembered=remembered))
    world.apply_media([Media(media, AUTHOR[media], NOW) for media in MEDIA])
    world.positives = PositiveLog()
    return world


def apply(world: World, events: list[Done]) -> None:
    world.apply_events(
        [
            (of.action, MediaEvent(f"e{at}", of.viewer, of.media, of.ts, undo=of.undo))
            for at, of in enumerate(events)
        ]
    )


def standing(events: list[Done]) -> dict[tuple[str, str, Action], int]:
    """Viewer, media and action → the newest time at which it was done, where no undo follows."""
    found = {}
    for viewer, media, action in {of[:3] for of in events if not of.undo}:
        ts = max(of.ts for of in events if of[:3] == (viewer, media, action) and not of.undo)
        undone = any(
            of.undo and of.ts >= ts and undo_kind(of.action) == undo_kind(action)
            for of in events
            if of[:2] == (viewer, media)
        )
        if not undone:
            found[viewer, media, action] = ts
    return found


def counts(world: World) -> np.ndarray:
    """Counts of media, of authors, in total, and worth over each time, as one row of numbers."""
    catalog, popularity = world.catalog, world.popularity
    rows = catalog.media_rows(MEDIA)
    parts = [
        popularity.decayed_media(rows, NOW),
        popularity.decayed_authors(catalog.author_rows(("a0", "a1")), NOW),
        popularity.decayed_total(NOW),
        world.worth(rows, NOW),
    ]
    return np.concatenate([part.ravel() for part in parts])


def expected(events: list[Done]) -> np.ndarray:
    """The same of what stands, each counted by itself."""
    world = a_world()
    media = np.zeros((len(MEDIA), len(Action)))
    authors, total = np.zeros((2, len(Action))), np.zeros(len(Action))
    half_lives = [
        world.config.trends_ms[0],
        world.config.popularity.half_life_ms,
        *world.config.trends_ms[1:],
    ]
    worth = np.zeros((len(MEDIA), len(half_lives)))
    for (_, name, action), ts in standing(events).items():
        weights = [2.0 ** ((ts - NOW) / half_life) for half_life in half_lives]
        media[MEDIA.index(name), action] += weights[1]
        authors[int(AUTHOR[name][1:]), action] += weights[1]
        total[action] += weights[1]
        worth[MEDIA.index(name)] += np.array(weights) * action.row.popularity
    return np.concatenate([part.ravel() for part in (media, authors, total, worth)])


@given(st.lists(done, max_size=25), st.data())
def test_any_order_and_any_copies_count_once(events: list[Done], data: st.DataObject) -> None:
    copies = data.draw(st.lists(st.sampled_from(events), max_size=10)) if events else []
    order = data.draw(st.permutations(events + copies))
    world = a_world()
    while order:
        size = data.draw(st.integers(1, 25))
        apply(world, order[:size])
        order = order[size:]
    np.testing.assert_allclose(counts(world), expected(events), rtol=1e-9, atol=1e-9)
    liked = {key[:2] for key in standing(events) if key[2] in POSITIVE}
    assert world.positives is not None
    assert len(world.positives.pairs(200).media_n) == len(liked)


def test_one_viewer_does_not_put_a_media_first() -> None:
    world = a_world()
    apply(world, [Done(f"v{n}", "m1", Action.LIKE, NOW, False) for n in range(2)])
    for n in range(3000):
        apply(world, [Done("v", "m0", Action.LIKE, NOW - 3000 + n, False)])
    first, second = world.catalog.media_rows(["m1", "m0"]).tolist()
    assert world.popularity.most_popular(2).tolist() == [first, second]
    for trend in world.trends:
        assert trend.most_worth(2).tolist() == [first, second]
    assert world.positives is not None and world.positives.added == 3


def test_a_see_fewer_that_comes_again_changes_nothing() -> None:
    world = a_world()
    apply(world, [Done(f"v{n}", "m0", Action.LIKE, NOW, False) for n in range(30)])
    see_fewer = Done("v", "m0", Action.SEE_FEWER, NOW, False)
    apply(world, [see_fewer])
    once = counts(world)
    for _ in range(10):
        apply(world, [see_fewer])
    assert counts(world).tolist() == once.tolist()


def test_a_view_that_comes_again_moves_to_the_newer_time() -> None:
    world = a_world()
    apply(world, [Done("v", "m0", Action.VIEW, NOW - n * DAY_MS, False) for n in (3, 0, 6)])
    row = world.catalog.media_rows(["m0"])
    assert world.popularity.decayed_media(row, NOW)[0, Action.VIEW] == 1.0


def test_who_goes_to_and_fro_makes_no_media_belong_together() -> None:
    both = [Done("v", media, Action.LIKE, NOW - 1, False) for media in ("m0", "m1")]
    once, again = a_world(), a_world()
    apply(once, both)
    for n in range(50):
        apply(again, [of._replace(ts=of.ts + n) for of in both])
    rows = once.catalog.media_rows(["m0"])
    likeness = [world.co_engagement.neighbours(rows, NOW)[1].max() for world in (once, again)]
    assert likeness[0] > 0 and likeness[0] == pytest.approx(likeness[1])


@pytest.mark.parametrize("action", [Action.LIKE, Action.VIEW])
def test_what_is_forgotten_counts_again_and_views_push_nothing_out(action: Action) -> None:
    world = a_world(remembered=8)
    like = Done("v", "m0", Action.LIKE, NOW, False)
    apply(world, [like])
    for n in range(30):
        apply(world, [Done(f"w{n}", "m1", action, NOW, False)])
    apply(world, [like])
    row = world.catalog.media_rows(["m0"])
    likes = world.popularity.decayed_media(row, NOW)[0, Action.LIKE]
    assert likes == (1.0 if action in VIEWS else 2.0)
