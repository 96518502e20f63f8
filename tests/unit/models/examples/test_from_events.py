"""Examples from the stream: joined once, sampled by hash, with features of before the exposure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.actions import EVENT_TOPICS, HEAD_NAMES, Action, action_in
from models.events import FollowEvent, Media, MediaEvent, Relation, parse_event, parse_media
from models.examples.candidate_sets import candidate_sets
from models.examples.examples import Examples
from models.examples.from_events import ExampleBuilder, ExampleConfig
from models.examples.waiting_events import Observed
from models.explore.treatment import Treatment
from models.feature_schema import DENSE_INDEX, FeatureMatrix
from models.features.assembly import assemble
from models.features.candidates import Candidates
from models.queries import CandidateQuery, explore_text, planned
from models.viewers.context import ViewerContext
from models.viewers.state import ViewerState
from models.world import World
from tests.paths import FIXTURES

T0 = 1_700_000_040_000 - 1_700_000_040_000 % 60_000
MINUTE = 60_000
NOW = T0 + 10**9
ALL = ExampleConfig(negative_rate=1.0)


def world() -> World:
    made = World()
    made.apply_media(
        [Media(f"m{n}", f"a{n % 7}", T0 - n * MINUTE, topics=(str(n % 3),)) for n in range(40)]
    )
    return made


def event(
    action: Action, viewer: str, media: int, ts: int, event_id: str = "", undo: bool = False
) -> Observed:
    name = event_id or f"{action.name}-{viewer}-{media}-{ts}"
    return action, MediaEvent(name, viewer, f"m{media}", ts, f"a{media % 7}", undo=undo)


def build(events: Sequence[Observed], config: ExampleConfig = ALL, batch: int = 1000) -> Examples:
    builder = ExampleBuilder(world(), config)
    for start in range(0, len(events), batch):
        builder.observe(events[start : start + batch], NOW)
    builder.flush()
    return builder.take()


def labels(*names: str) -> list[bool]:
    return [name in names for name in HEAD_NAMES]


def test_labels_join_within_the_window() -> None:
    window = ALL.window_ms
    examples = build(
        [
            event(Action.VIEW, "v", 1, T0),
            event(Action.LIKE, "v", 1, T0),
            event(Action.LONG_VIEW, "v", 2, T0 + 1),
            event(Action.VIEW, "w", 1, T0 + 2),
            event(Action.SAVE, "v", 2, T0 + 1 + window),
            event(Action.SEE_FEWER, "w", 1, T0 + 3 + window),
        ]
    )
    order = np.argsort(examples.ts_n)
    np.testing.assert_array_equal(
        examples.labels_nh[order],
        [labels("like"), labels("save", "long_view"), labels()],
    )
    assert examples.groups_n[order][0] == examples.groups_n[order][1]
    assert examples.groups_n[order][0] != examples.groups_n[order][2]


def test_a_label_before_its_exposure_or_taken_back_does_not_count() -> None:
    examples = build(
        [
            event(Action.LIKE, "v", 1, T0),
            event(Action.VIEW, "v", 1, T0 + 1),
            event(Action.VIEW, "v", 2, T0 + 2),
            event(Action.LIKE, "v", 2, T0 + 3, "x"),
            event(Action.LIKE, "v", 2, T0 + 4, "x", undo=True),
        ]
    )
    assert len(examples) == 2
    assert not examples.labels_nh.any()


def test_features_are_those_of_serving_before_the_exposure() -> None:
    history = [event(Action.VIEW, "v", n, T0 + n * 1000) for n in range(5)]
    history += [event(Action.LIKE, "v", 8, T0 + 20_000)]
    at = T0 + 10 * MINUTE
    shown = [event(Action.VIEW, "v", 15, at), event(Action.LIKE, "v", 15, at)]
    examples = build(history + shown)
    row = int(examples.ts_n.argmax())

    served, state = world(), ViewerState()
    builder = ExampleBuilder(served, ALL)
    builder.observe(history, NOW)
    builder.flush()
    ((_, state),) = builder.viewers()
    viewer = ViewerContext.from_state("v", state, served, at)
    media_rows = served.catalog.media_rows(["m15"])
    expected = assemble(viewer, Candidates.of(media_rows), served, at)
    np.testing.assert_array_equal(examples.features.dense_nf[row], expected.dense_nf[0])
    np.testing.assert_array_equal(examples.features.sparse_ns[row], expected.sparse_ns[0])
    # m15 and the liked m8 share their author, and the like of m15 itself is not known yet.
    assert expected.column("viewer_author_like")[0] > 0
    assert examples.features.dense_nf[row, DENSE_INDEX["media_likes"]] == 0


def test_duplicates_give_one_example() -> None:
    view, like = event(Action.VIEW, "v", 1, T0), event(Action.LIKE, "v", 1, T0 + 5)
    later = event(Action.VIEW, "v", 2, T0 + 30 * MINUTE)
    assert len(build([view, view, like, like, view, later])) == 2
    builder = ExampleBuilder(world(), ALL)
    builder.observe([view, like, later], NOW)
    assert len(builder.take()) == 1
    builder.observe([view, like], NOW)
    builder.flush()
    assert builder.take().ts_n.tolist() == [T0 + 30 * MINUTE]


def test_an_exposure_waits_for_its_labels() -> None:
    builder = ExampleBuilder(world(), ALL)
    builder.observe([event(Action.VIEW, "v", 1, T0)], NOW)
    assert len(builder.take()) == 0
    builder.observe([event(Action.VIEW, "w", 2, T0 + ALL.window_ms + 2 * MINUTE)], NOW)
    assert builder.take().ts_n.tolist() == [T0]
    assert len(builder.take()) == 0


def test_a_clock_that_runs_ahead_does_not_cut_the_window_of_others() -> None:
    builder = ExampleBuilder(world(), ALL)
    ahead = event(Action.VIEW, "w", 2, T0 + 20 * 60 * MINUTE)
    builder.observe([event(Action.VIEW, "v", 1, T0), ahead], now_ms=T0 + 1000)
    assert len(builder.take()) == 0


def test_negatives_are_sampled_and_positives_kept() -> None:
    events = [event(Action.VIEW, f"v{n}", n % 40, T0 + n) for n in range(2000)]
    events += [event(Action.LIKE, f"v{n}", n % 40, T0 + n + 5) for n in range(0, 2000, 20)]
    examples = build(events, ExampleConfig(negative_rate=0.25))
    positive_n = examples.label("like") > 0
    assert positive_n.sum() == 100
    np.testing.assert_array_equal(examples.weights_n, np.where(positive_n, 1.0, 4.0))
    # 1900 negatives at 1/4: four standard deviations are 75.
    assert abs((~positive_n).sum() - 475) < 75
    assert examples.weights_n.sum() == pytest.approx(2000, rel=0.16)
    again = build(events, ExampleConfig(negative_rate=0.25))
    np.testing.assert_array_equal(examples.ts_n, again.ts_n)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_batches_change_nothing(seed: int, batch: int) -> None:
    rng = np.random.default_rng(seed)
    events: list[Observed] = [
        event(Action(int(rng.integers(5))), f"v{rng.integers(3)}", int(rng.integers(9)), int(ts))
        for ts in np.sort(T0 + rng.integers(0, 40 * MINUTE, 60))
    ]
    whole, parts = build(events), build(events, batch=batch)
    np.testing.assert_array_equal(whole.ts_n, parts.ts_n)
    np.testing.assert_array_equal(whole.labels_nh, parts.labels_nh)
    np.testing.assert_array_equal(whole.features.dense_nf, parts.features.dense_nf)
    np.testing.assert_array_equal(whole.features.sparse_ns, parts.features.sparse_ns)


def test_unknown_media_follows_and_undone_views() -> None:
    follow = FollowEvent("f", "v", "a1", Relation.FOLLOW, T0)
    builder = ExampleBuilder(world(), ALL)
    builder.observe(
        [
            (None, follow),
            event(Action.VIEW, "v", 999, T0 + 1),
            event(Action.VIEW, "v", 3, T0 + 2, undo=True),
            event(Action.VIEW, "v", 1, T0 + 2 * MINUTE),
        ],
        NOW,
    )
    builder.flush()
    examples = builder.take()
    assert builder.skipped == 1
    assert len(examples) == 1
    assert examples.features.column("follows_author")[0] == 1.0


def test_memory_is_bounded() -> None:
    builder = ExampleBuilder(world(), ExampleConfig(max_viewers=10, max_pending=50))
    builder.observe([event(Action.VIEW, f"v{n}", n % 40, T0 + n * 1000) for n in range(500)], NOW)
    builder.flush()
    assert len(list(builder.viewers())) == 10


@pytest.mark.parametrize("rate", [0.0, -1.0, 1.5, float("nan")])
def test_a_rate_that_cannot_be_corrected_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="negative_rate"):
        ExampleConfig(negative_rate=rate)


def test_no_events_no_examples() -> None:
    examples = build([])
    assert len(examples) == 0
    assert examples.labels_nh.shape == (0, len(HEAD_NAMES))
    assert len(Examples.concatenate([examples, examples])) == 0


def test_real_events_give_one_example_per_exposure() -> None:
    fixture = FIXTURES / "tiny.jsonl"
    media: list[Media] = []
    events: list[Observed] = []
    for line in fixture.read_bytes().splitlines():
        topic = msgspec.json.decode(line)["topic"]
        if topic == "catalog.media":
            media.append(parse_media(line, NOW))
        elif topic in EVENT_TOPICS:
            parsed = parse_event(topic, line, NOW)
            follow = isinstance(parsed, FollowEvent)
            events.append((None if follow else action_in(topic, parsed.long), parsed))
    made = World()
    made.apply_media(media)
    builder = ExampleBuilder(made, ALL)
    builder.observe(events, NOW)
    builder.flush()
    examples = builder.take()
    count = Counter(action for action, _ in events)
    assert len(examples) == count[Action.VIEW] + count[Action.LONG_VIEW] > 100
    assert examples.label("like").sum() == count[Action.LIKE] > 0
    assert examples.label("long_view").sum() == count[Action.LONG_VIEW] > 0
    assert np.isfinite(examples.features.dense_nf).all()


def test_candidate_sets_hold_what_the_query_finds() -> None:
    made = world()
    builder = ExampleBuilder(made, ALL)
    builder.observe([event(Action.LIKE, "v", n, T0 + n) for n in range(5)], NOW)
    builder.flush()
    viewers = [*builder.viewers(), ("nobody", ViewerState())]
    query = CandidateQuery(planned(explore_text().replace("take(500)", "take(20)")))
    sets = candidate_sets(viewers, made, Treatment(query=query), T0 + MINUTE)
    assert np.bincount(sets.groups_n).max() <= 20
    assert set(sets.groups_n.tolist()) == {0, 1}
    assert len(sets.features) == len(sets)
    assert len(candidate_sets([], made, Treatment(), T0)) == 0
    assert isinstance(sets.features, FeatureMatrix)
