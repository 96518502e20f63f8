"""Choices among candidates: whose they are, what they are labelled by, how they are sampled."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.actions import HEAD_NAMES, HEADS, STRONG_POSITIVE, Action
from models.events import Media, MediaEvent
from models.examples.choices import ChoiceConfig, Choices, ChoiceSampler, Find, finder
from models.examples.from_events import ExampleBuilder, ExampleConfig
from models.examples.waiting_events import Observed
from models.explore.treatment import Treatment
from models.feature_schema import DENSE_INDEX, DENSE_NAMES, SPARSE_NAMES
from models.features.assembly import assemble
from models.features.candidates import Candidates
from models.item_to_item.fit import ItemToItemConfig
from models.viewers.context import ViewerContext
from models.viewers.state import ViewerState
from models.world import World

T0 = 1_700_000_040_000 - 1_700_000_040_000 % 60_000
MINUTE = 60_000
NOW = T0 + 10**9
MEDIA = 40
ALL = ExampleConfig(negative_rate=1.0)
LIKE, SAVE, SEE_FEWER = (HEADS.index(a) for a in (Action.LIKE, Action.SAVE, Action.SEE_FEWER))


def world() -> World:
    made = World()
    made.apply_media([Media(f"m{n}", f"a{n % 7}", T0 - n * MINUTE) for n in range(MEDIA)])
    return made


def every_media(viewers: Sequence[ViewerContext], now_ms: int) -> tuple[Candidates, np.ndarray]:
    """The whole catalogue is every viewer's candidates."""
    rows = np.tile(np.arange(MEDIA, dtype=np.int32), len(viewers))
    return Candidates.of(rows), np.arange(1, len(viewers) + 1) * MEDIA


def event(
    action: Action, viewer: str, media: int, ts: int, event_id: str = "", undo: bool = False
) -> Observed:
    name = event_id or f"{action.name}-{viewer}-{media}-{ts}"
    return action, MediaEvent(name, viewer, f"m{media}", ts, f"a{media % 7}", undo=undo)


def build(
    events: Sequence[Observed],
    config: ExampleConfig = ALL,
    batch: int = 1000,
    find: Find | None = every_media,
) -> Choices:
    builder = ExampleBuilder(world(), config, find)
    for start in range(0, len(events), batch):
        builder.observe(events[start : start + batch], NOW)
    builder.flush()
    return builder.take_choices()


def chosen_in(choices: Choices, group: int = 0) -> dict[int, set[str]]:
    """Media of :func:`every_media` → heads, of one set in which no candidate was left out."""
    rows = choices.labels_nh[choices.groups_n == group]
    assert len(rows) == MEDIA
    return {
        media: {HEAD_NAMES[h] for h in np.flatnonzero(label_h)}
        for media, label_h in enumerate(rows)
        if label_h.any()
    }


def test_a_choice_is_what_the_viewer_does_within_the_window() -> None:
    window = ALL.window_ms
    choices = build(
        [
            event(Action.LIKE, "v", 1, T0 + 5),
            event(Action.SAVE, "v", 1, T0 + 9),
            event(Action.SEE_FEWER, "v", 2, T0 + window - 1),
            event(Action.LIKE, "v", 3, T0 + window),
            event(Action.LIKE, "w", 4, T0 + 5),
            event(Action.VIEW, "v", 5, T0 + 7),
            event(Action.LIKE, "v", 999, T0 + 8),
        ]
    )
    by_group = [chosen_in(choices, group) for group in range(len(choices))]
    assert {1: {"like", "save"}, 2: {"see_fewer"}} in by_group
    assert {4: {"like"}} in by_group
    assert {3: {"like"}} in by_group
    assert len(by_group) == 3
    assert set(choices.ts_n.tolist()) == {T0, T0 + window}


@pytest.mark.parametrize("undo_at", [0, 1, MINUTE])
@pytest.mark.parametrize("undo_first", [False, True])
def test_what_is_taken_back_within_the_window_was_not_chosen(
    undo_at: int, undo_first: bool
) -> None:
    done = [
        event(Action.LIKE, "v", 2, T0 + 9, "x"),
        event(Action.LIKE, "v", 2, T0 + 9 + undo_at, "x", undo=True),
    ]
    done = done[::-1] if undo_first else done
    choices = build([event(Action.LIKE, "v", 1, T0 + 5), *done])
    assert chosen_in(choices) == {1: {"like"}}


