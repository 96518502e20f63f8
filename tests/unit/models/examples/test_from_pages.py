"""Labels joined to served pages: each page once, late and foreign events, order, restarts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.actions import HEAD_NAMES, Action
from models.events import MediaEvent
from models.examples.from_pages import (
    LabelledPage,
    page_examples,
    parse_labelled_page,
)
from models.examples.page_join import ExampleJoin, JoinConfig, _Held
from models.explore.grid import GridItem, ItemStages, Probabilities
from models.explore.impressions import Impression, ServedFeaturesError, pack_features
from models.feature_schema import DENSE_NAMES, FEATURE_VERSION, SPARSE_NAMES, FeatureMatrix

T0 = 1_700_000_040_000
CONFIG = JoinConfig(window_ms=10_000, late_ms=1_000)
OVER = T0 + 12_000
STAGES = ItemStages(0, 0, 0.0, 0, 0.0, 0, 0.0)


def page(request: str = "r", viewer: str = "v", served: int = T0, media: int = 4) -> Impression:
    rng = np.random.default_rng(5)
    features = FeatureMatrix(
        rng.normal(size=(media, len(DENSE_NAMES))).astype(np.float32),
        rng.integers(0, 100, (media, len(SPARSE_NAMES))).astype(np.int32),
    )
    items = [
        GridItem(n, f"m{n}", "a", 0.0, Probabilities(0.1, 0.1, 0.1), "popular", None, STAGES)
        for n in range(media)
    ]
    return Impression(
        viewer_id=viewer,
        items=items,
        generated_at_ms=served,
        reflects_ts=0,
        candidates=media,
        dropped={},
        versions={"features": FEATURE_VERSION},
        features=pack_features(features),
        request_id=request,
        page=0,
        served_ms=served,
    )


def act(
    action: Action,
    media: int,
    after: int = 1_000,
    request: str | None = "r",
    viewer: str = "v",
    undo: bool = False,
) -> tuple[Action, MediaEvent]:
    name = f"{action}{media}{after}{undo}"
    return action, MediaEvent(name, viewer, f"m{media}", T0 + after, "a", request, undo=undo)


def joined(
    events: Sequence[tuple[Action, MediaEvent]], pages: Sequence[Impression] = (page(),)
) -> dict[str, LabelledPage]:
    join = ExampleJoin(CONFIG)
    for of in pages:
        join.add_page(of)
    for action, event in events:
        join.add_event(action, event)
    return {of.request_id: of for of in join.due(OVER + 60_000)}


def test_labels_within_the_window() -> None:
    events = [
        act(Action.LIKE, 0),
        act(Action.SAVE, 1, after=10_000),
        act(Action.SAVE, 2, after=10_001),
        act(Action.LONG_VIEW, 3),
        act(Action.LIKE, 3),
        act(Action.LIKE, 3, after=2_000, undo=True),
        act(Action.LIKE, 99),
    ]
    found = joined(events)["r"]
    assert found.labels == {"like": [0], "save": [1], "long_view": [3]}
    # It tells of views, so what was neither viewed nor acted on was not seen.
    assert found.seen == [0, 1, 3]
    assert found.first_position == 1
    assert found.propensities == [1.0] * 4


def test_without_any_view_the_whole_page_was_seen() -> None:
    assert joined([act(Action.LIKE, 2)])["r"].seen == [0, 1, 2, 3]


def test_a_page_waits_for_its_window_and_for_late_events() -> None:
    join = ExampleJoin(CONFIG)
    join.add_page(page())
    assert list(join.due(T0 + 11_000)) == []
    join.add_event(*act(Action.LIKE, 1, after=9_999))
    [found] = join.due(T0 + 11_001)
    assert found.labels == {"like": [1]}
    join.add_event(*act(Action.LIKE, 2, after=9_999))
    assert list(join.due(T0 + 11_002)) == []
    assert join.late == 1


def test_an_event_may_be_read_before_its_page() -> None:
    join = ExampleJoin(CONFIG)
    join.add_event(*act(Action.LIKE, 1))
    assert list(join.due(T0 + 1_500)) == []
    join.add_page(page())
    [found] = join.due(OVER)
    assert found.labels == {"like": [1]}


def test_an_event_without_a_request_belongs_to_the_newest_page_with_the_media() -> None:
    pages = [page("old"), page("new", served=T0 + 500), page("of another", viewer="w")]
    found = joined([act(Action.LIKE, 1, request=None)], pages)
    assert {name: of.labels for name, of in found.items()} == {
        "old": {},
        "new": {"like": [1]},
        "of another": {},
    }


@pytest.mark.parametrize(
    "event", [act(Action.LIKE, 1, request="x"), act(Action.LIKE, 1, viewer="w")]
)
def test_events_of_other_pages_and_viewers_do_not_count(event) -> None:
    assert joined([event])["r"].labels == {}


def test_a_page_is_labelled_once() -> None:
    join = ExampleJoin(CONFIG)
    join.add_page(page())
    join.add_page(page(served=T0 + 5_000))
    assert len(list(join.due(OVER + 60_000))) == 1
    join.add_page(page())
    assert list(join.due(OVER + 120_000)) == []


def test_a_restart_labels_what_waited_and_nothing_again() -> None:
    first = ExampleJoin(CONFIG)
    first.add_page(page("done"), ("impressions", 0, 5))
    assert [of.request_id for of in first.due(OVER)] == ["done"]
    assert first.held() == {}
    first.add_page(page("waits", served=OVER), ("impressions", 0, 6))
    first.add_event(*act(Action.LIKE, 1, after=13_000, request="waits"), ("likes", 2, 40))
    assert list(first.due(OVER + 2_000)) == []
    # Both have to be read again.
    assert first.held() == {("impressions", 0): 6, ("likes", 2): 40}

    again = ExampleJoin(CONFIG)
    again.remember(["done"])
    again.add_page(page("done"), ("impressions", 0, 5))
    again.add_page(page("waits", served=OVER), ("impressions", 0, 6))
    again.add_event(*act(Action.LIKE, 1, after=13_000, request="waits"), ("likes", 2, 40))
    [found] = again.due(OVER + 60_000)
    assert (found.request_id, found.labels) == ("waits", {"like": [1]})


def test_memory_is_bounded() -> None:
    join = ExampleJoin(JoinConfig(window_ms=10_000, late_ms=1_000, max_pages=3, max_remembered=4))
    for number in range(10):
        join.add_page(page(f"r{number}"))
    assert len(list(join.due(T0))) == 7
    for number in range(1000):
        join.add_event(*act(Action.VIEW, 1, request=f"x{number}"))
    assert len(list(join.due(OVER + 60_000))) == 3
    assert join.held() == {}


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=4))
def test_the_order_and_copies_of_events_change_nothing(order, copies) -> None:
    events = [
        act(Action.LIKE, 0),
        act(Action.LIKE, 1),
        act(Action.LIKE, 1, after=2_000, undo=True),
        act(Action.VIEW, 2),
        act(Action.SAVE, 3, after=3_000),
        act(Action.SEE_FEWER, 3, after=20_000),
    ]
    assert joined([events[n] for n in [*order, *copies]]) == joined(events)


def test_examples_of_a_page_have_the_served_features_and_positions() -> None:
    source = page(media=4)
    labelled = joined([act(Action.LIKE, 2)], [source])["r"]
    examples = page_examples(labelled, 1.0)
    assert examples.positions_n.tolist() == [1, 2, 3, 4]
    assert examples.label("like").tolist() == [0, 0, 1, 0]
    assert examples.weights_n.tolist() == [1.0] * 4
    assert len(set(examples.groups_n.tolist())) == 1
    assert pack_features(examples.features) == source.features


def test_positions_go_on_from_page_to_page_also_on_a_last_one_that_is_short() -> None:
    last = msgspec.structs.replace(page(media=4), page=2)
    examples = page_examples(joined([], [last])["r"], 1.0)
    assert examples.positions_n.tolist() == [51, 52, 53, 54]


def test_negatives_are_sampled_the_same_way_every_time() -> None:
    pages = [page(f"r{n}", media=20) for n in range(100)]
    labelled = list(joined([], pages).values())
    kept = [page_examples(of, 0.25) for of in labelled]
    assert 350 < sum(map(len, kept)) < 650
    assert {4.0} == set(np.concatenate([of.weights_n for of in kept]).tolist())
    again = [page_examples(of, 0.25).positions_n.tolist() for of in labelled]
    assert [of.positions_n.tolist() for of in kept] == again


def test_features_of_another_build_are_refused() -> None:
    labelled = msgspec.structs.replace(joined([])["r"], feature_version="older")
    with pytest.raises(ServedFeaturesError, match="older"):
        page_examples(labelled, 1.0)


def test_a_page_is_read_as_it_was_written() -> None:
    labelled = joined([act(Action.LIKE, 1)])["r"]
    assert parse_labelled_page(msgspec.json.encode(labelled), OVER) == labelled
    assert set(labelled.labels) <= set(HEAD_NAMES)


def ahead(number: int, hours: int = 24) -> tuple[Action, MediaEvent]:
    return act(Action.LIKE, 1, after=hours * 3_600_000, request=f"ahead-{number}")


def test_events_ahead_of_the_clock_wait_no_longer_than_others() -> None:
    join = ExampleJoin(CONFIG)
    join.add_event(*ahead(1), ("likes", 0, 7), read_ms=T0)
    assert list(join.due(T0 + 1_000)) == []
    assert (join.waiting()["events"], join.held()) == (1, {("likes", 0): 7})
    # Its page comes in time.
    join.add_page(page("ahead-1", served=T0), read_ms=T0)
    assert list(join.due(T0 + 1_001)) == []
    assert join.waiting() == {"pages": 1, "events": 0}
    join.add_event(*ahead(2), ("likes", 0, 8), read_ms=T0)
    list(join.due(T0 + 1_001))
    assert join.waiting()["events"] == 0
    # Of the one that belongs to a page, only.
    assert join.held()["likes", 0] == 7


def test_a_page_from_the_future_is_due_when_one_of_now_is() -> None:
    join = ExampleJoin(CONFIG)
    join.add_page(page("future", served=T0 + 24 * 3_600_000), read_ms=T0)
    assert [of.request_id for of in join.due(OVER)] == ["future"]


def test_those_that_wait_are_not_looked_at_again_and_again(monkeypatch) -> None:
    join, looked = ExampleJoin(CONFIG), []
    page_of = join._page_of

    def looking(event):
        looked.append(event)
        return page_of(event)

    monkeypatch.setattr(join, "_page_of", looking)
    for number in range(500):
        join.add_event(*ahead(number), ("likes", 0, number), read_ms=T0)
    list(join.due(T0))
    assert len(looked) == 500
    for _ in range(10):
        list(join.due(T0 + 500))
    assert len(looked) == 500
    join.add_page(page("ahead-3"), ("pages", 0, 1), read_ms=T0)
    list(join.due(T0 + 500))
    assert [event.request_id for event in looked[500:]] == ["ahead-3"]
    list(join.due(T0 + 1_001))
    assert join.waiting() == {"pages": 1, "events": 0}
    # The one that belongs to the page is still needed.
    assert join.held() == {("likes", 0): 3, ("pages", 0): 1}


def test_the_room_for_events_is_bounded_and_those_that_end_first_go_first() -> None:
    join = ExampleJoin(msgspec.structs.replace(CONFIG, max_events=3))
    for number in range(10):
        event = act(Action.LIKE, 1, after=number, request=f"r{number}")
        join.add_event(*event, ("likes", 0, number))
    list(join.due(T0))
    assert (join.waiting()["events"], join.dropped) == (3, 7)
    assert join.held() == {("likes", 0): 7}
    for number in range(10):
        join.add_page(page(f"r{number}"))
    labelled = {of.request_id for of in join.due(OVER) if of.labels}
    assert labelled == {"r7", "r8", "r9"}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=40))
def test_the_lowest_offset_held_is_known(steps) -> None:
    held, holders = _Held(), []
    for hold, offset in steps:
        place = ("t", 0, offset)
        if hold:
            held.hold(place)
            holders.append(offset)
        elif offset in holders:
            held.release(place)
            holders.remove(offset)
        assert held.lowest() == ({("t", 0): min(holders)} if holders else {})


def test_pages_of_the_forgotten_are_not_labelled_and_hold_nothing_back() -> None:
    join = ExampleJoin(CONFIG)
    for number, viewer in enumerate(("ann", "bob")):
        join.add_page(page(f"of {viewer}", viewer), ("explore.impressions", 0, number))
        action, event = act(Action.LIKE, 1, request=f"of {viewer}", viewer=viewer)
        join.add_event(action, event, ("events.like", 0, number))
    join.forget(lambda viewer: viewer == "ann")
    assert join.held() == {("explore.impressions", 0): 1, ("events.like", 0): 1}
    assert [one.viewer_id for one in join.due(OVER)] == ["bob"]
    assert join.held() == {}
