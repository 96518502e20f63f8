"""Grids of random worlds: what no grid may ever do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.actions import HEAD_NAMES, Action
from models.events import Account, FollowEvent, Integrity, Media, MediaEvent, Relation
from models.explore.explanation import explain, explain_grid
from models.explore.exploration import ExplorationConfig
from models.explore.grid import from_json, to_json
from models.explore.pipeline import ExploreConfig, explore, find, funnel
from models.explore.stage import cut, finite, top
from models.explore.treatment import Treatment
from models.feature_schema import (
    DENSE_NAMES,
    ID_NAMES,
    LONG_TERM,
    SPARSE_BUCKETS,
    SPARSE_NAMES,
    FeatureMatrix,
)
from models.features.assembly import Assembly, assemble
from models.features.candidates import Candidates
from models.features.viewers import SEE_FEWERS
from models.queries import CandidateQuery, explore_text, planned
from models.viewers.context import ViewerContext
from models.viewers.state import (
    FoldConfig,
    ViewerState,
    fold_follow_event,
    fold_media_event,
    related_authors,
    suppressed_media,
)
from models.world import World
from tests.igql_worlds import random_weights
from tests.viewers import seen_media

NOW = 1_700_000_000_000
DAY = 86_400_000
DIMENSION = 4
NAN, INF = float("nan"), float("inf")


@dataclass
class Case:
    world: World
    state: ViewerState
    media: dict[str, Media]
    accounts: dict[str, Account]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A world and a viewer from a few drawn sizes and one seed: cheap to draw, still varied."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    media_count = draw(st.sampled_from([0, 1, 5, 40, 150]))
    account_count = draw(st.sampled_from([1, 4, 30]))
    world = World()
    accounts = [
        Account(f"a{i}", private=rng.random() < 0.1, disabled=rng.random() < 0.1)
        for i in range(account_count)
    ]
    media = [
        Media(
            f"m{i}",
            f"a{rng.integers(account_count)}",
            NOW - int(rng.integers(0, 90 * DAY)),
            Integrity(*(rng.random(3) * 0.3).tolist()),
            topics=(f"t{rng.integers(3)}",) if rng.random() < 0.7 else (),
            deleted=rng.random() < 0.1,
        )
        for i in range(media_count)
    ]
    world.apply_accounts(accounts)
    world.apply_media(media)
    with_vector = [a.account_id for a in accounts if rng.random() < 0.8]
    vectors = rng.normal(size=(len(with_vector), DIMENSION)).astype(np.float32)
    world.apply_embeddings("space", with_vector, vectors)

    state, fold = ViewerState(), FoldConfig(max_strong=20, max_views=20)
    events: list[tuple[Action, MediaEvent]] = []
    for i in range(draw(st.sampled_from([0, 1, 10, 80]))):
        # Some on media and authors that the catalogue never heard of.
        row = int(rng.integers(media_count + 2))
        author = media[row].author_id if row < media_count else f"a{rng.integers(99)}"
        event = MediaEvent(
            f"e{i}",
            "viewer",
            f"m{row}",
            NOW - int(rng.integers(0, 400 * DAY)),
            author,
            undo=rng.random() < 0.15,
        )
        action = Action(int(rng.integers(len(Action))))
        fold_media_event(state, action, event, author, fold)
        events.append((action, event))
    for i in range(draw(st.sampled_from([0, 0, 3]))):
        kind = list(Relation)[int(rng.integers(3))]
        fold_follow_event(state, FollowEvent(f"f{i}", "viewer", f"a{i}", kind, NOW - i), fold)
    world.apply_events(events)
    if media and draw(st.booleans()):
        world.item_weights = random_weights(rng, len(media))
    return Case(
        world,
        state,
        {one.media_id: one for one in media},
        {one.account_id: one for one in accounts},
    )


def context(case: Case) -> ViewerContext:
    return ViewerContext.from_state("viewer", case.state, case.world, NOW)


SMALL = ExploreConfig(first=20, second=12, size=8)
SMALL_ARM = Treatment(
    query=CandidateQuery(planned(explore_text().replace("take(500)", "take(30)")))
)
EXPLORING = ExploreConfig(
    first=20, second=12, size=8, exploration=ExplorationConfig(share=0.25, max_age_ms=30 * DAY)
)
EVERYTHING = Treatment(query=CandidateQuery(planned(explore_text().replace("500", "10000"))))


@settings(max_examples=150)
@given(case=cases())
def test_a_grid_holds_only_what_may_be_shown_and_nothing_twice(case: Case) -> None:
    viewer = context(case)
    grid = explore(viewer, case.world, SMALL_ARM, SMALL, NOW)
    document = grid.document(case.world)
    shown = [item.media_id for item in document.items]
    assert len(shown) == len(set(shown)) <= SMALL.size
    assert [item.position for item in document.items] == list(range(len(shown)))
    assert from_json(to_json(document)) == document
    gave_way = set(document.relaxed)
    assert not set(shown) & suppressed_media(case.state)
    assert "exclude_seen" in gave_way or not set(shown) & seen_media(case.state)
    unwanted = related_authors(case.state, Relation.BLOCK, Relation.MUTE)
    if "exclude_followed" not in gave_way:
        unwanted |= related_authors(case.state, Relation.FOLLOW)
    own = (
        []
        if "exclude_own_accounts" in gave_way
        else case.world.catalog.author_ids(viewer.author_e[viewer.positives(40)])
    )
    # Likes and saves lead to others before long views do, so an old like may be a seed, too.
    positives = viewer.author_e[viewer.positives(len(viewer.ts_e))]
    seeds = case.world.catalog.author_ids(positives)
    for item in document.items:
        media, author = case.media[item.media_id], case.accounts[item.author_id]
        assert not media.deleted
        assert (
            max(media.integrity.nsfw, media.integrity.spam, media.integrity.misinformation) < 0.21
        )
        assert media.author_id == item.author_id
        assert not (author.private or author.disabled)
        assert item.author_id not in unwanted
        assert item.author_id not in own
        assert np.isfinite(item.value)
        followed = related_authors(case.state, Relation.FOLLOW)
        assert item.seed is None or item.seed in seeds or item.seed in followed


@settings(max_examples=100)
@given(case=cases())
def test_a_grid_is_full_when_enough_may_be_shown(case: Case) -> None:
    # What the query finds when it asks for everything, against what it finds for one grid.
    viewer = context(case)
    size = SMALL.size
    everything = find([viewer], case.world, EVERYTHING, NOW, enough=size).executed.candidates()
    found = find([viewer], case.world, SMALL_ARM, NOW, enough=size).executed
    assert len(found.candidates()) == min(len(everything), 30)
    assert all(count > 0 for count in found.report.dropped().values())
    grid = explore(viewer, case.world, SMALL_ARM, SMALL, NOW)
    assert len(grid) == min(len(everything), SMALL.size)


@settings(max_examples=100)
@given(case=cases(), pick=st.integers(0, 7), late=st.booleans())
def test_a_see_fewer_taken_back_leaves_the_grid_as_it_was(
    case: Case, pick: int, late: bool
) -> None:
    # Large action logs: what falls out of small ones is another matter.
    fold = FoldConfig()

    def shown() -> list[tuple[str, float]]:
        document = explore(context(case), case.world, SMALL_ARM, EXPLORING, NOW).document(
            case.world
        )
        return [(item.media_id, item.value) for item in document.items]

    before = shown()
    if not before:
        return
    media_id = before[pick % len(before)][0]
    author_id = case.media[media_id].author_id
    see_fewer = MediaEvent("unwanted", "viewer", media_id, NOW - 2000)
    undo = MediaEvent("unwanted", "viewer", media_id, NOW - 1000, undo=True)
    first, second = (undo, see_fewer) if late else (see_fewer, undo)
    fold_media_event(case.state, Action.SEE_FEWER, first, author_id, fold)
    if not late:
        between = shown()
        assert media_id not in {name for name, _ in between}
    fold_media_event(case.state, Action.SEE_FEWER, second, author_id, fold)
    assert shown() == before


@settings(max_examples=60)
@given(case=cases())
def test_in_feed_mode_items_stand_in_order_of_value_alone(case: Case) -> None:
    feed = replace(SMALL_ARM, feed=True)
    grid = explore(context(case), case.world, feed, EXPLORING, NOW)
    assert (np.diff(grid.value_n) <= 0).all()
    assert (grid.propensity_n == 1.0).all()
    assert grid.versions["mode"] == "feed"


@settings(max_examples=60)
@given(case=cases())
def test_pages_never_repeat_until_nothing_is_left(case: Case) -> None:
    viewer, served = context(case), np.empty(0, np.int32)
    everything = find([viewer], case.world, EVERYTHING, NOW).executed.candidates()
    while len(page := explore(viewer, case.world, SMALL_ARM, SMALL, NOW, served).media_n):
        assert not set(page.tolist()) & set(served.tolist())
        served = np.append(served, page)
    # More where exclusions gave way before a short page.
    assert set(everything.media_n.tolist()) <= set(served.tolist())


@settings(max_examples=100)
@given(case=cases(), seed=st.integers(0, 99))
def test_features_are_finite_scaled_and_do_not_depend_on_their_neighbours(
    case: Case, seed: int
) -> None:
    viewer = context(case)
    rows = np.arange(len(case.media), dtype=np.int32)
    features = assemble(viewer, Candidates.of(rows), case.world, NOW)
    assert features.dense_nf.shape == (len(rows), len(DENSE_NAMES))
    assert features.dense_nf.dtype == np.float32
    assert np.isfinite(features.dense_nf).all()
    assert ((features.dense_nf >= -1.0) & (features.dense_nf <= 5.0)).all()
    assert features.sparse_ns.shape == (len(rows), len(SPARSE_NAMES))
    assert ((features.sparse_ns >= 0) & (features.sparse_ns < np.array(SPARSE_BUCKETS))).all()
    order = np.random.default_rng(seed).permutation(len(rows))
    shuffled = assemble(viewer, Candidates.of(rows[order]), case.world, NOW)
    np.testing.assert_array_equal(shuffled.dense_nf, features.dense_nf[order])
    np.testing.assert_array_equal(shuffled.sparse_ns, features.sparse_ns[order])


@settings(max_examples=60)
@given(case=cases(), seed=st.integers(0, 2**32), share=st.floats(0.0, 1.0))
def test_features_are_the_same_bits_whatever_is_asked_with_them(
    case: Case, seed: int, share: float
) -> None:
    """Serving fills columns pass by pass for a batch; training asks for one page at once."""
    rng = np.random.default_rng(seed)
    viewers = [context(case), ViewerContext.from_state("new", ViewerState(), case.world, NOW)] * 2
    rows_v = [np.flatnonzero(rng.random(len(case.media)) < share).astype(np.int32) for _ in viewers]
    whole = [
        assemble(viewer, Candidates.of(rows), case.world, NOW)
        for viewer, rows in zip(viewers, rows_v, strict=True)
    ]
    expected = FeatureMatrix.concatenate(whole)
    together = Candidates.of(np.concatenate(rows_v))
    batch = Assembly.of(viewers, together, [len(rows) for rows in rows_v], case.world, NOW)
    some = tuple(rng.permutation(len(DENSE_NAMES))[:9].tolist())
    first = batch.matrix(some, sparse=False)
    np.testing.assert_array_equal(first.dense_nf, expected.dense_nf[:, some])
    kept = np.flatnonzero(rng.random(len(expected)) < 0.5)
    later = batch.take(kept)
    np.testing.assert_array_equal(later.matrix().dense_nf, expected.dense_nf[kept])
    np.testing.assert_array_equal(later.matrix().sparse_ns, expected.sparse_ns[kept])
    fewer = np.flatnonzero(rng.random(len(kept)) < 0.5)
    np.testing.assert_array_equal(
        batch.take(kept).take(fewer).matrix().sparse_ns, expected.sparse_ns[kept[fewer]]
    )


@settings(max_examples=60)
@given(case=cases())
def test_an_account_is_like_itself_with_or_without_a_vector(case: Case) -> None:
    viewer, rows = context(case), np.arange(len(case.media), dtype=np.int32)
    author_n = case.world.catalog.author_n[rows]
    features = assemble(viewer, Candidates.of(rows), case.world, NOW)
    liked_n = np.isin(author_n, viewer.author_e[viewer.positives(LONG_TERM)])
    hated_n = np.isin(author_n, viewer.author_e[viewer.see_fewers(SEE_FEWERS)])
    assert (features.column("seed_similarity")[liked_n] >= 1.0).all()
    assert (features.sparse_ns[liked_n, ID_NAMES.index("seed_id")] > 0).all()
    assert (features.column("see_fewer_similarity")[hated_n] > 0.0).all()


@settings(max_examples=40)
@given(case=cases())
def test_a_batch_gives_what_its_viewers_would_get_alone(case: Case) -> None:
    viewers = [context(case), ViewerContext.from_state("new", ViewerState(), case.world, NOW)] * 2
    found = find(viewers, case.world, SMALL_ARM, NOW, enough=SMALL.size)
    together = funnel(found, case.world, SMALL)
    for viewer, trace in zip(viewers, together, strict=True):
        alone = explore(viewer, case.world, SMALL_ARM, SMALL, NOW).document(case.world)
        document = trace.grid.document(case.world)
        # What filters dropped is counted over the batch.
        assert document.items == alone.items


@settings(max_examples=60)
@given(case=cases())
def test_every_media_is_shown_or_was_dropped_at_one_stage(case: Case) -> None:
    found = find([context(case)], case.world, SMALL_ARM, NOW)
    [trace] = funnel(found, case.world, SMALL)
    document = trace.grid.document(case.world)
    positions = {item.media_id: item.position for item in document.items}
    retrieved = set(case.world.catalog.media_ids(trace.candidates.media_n))
    passed = {"first_pass", "second_pass", "value", "diversity"}
    for media_id in [*case.media, "nobody knows it"]:
        told = explain(media_id, trace, found, case.world)
        assert told.position == positions.get(media_id)
        assert (told.drop is None) == (media_id in positions)
        if told.drop is not None:
            assert (told.drop.stage in passed) == (media_id in retrieved)
    for told, item in zip(explain_grid(trace, found, case.world), document.items, strict=True):
        assert (told.media_id, told.position) == (item.media_id, item.position)
        terms = told.value
        assert terms is not None
        total = sum(getattr(terms, name) for name in HEAD_NAMES) - terms.penalty
        assert total == pytest.approx(item.value, abs=1e-9)
        assert terms.value == item.value


@given(
    rows=st.lists(
        st.tuples(st.one_of(st.integers(-3, 3), st.sampled_from([NAN, INF, -INF])), st.booleans()),
        max_size=20,
    ),
    seed=st.integers(0, 99),
)
def test_top_is_a_full_sort_whatever_the_order(rows: list[tuple[float, bool]], seed: int) -> None:
    media_n = np.random.default_rng(seed).permutation(len(rows)).astype(np.int32)
    score_n = finite(np.array([score for score, _ in rows], np.float32))
    behind_n = np.array([behind for _, behind in rows], np.bool_)
    # NaN counts as −∞.
    expected = sorted(
        (behind, INF if score != score else -score, media)
        for (score, behind), media in zip(rows, media_n.tolist(), strict=True)
    )
    assert [media for *_, media in expected] == media_n[top(score_n, media_n, behind_n)].tolist()


@given(
    personal=st.lists(st.booleans(), max_size=15),
    k=st.integers(0, 16),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_a_cut_keeps_the_order_and_the_personal_share(
    personal: list[bool], k: int, share: float, seed: int
) -> None:
    personal_n = np.array(personal, np.bool_)
    ranked = np.random.default_rng(seed).permutation(len(personal))
    kept = cut(ranked, k, personal_n, share)
    assert len(kept) == min(k, len(ranked))
    places = [ranked.tolist().index(row) for row in kept]
    assert places == sorted(places)
    assert personal_n[kept].sum() >= min(int(share * k), personal_n.sum())
    # What was left out was worse than everything of its kind that was kept.
    for kind in (False, True):
        inside = [place for place, row in zip(places, kept, strict=True) if personal_n[row] == kind]
        outside = [
            place
            for place, row in enumerate(ranked)
            if personal_n[row] == kind and place not in places
        ]
        assert not inside or not outside or max(inside) < min(outside)


@pytest.mark.parametrize("events", [1, 100_000])
def test_viewers_of_any_length_get_a_full_grid(events: int) -> None:
    world, state, fold = World(), ViewerState(), FoldConfig()
    world.apply_media([Media(f"m{i}", f"a{i % 700}", NOW - i * 60_000) for i in range(3000)])
    rng = np.random.default_rng(1)
    ids = [f"a{i}" for i in range(700)]
    world.apply_embeddings("s", ids, rng.normal(size=(700, 8)).astype(np.float32))
    for i in range(events):
        row = int(rng.integers(3000))
        event = MediaEvent(f"e{i}", "v", f"m{row}", NOW - (events - i) * 1000)
        fold_media_event(state, Action(i % 5), event, f"a{row % 700}", fold)
    viewer = ViewerContext.from_state("v", state, world, NOW)
    grid = explore(viewer, world, Treatment(), ExploreConfig(), NOW)
    assert len(grid) == 25
    assert grid.candidate_count == 500
    assert "account_nn" in {item.source for item in grid.document(world).items}