def test_what_is_taken_back_later_was_chosen() -> None:
    late = T0 + ALL.window_ms + MINUTE
    choices = build(
        [
            event(Action.LIKE, "v", 1, T0, "x"),
            event(Action.LIKE, "v", 1, late, "x", undo=True),
        ]
    )
    assert chosen_in(choices) == {1: {"like"}}
    assert len(choices) == 1


@pytest.mark.parametrize("action", [Action.VIEW, Action.SEE_FEWER])
def test_who_likes_nothing_chooses_nothing(action: Action) -> None:
    assert len(build([event(action, "v", 1, T0)])) == 0
    assert len(build([event(Action.LIKE, "v", 999, T0)])) == 0
    assert len(build([event(Action.LIKE, "v", 1, T0)], find=None)) == 0


def test_features_are_those_of_before_the_choice() -> None:
    history = [event(Action.LIKE, "v", 8, T0), event(Action.LIKE, "w", 15, T0)]
    at = T0 + 60 * MINUTE
    choices = build([*history, event(Action.LIKE, "v", 15, at + 7)])
    [group] = np.unique(choices.groups_n[choices.ts_n == at])
    served = world()
    builder = ExampleBuilder(served, ALL)
    builder.observe(history, NOW)
    builder.flush()
    state = dict(builder.viewers())["v"]
    viewer = ViewerContext.from_state("v", state, served, at)
    rows = np.arange(MEDIA, dtype=np.int32)
    expected = assemble(viewer, Candidates.of(rows), served, at)
    of = choices.groups_n == group
    np.testing.assert_array_equal(choices.dense_nf[of], expected.dense_nf.astype(np.float16))
    np.testing.assert_array_equal(choices.sparse_ns[of], expected.sparse_ns)
    # One other viewer liked it before, and this like is not known yet.
    likes = choices.dense_nf[of][15, DENSE_INDEX["media_likes"]]
    assert likes == np.float16(np.log1p(2 ** (-1 / 72)) / 3)


def test_others_are_sampled_and_stand_for_those_left_out() -> None:
    config = msgspec.structs.replace(ALL, choices=ChoiceConfig(others=10))
    events = [event(Action.LIKE, f"v{n}", n, T0) for n in range(20)]
    choices = build([*events, event(Action.SAVE, "v0", 30, T0 + 1)], config)
    assert len(choices) == 20
    for group in range(20):
        of = choices.groups_n == group
        picked_n = choices.labels_nh[of].any(axis=1)
        assert (~picked_n).sum() == 10
        assert (choices.weights_n[of][picked_n] == 1.0).all()
        assert choices.weights_n[of].sum() == pytest.approx(MEDIA)
    again = build([*events, event(Action.SAVE, "v0", 30, T0 + 1)], config)
    np.testing.assert_array_equal(choices.dense_nf, again.dense_nf)


def test_in_the_long_run_a_share_is_sampled_of_what_was_meant_more() -> None:
    config = ChoiceConfig(rate=0.1, strong_rate=0.5, first=100)
    for strong, share in ((True, 0.5), (False, 0.1)):
        sampler = ChoiceSampler(world(), every_media, config)
        asked = [sampler.wanted("v", moment, strong) for moment in range(4_000)]
        assert all(asked[:100])
        # Four standard deviations of 2000 are below 90.
        assert abs(sum(asked[2000:]) - 2000 * share) < 90
        again = ChoiceSampler(world(), every_media, config)
        assert asked == [again.wanted("v", moment, strong) for moment in range(4_000)]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), batch=st.integers(1, 40), first=st.sampled_from([3, 1_000]))
def test_batches_change_nothing(seed: int, batch: int, first: int) -> None:
    rng = np.random.default_rng(seed)
    events: list[Observed] = []
    for number, ts in enumerate(np.sort(T0 + rng.integers(0, 40 * MINUTE, 60)).tolist()):
        action = Action(int(rng.integers(len(Action))))
        undo = bool(rng.random() < 0.2)
        who = f"v{rng.integers(3)}"
        events.append(event(action, who, int(rng.integers(9)), ts, f"e{number}", undo))
    config = msgspec.structs.replace(
        ALL,
        choices=ChoiceConfig(rate=0.3, strong_rate=0.5, first=first, others=12),
        items=ItemToItemConfig(first=5, viewers=1),
    )
    whole, parts = build(events, config), build(events, config, batch)
    for name in Choices.__struct_fields__:
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_a_builder_fits_item_weights_of_what_it_folds() -> None:
    made = world()
    config = msgspec.structs.replace(ALL, items=ItemToItemConfig(first=10, viewers=2, shrink=1.0))
    builder = ExampleBuilder(made, config, every_media)
    pairs = [event(Action.LIKE, f"v{n}", m, T0 + n) for n in range(10) for m in (1, 2)]
    builder.observe(pairs, NOW)
    assert made.item_weights is None
    builder.flush()
    assert made.item_weights is not None
    near, _ = made.item_weights.neighbours_of(int(made.catalog.media_rows(["m1"])[0]))
    assert made.catalog.media_ids(near) == ["m2"]
    assert builder.items.fits == 1
    # Each counts once, however often it is read.
    assert len(builder.take_choices()) > 0
    builder.observe(pairs, NOW)
    builder.flush()
    assert builder.items.log.added == 20
    assert len(builder.take_choices()) == 0


def test_what_the_query_finds_is_chosen_from() -> None:
    made = world()
    find = finder(made, Treatment)
    viewers = [ViewerContext.from_state(name, ViewerState(), made, T0) for name in ("v", "w")]
    found, ends_v = find(viewers, T0)
    assert len(ends_v) == 2 and ends_v[-1] == len(found.media_n)
    alone, [end] = find(viewers[:1], T0)
    np.testing.assert_array_equal(found.media_n[: ends_v[0]], alone.media_n)
    assert end == ends_v[0] > 0


def sets(ts: Sequence[int], meant: Sequence[bool] = ()) -> Choices:
    """Sets of two rows, of which the first was chosen."""
    n = len(ts)
    labels_nh = np.zeros((2 * n, len(HEADS)), np.uint8)
    strong = HEADS.index(next(head for head in HEADS if head in STRONG_POSITIVE))
    weak = HEADS.index(Action.LONG_VIEW)
    for group, is_meant in enumerate(meant or [True] * n):
        labels_nh[2 * group, strong if is_meant else weak] = 1
    return Choices(
        dense_nf=np.zeros((2 * n, len(DENSE_NAMES)), np.float16),
        sparse_ns=np.zeros((2 * n, len(SPARSE_NAMES)), np.int32),
        labels_nh=labels_nh,
        weights_n=np.ones(2 * n, np.float32),
        groups_n=np.arange(n).repeat(2),
        ts_n=np.array(ts, np.int64).repeat(2),
    )


@given(count=st.integers(0, 30), held=st.floats(0.0, 1.0))
def test_the_newest_share_is_held_out(count: int, held: float) -> None:
    older, newest = sets(range(count)).split(held)
    assert len(older) + len(newest) == count
    assert len(newest) == (max(round(count * held), 1) if count else 0)
    assert not len(older) or not len(newest) or older.ts_n.max() < newest.ts_n.min()


@given(meant=st.lists(st.booleans(), max_size=20), kept=st.integers(1, 8))
def test_of_either_kind_the_newest_are_kept(meant: list[bool], kept: int) -> None:
    made = sets(range(len(meant)), meant).newest(kept)
    expected = sorted(
        at
        for kind in (True, False)
        for at in [at for at, is_meant in enumerate(meant) if is_meant is kind][-kept:]
    )
    assert np.unique(made.ts_n).tolist() == expected
    assert len(made.ts_n) == 2 * len(expected)


def test_parts_become_one() -> None:
    one, other = sets(range(3)), sets(range(3, 5))
    both = Choices.concatenate([one, Choices.empty(), other])
    assert both.ts_n.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    for name in Choices.__struct_fields__:
        column = getattr(both, name)
        assert column.dtype == getattr(Choices.empty(), name).dtype
        np.testing.assert_array_equal(column[:6], getattr(one, name))
    assert len(Choices.concatenate([])) == 0 == len(Choices.empty())
    assert len(both.features()) == 10
