"""What one event does to the next grid, and what the world takes in."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.account_index.index import RejectedVectorsError
from models.actions import HEAD_NAMES, HEADS, SIGNS, TOPIC_CODES, Action
from models.arrays.types import Rows
from models.events import FollowEvent, Integrity, Media, MediaEvent, Relation
from models.explore.diversity import DiversityConfig
from models.explore.grid import GridDocument, from_json, to_json
from models.explore.pipeline import ExploreConfig, explore
from models.explore.treatment import Treatment
from models.explore.valuation import expect_see_fewer
from models.feature_schema import (
    ALL_COLUMNS,
    DENSE_NAMES,
    FEATURE_VERSION,
    FEATURES,
    MINIMAL,
    SHORT_TERM,
    SPARSE_NAMES,
    FeatureMatrix,
)
from models.features.assembly import assemble
from models.features.candidates import Candidates
from models.item_to_item.fit import ItemToItemConfig, fit_item_weights
from models.item_to_item.histories import PositivePairs
from models.item_to_item.sums import Histories
from models.item_to_item.weights import ItemWeights
from models.queries import CandidateQuery, explore_plan, explore_text, planned
from models.rankers.interest import Interest
from models.rankers.prior import PriorRankers
from models.rankers.protocol import Rankers, Spread
from models.rankers.value import Weights
from models.viewers.context import ViewerContext
from models.viewers.state import (
    FoldConfig,
    ViewerState,
    fold_follow_event,
    fold_media_event,
)
from models.viewers.state import (
    place as place_in_log,
)
from models.world import World

NOW = 1_700_000_000_000
SEE_FEWER = HEADS.index(Action.SEE_FEWER)
DAY = 86_400_000
FOLD = FoldConfig()
BIRDS, BOATS = range(20), range(20, 40)


@pytest.fixture
def world() -> World:
    """Forty authors, half of birds and half of boats, five posts each; boats are more popular.

    Half of the viewers like birds alone, the others boats.
    """
    world, rng = World(), np.random.default_rng(7)
    world.apply_media(
        [
            Media(
                f"m{i}-{post}",
                f"a{i}",
                NOW - post * DAY - i,
                topics=("birds" if i in BIRDS else "boats",),
            )
            for i in range(40)
            for post in range(5)
        ]
    )
    towards = np.array([[1.0, 0.0] if i in BIRDS else [0.0, 1.0] for i in range(40)])
    vectors = np.hstack([towards, 0.2 * rng.normal(size=(40, 6))]).astype(np.float32)
    world.apply_embeddings("one", [f"a{i}" for i in range(40)], vectors)
    world.apply_events(
        [
            (Action.LIKE, MediaEvent(f"e{i}", f"v{i}", f"m{20 + i % 20}-{i % 5}", NOW - i * 1000))
            for i in range(300)
        ]
    )
    rows = world.catalog.media_rows([f"m{i}-{post}" for i in range(40) for post in range(5)])
    pairs = PositivePairs(
        np.repeat(np.arange(200), 100), rows.reshape(2, 100)[np.arange(200) % 2].ravel()
    )
    world.item_weights = fit_item_weights(pairs, ItemToItemConfig())
    return world


def act(
    state: ViewerState, action: Action, media_id: str, ts: int = NOW - 1000, undo: bool = False
) -> None:
    author = media_id.split("-")[0].replace("m", "a")
    event = MediaEvent(f"{action}{media_id}{ts}{undo}", "v", media_id, ts, undo=undo)
    fold_media_event(state, action, event, author, FOLD)


def grid_of(
    world: World,
    state: ViewerState,
    now: int = NOW,
    changed: tuple[str, str] = ("", ""),
    rankers: Rankers | None = None,
    weights: Weights | None = None,
    **config: object,
) -> GridDocument:
    """A grid; `changed` replaces a part of the query's text."""
    viewer = ViewerContext.from_state("v", state, world, now, FOLD)
    treatment = Treatment(
        rankers=rankers or PriorRankers(),
        weights=weights or Weights(),
        query=CandidateQuery(planned(explore_text().replace(*changed))),
    )
    settings = ExploreConfig(**config)  # type: ignore[arg-type]
    return explore(viewer, world, treatment, settings, now).document(world)


def share_of(document: GridDocument, authors: range) -> float:
    names = {f"a{i}" for i in authors}
    return sum(item.author_id in names for item in document.items) / len(document.items)


def test_an_empty_world_gives_an_empty_grid() -> None:
    document = grid_of(World(), ViewerState())
    assert document.items == []
    assert document.candidates == 0


def test_a_world_of_which_nothing_may_be_shown_gives_an_empty_grid(world: World) -> None:
    spam = World()
    spam.apply_media([Media(f"m{i}", f"a{i}", NOW - i, Integrity(spam=0.9)) for i in range(60)])
    document = grid_of(spam, ViewerState())
    assert (document.items, document.candidates) == ([], 0)
    # Each source that brought one in counts it.
    assert list(document.dropped) == ["filter"] and document.dropped["filter"] >= 60
    blocking = ViewerState()
    for i in range(40):
        fold_follow_event(blocking, FollowEvent(f"f{i}", "v", f"a{i}", Relation.BLOCK, NOW), FOLD)
    assert grid_of(world, blocking).items == []


def test_weights_and_rankers_of_an_arm_make_its_grids_and_stand_in_them(world: World) -> None:
    viewer = ViewerContext.from_state("v", ViewerState(), world, NOW, FOLD)
    weights = Weights(**dict.fromkeys(HEAD_NAMES, 0.0) | {"save": 7.0})
    arm = Treatment(arm="x", weights=weights, rankers=Constant(0.25))
    document = explore(viewer, world, arm, ExploreConfig(), NOW).document(world)
    assert {item.value for item in document.items} == {7.0 * 0.25}
    assert document.versions == {
        "ig2vec": "one",
        "items": "",
        "rankers": "constant",
        "weights": weights.version,
        "arm": "x",
        "mode": "diverse",
        "index": world.index_version(),
        "features": FEATURE_VERSION,
        "query": explore_plan().version,
    }


def test_a_cold_start_is_popular_fresh_and_spread(world: World) -> None:
    document = grid_of(world, ViewerState(), size=10)
    assert len(document.items) == 10
    assert document.reflects_ts == 0
    assert {item.source for item in document.items} <= {"popular", "fresh"}
    assert len({item.author_id for item in document.items}) == 10


def test_a_large_grid_widens_the_passes(world: World) -> None:
    assert len(grid_of(world, ViewerState(), first=3, second=2, size=60).items) == 60


def test_the_first_like_moves_the_next_grid(world: World) -> None:
    state = ViewerState()
    before = grid_of(world, state)
    act(state, Action.LIKE, "m3-0")
    after = grid_of(world, state)
    # Boats are liked by everybody and birds by nobody: one like counts against that, two win.
    assert share_of(before, BIRDS) < share_of(after, BIRDS)
    assert after.reflects_ts == NOW - 1000
    assert sum(item.seed == "a3" for item in after.items) >= 7
    assert "a3" not in {item.author_id for item in after.items}
    act(state, Action.LIKE, "m4-0")
    second = grid_of(world, state)
    assert share_of(second, BIRDS) > 0.5
    first = second.items[0]
    assert first.source == "alike" and first.seed in ("a3", "a4")


class ByLikes:
    """A ranker that sees nothing but popularity."""

    version = "by-likes"

    class _Pass:
        columns = ALL_COLUMNS

        def __init__(self, *width: int) -> None:
            self.width = width

        def score(self, features: FeatureMatrix) -> NDArray[np.float32]:
            likes = features.column("media_likes")
            return np.broadcast_to(
                likes.reshape(-1, *(1,) * len(self.width)), (len(likes), *self.width)
            )

    first = second = _Pass()
    final = _Pass(len(HEADS))
    interest = Interest.none()


def test_the_first_like_shows_even_where_rankers_see_only_popularity(world: World) -> None:
    state = ViewerState()
    act(state, Action.LIKE, "m3-0")
    funnel = {
        "rankers": ByLikes(),
        "weights": Weights(**dict.fromkeys(HEAD_NAMES, 0.0) | {"like": 1.0}),
        "changed": ("max_num_to_retrieve=100", "max_num_to_retrieve=10"),
        "diversity": DiversityConfig(enabled=False),
        "size": 20,
    }
    document = grid_of(world, state, **funnel)
    assert sum(item.seed == "a3" for item in document.items) == 6
    assert [item.position for item in document.items] == list(range(20))
    off = grid_of(world, state, **funnel, personal_share=0.0)
    assert not any(item.seed for item in off.items)


def test_taking_the_like_back_restores_the_grid(world: World) -> None:
    state = ViewerState()
    before = grid_of(world, state)
    act(state, Action.LIKE, "m3-0", NOW - 2000)
    act(state, Action.LIKE, "m3-0", NOW - 1000, undo=True)
    after = grid_of(world, state)
    assert share_of(after, BIRDS) == pytest.approx(share_of(before, BIRDS), abs=0.1)
    assert not {item.seed for item in after.items} - {None}


def test_see_fewer_drops_the_media_and_puts_its_author_behind(world: World) -> None:
    state = ViewerState()
    act(state, Action.LIKE, "m3-0", NOW - 9000)
    act(state, Action.LIKE, "m4-0", NOW - 9000)
    before = grid_of(world, state)
    target = before.items[0]
    assert share_of(before, BIRDS) > 0.5
    act(state, Action.SEE_FEWER, target.media_id)
    after = grid_of(world, state)
    assert target.media_id not in {item.media_id for item in after.items}
    assert target.author_id not in {item.author_id for item in after.items}
    # What birds of others are worth after that is for rankers to learn; the rule leaves them.
    assert share_of(after, BIRDS) > 0.5
    assert all(item.stages.penalty == 0.0 for item in after.items)
    by_value = DiversityConfig(enabled=False)
    everything = grid_of(world, state, size=200, first=200, second=200, diversity=by_value)
    places = [item.author_id for item in everything.items]
    assert target.media_id not in {item.media_id for item in everything.items}
    assert set(places[-4:]) == {target.author_id} and target.author_id not in places[:-4]
    assert all(
        (item.stages.penalty > 0.0) == (item.author_id == target.author_id)
        for item in everything.items
    )
    act(state, Action.SEE_FEWER, target.media_id, NOW - 500, undo=True)
    restored = grid_of(world, state)
    assert share_of(restored, BIRDS) == share_of(before, BIRDS)
    assert all(item.stages.penalty == 0.0 for item in restored.items)


class Constant:
    """A ranker that gives every row the same number."""

    version = "constant"

    class _Pass:
        columns = ALL_COLUMNS

        def __init__(self, number: float, *width: int) -> None:
            self.number, self.width = number, width

        def score(self, features: FeatureMatrix) -> NDArray[np.float32]:
            return np.full((len(features), *self.width), self.number, np.float32)

    def __init__(self, number: float) -> None:
        self.first = self.second = self._Pass(number)
        self.final = self._Pass(number, len(HEADS))
        self.interest: Spread = Interest.none()


@pytest.mark.parametrize(("days", "likelihood"), [(0, 0.8), (7, 0.4), (21, 0.1)])
def test_the_penalty_of_a_see_fewer_decays(world: World, days: int, likelihood: float) -> None:
    state = ViewerState()
    act(state, Action.SEE_FEWER, "m25-0", NOW)
    config = {"demote_from": 2.0, "size": 200, "first": 200, "second": 200}
    document = grid_of(world, state, NOW + days * DAY, rankers=Constant(0.1), **config)
    of_author = [item.stages.penalty for item in document.items if item.author_id == "a25"]
    assert of_author == pytest.approx([5.0 * 0.9 * likelihood] * 4, rel=1e-5)
    assert min(document.items, key=lambda item: item.value).author_id == "a25"


def test_a_see_fewered_author_is_shown_when_nothing_else_is_left() -> None:
    world, state = World(), ViewerState()
    world.apply_media([Media(f"m1-{i}", "a1", NOW - i) for i in range(3)])
    act(state, Action.SEE_FEWER, "m1-0")
    document = grid_of(world, state)
    assert sorted(item.media_id for item in document.items) == ["m1-1", "m1-2"]
    assert all(item.stages.penalty > 0 for item in document.items)


def test_a_block_holds_at_once_and_can_be_undone(world: World) -> None:
    state = ViewerState()
    author = grid_of(world, state).items[0].author_id
    for ts, undo, shown in ((NOW - 2, False, False), (NOW - 1, True, True)):
        fold_follow_event(state, FollowEvent("f", "v", author, Relation.BLOCK, ts, undo), FOLD)
        document = grid_of(world, state)
        assert (author in {item.author_id for item in document.items}) is shown
        assert document.reflects_ts == ts


def test_a_deleted_media_leaves_and_a_new_post_may_enter(world: World) -> None:
    state = ViewerState()
    act(state, Action.LIKE, "m3-0")
    first = grid_of(world, state).items[0]
    world.apply_media([Media(first.media_id, first.author_id, NOW, deleted=True)])
    world.apply_media([Media("new", first.author_id, NOW, topics=("birds",))])
    shown = {item.media_id: item for item in grid_of(world, state, size=200).items}
    assert first.media_id not in shown
    assert shown["new"].seed == "a3"


def test_weights_decide_what_value_means(world: World) -> None:
    document = grid_of(world, ViewerState())
    p = document.items[0].probabilities
    assert document.items[0].value == pytest.approx(
        np.dot(list(p.by_head().values()), Weights().worth_h() * SIGNS)
    )
    by_saves = Weights(**dict.fromkeys(HEAD_NAMES, 0.0) | {"save": 1.0})
    other = grid_of(world, ViewerState(), weights=by_saves).items[0]
    assert other.value == pytest.approx(other.probabilities.by_head()["save"])


def test_a_diverged_ranker_still_gives_a_grid_of_finite_values(world: World) -> None:
    document = grid_of(world, ViewerState(), rankers=Constant(float("nan")))
    assert len(document.items) == 25
    assert all(np.isfinite(item.value) for item in document.items)
    assert document.versions["rankers"] == "constant"
    assert from_json(to_json(document)) == document


def test_a_feature_that_is_not_a_number_costs_a_media_its_place_not_the_grid(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = world.popularity.decayed_media

    def broken(rows: Rows, now_ms: int) -> NDArray[np.float64]:
        counts_n5 = read(rows, now_ms)
        counts_n5[rows % 2 == 0] = np.nan
        return counts_n5

    monkeypatch.setattr(world.popularity, "decayed_media", broken)
    document = grid_of(world, ViewerState())
    rows = world.catalog.media_rows([item.media_id for item in document.items])
    assert len(rows) == 25 and (rows % 2 == 1).all()
    assert all(np.isfinite(item.value) for item in document.items)
    assert from_json(to_json(document)) == document


def test_prior_rankers_take_no_rows_one_row_and_do_not_mix_rows(world: World) -> None:
    viewer = ViewerContext.from_state("v", ViewerState(), world, NOW)
    features = assemble(viewer, Candidates.of(np.arange(50, dtype=np.int32)), world, NOW)
    rankers = PriorRankers()
    for one_pass in (rankers.first, rankers.second, rankers.final):
        everything = one_pass.score(features)
        assert len(one_pass.score(FeatureMatrix.empty())) == 0
        np.testing.assert_allclose(one_pass.score(features.take(np.array([7])))[0], everything[7])
    assert rankers.final.score(features).shape == (50, len(HEADS))
    assert ((everything > 0) & (everything < 1)).all()


def test_the_see_fewer_penalty_is_an_independent_chance() -> None:
    before_nh = np.full((2, len(HEADS)), 0.1)
    before_nh[:, SEE_FEWER] = 0.5, 0.0
    expected_nh = before_nh.copy()
    expected_nh[:, SEE_FEWER] = 0.75, 1.0
    np.testing.assert_allclose(expect_see_fewer(before_nh, np.array([0.5, 7.0])), expected_nh)


def test_the_query_asks_again_when_filters_take_much() -> None:
    world = World()
    world.apply_media([Media(f"s{i}", "a", NOW - i, Integrity(spam=0.9)) for i in range(200)])
    world.apply_media([Media(f"m{i}", "b", NOW - DAY - i) for i in range(10)])
    document = grid_of(world, ViewerState(), changed=("take(500)", "take(8)"))
    assert sorted(item.media_id for item in document.items) == [f"m{i}" for i in range(8)]
    # Each source that brought one in counts it.
    assert list(document.dropped) == ["filter"] and document.dropped["filter"] >= 200


def test_feature_declarations_are_consistent() -> None:
    names = [feature.name for feature in FEATURES]
    assert len(names) == len(set(names))
    assert set(MINIMAL) <= set(DENSE_NAMES)
    assert all((f.buckets > 1) == (f.kind == "sparse") for f in FEATURES)
    assert all(f.meaning and f.source for f in FEATURES)


def test_features_hold_what_they_declare(world: World) -> None:
    state = ViewerState()
    act(state, Action.LIKE, "m3-0", NOW - 7 * DAY)
    act(state, Action.SEE_FEWER, "m25-0", NOW - 30 * DAY)
    fold_follow_event(state, FollowEvent("f", "v", "a5", Relation.FOLLOW, NOW - 1), FOLD)
    viewer = ViewerContext.from_state("v", state, world, NOW, FOLD)
    media = ["m3-1", "m25-1", "m5-0", "m7-2"]
    rows = world.catalog.media_rows(media)
    features = assemble(viewer, Candidates.of(rows, "fresh"), world, NOW)

    def column(name: str) -> list[float]:
        return features.column(name).tolist()

    vectors, _ = world.vectors_of(world.catalog.author_n[rows])
    # Vectors are rounded to steps of 2^−11.
    assert column("seed_similarity") == pytest.approx(
        [max(0, v @ vectors[0]) for v in vectors], abs=2e-3
    )
    assert column("short_similarity") == pytest.approx([v @ vectors[0] for v in vectors], abs=2e-3)
    assert column("see_fewer_similarity") == pytest.approx(
        [max(0, v @ vectors[1]) * 0.5 for v in vectors], abs=2e-3
    )
    assert column("viewer_author_like") == pytest.approx([np.log1p(0.5), 0, 0, 0], abs=1e-3)
    assert column("viewer_author_recency") == pytest.approx([0.5, 0, 0, 0])
    assert column("viewer_author_aversion")[0] == 0.0
    assert column("viewer_author_aversion")[1] == pytest.approx(2 ** (-30 / 7))
    assert column("follows_author") == [0, 0, 1, 0]
    assert column("topic_affinity") == [1, 0, 1, 1]
    assert column("topic_aversion") == [0, 1, 0, 0]
    assert column("source_fresh") == [1, 1, 1, 1]
    assert column("source_popular") == [0, 0, 0, 0]
    assert column("media_age")[3] == pytest.approx(np.log1p(48 + 7 / 3_600_000) / 3)
    sparse = {name: features.sparse_ns[:, i].tolist() for i, name in enumerate(SPARSE_NAMES)}
    assert len(set(sparse["seed_id"])) <= 2
    assert sparse["seed_id"][0] == sparse["author_id"][0] == sparse["seed_id"][2]
    assert sparse["topic"][0] == sparse["topic"][2] != sparse["topic"][1]
    assert sparse["language"] == [0, 0, 0, 0]
    assert sparse["hour"] == [1 + NOW // 3_600_000 % 24] * 4
    assert column("image_similarity") == [0, 0, 0, 0]
    assert column("image_missing") == [1, 1, 1, 1]


def test_what_a_viewer_liked_is_a_sequence_of_authors(world: World) -> None:
    state = ViewerState()
    for day, media in enumerate(["m7-0", "m3-0", "m7-1"]):
        act(state, Action.LIKE, media, NOW - (9 - day) * DAY)
    act(state, Action.SEE_FEWER, "m25-0", NOW - DAY)
    viewer = ViewerContext.from_state("v", state, world, NOW, FOLD)
    rows = world.catalog.media_rows(["m7-2", "m3-1"])
    features = assemble(viewer, Candidates.of(rows), world, NOW)
    of = {name: features.sparse_ns[:, i].tolist() for i, name in enumerate(SPARSE_NAMES)}
    seven, three = of["author_id"]
    assert seven != three
    liked = [of[f"liked_authors_{place}"] for place in range(1, 31)]
    assert liked == [[seven] * 2, [three] * 2, [seven] * 2, *[[0, 0]] * 27]


def test_a_picture_like_those_of_the_media_a_viewer_liked(world: World) -> None:
    state = ViewerState()
    act(state, Action.LIKE, "m3-0")
    act(state, Action.LIKE, "m3-1")
    media = {"m3-0": (1, 0), "m3-1": (0, 1), "m7-0": (1, 1), "m7-1": (-1, 0), "m7-2": (1, -1)}
    for name, picture in media.items():
        vector = np.zeros((1, world.images.dimension), np.float32)
        vector[0, :2] = np.array(picture) / np.linalg.norm(picture)
        world.images.put(world.catalog.media_rows([name]), vector)
    viewer = ViewerContext.from_state("v", state, world, NOW, FOLD)
    rows = world.catalog.media_rows(["m7-0", "m7-1", "m7-2", "m5-0"])
    features = assemble(viewer, Candidates.of(rows), world, NOW)
    found = features.column("image_similarity").tolist()
    assert found == pytest.approx([1.0, -(0.5**0.5), 0.0, 0.0], abs=2e-3)
    assert features.column("image_missing").tolist() == [0, 0, 0, 1]


def test_features_do_not_depend_on_the_order_the_world_was_built_in(world: World) -> None:
    """A process that started later numbers its rows differently and must see the same."""
    state = ViewerState()
    act(state, Action.SAVE, "m3-0")
    other = World()
    ids = [f"a{i}" for i in range(39, -1, -1)]
    vectors, _ = world.vectors_of(world.catalog.author_rows(ids))
    other.apply_embeddings("one", ids, vectors)
    catalog = world.catalog
    for row in range(catalog.media_count - 1, -1, -1):
        (name,) = catalog.media_ids(np.array([row], np.int32))
        other.apply_media(
            [
                Media(
                    name,
                    str(catalog.author_of(name)),
                    int(catalog.created_ts_n[row]),
                    topics=(catalog.topic_name(int(catalog.topic_n[row])),),
                )
            ]
        )
    weights = world.item_weights
    assert weights is not None
    ids = catalog.media_ids(weights.media_s)
    stored, rows = weights.to_arrays(ids), other.catalog.media_rows(ids)
    other.item_weights = ItemWeights.from_arrays(stored, rows, "")
    world.item_weights = ItemWeights.from_arrays(stored, weights.media_s, "")
    media = ["m3-1", "m25-1", "m5-0"]
    found = []
    for one in (world, other):
        one.popularity = World().popularity
        viewer = ViewerContext.from_state("v", state, one, NOW, FOLD)
        rows = one.catalog.media_rows(media)
        found.append(assemble(viewer, Candidates.of(rows), one, NOW))
    np.testing.assert_allclose(found[0].dense_nf, found[1].dense_nf, atol=1e-6)
    np.testing.assert_array_equal(found[0].sparse_ns, found[1].sparse_ns)
    assert found[0].column("likeness")[0] > 0


def test_events_count_for_media_and_author_and_undo_takes_them_back() -> None:
    world = World()
    world.apply_media([Media("m", "a", NOW)])
    like = MediaEvent("1", "v", "m", NOW, "someone-else")
    world.apply_events([(Action.LIKE, like), (Action.LIKE, MediaEvent("2", "v", "x", NOW, "b"))])
    rows = world.catalog.author_rows(["a", "b", "someone-else"])
    assert rows[2] == -1
    assert world.popularity.decayed_authors(rows[:2], NOW)[:, Action.LIKE].tolist() == [1, 1]
    world.apply_events([(Action.LIKE, MediaEvent("3", "v", "m", NOW, undo=True))])
    assert world.popularity.decayed_authors(rows[:1], NOW)[0, Action.LIKE] == 0.0
    assert world.popularity.decayed_total(NOW)[Action.LIKE] == 1.0


def test_the_named_space_is_live() -> None:
    world, ids = World(), [f"a{i}" for i in range(10)]
    world.apply_embeddings("old", ids, np.eye(10, dtype=np.float32))
    world.apply_embeddings("new", ids[:7], np.ones((7, 3), np.float32))
    assert world.space_name == "old"
    world.name_space("new")
    world.apply_embeddings("old", ids[:1], np.ones((1, 10), np.float32))
    assert world.space_name == "new"
    vectors, known = world.vectors_of(world.catalog.author_rows(ids))
    assert known.tolist() == [True] * 7 + [False] * 3
    assert vectors.shape == (10, 3)
    assert not vectors[7:].any()


def test_a_removed_account_is_nobodys_neighbour(world: World) -> None:
    state = ViewerState()
    act(state, Action.LIKE, "m3-0")
    assert world.space is not None
    gone = [f"a{i}" for i in range(4, 20)]
    world.remove_embeddings("one", [*gone, "never-seen"])
    seeds, known = world.vectors_of(world.catalog.author_rows(["a3", "a4"]))
    assert known.tolist() == [True, False]
    near, _ = world.space.nearest(seeds[:1], 40)
    names = set(world.catalog.author_ids(near[near >= 0]))
    assert not names & set(gone)
    assert len(names) == 24


def test_a_rejected_vector_does_not_hold_up_its_batch() -> None:
    world = World()
    with pytest.raises(RejectedVectorsError):
        world.apply_embeddings("s", ["bad", "good"], np.array([[0, 0], [0, 2]], np.float32))
    vectors, known = world.vectors_of(world.catalog.author_rows(["bad", "good"]))
    assert known.tolist() == [False, True]
    assert vectors[1].tolist() == [0.0, 1.0]


def test_likeness_is_what_item_weights_say_of_a_history(world: World) -> None:
    weights = world.item_weights
    assert weights is not None
    state = ViewerState()
    liked = [f"m{i}-0" for i in range(8)]
    for place, media in enumerate(liked):
        act(state, Action.LIKE, media, NOW - 1000 * (place + 1))
    viewer = ViewerContext.from_state("v", state, world, NOW, FOLD)
    history, recent = (world.catalog.media_rows(rows) for rows in (liked, liked[:SHORT_TERM]))
    world.apply_media([Media("new", "a3", NOW)])
    rows = world.catalog.media_rows(["m9-1", "m25-1", "m0-0", "new"])
    features = assemble(viewer, Candidates.of(rows), world, NOW)
    at_n = weights.slots_of(rows)
    assert at_n[3] == -1
    for name, of in (("likeness", history), ("likeness_recent", recent)):
        expected_n = np.log1p(10 * weights.likeness(Histories.of([of]), at_n, [slice(0, 4)]).sum_n)
        np.testing.assert_allclose(features.column(name), expected_n, rtol=1e-6)
    share_n = features.column("likeness_share")
    assert share_n[0] == pytest.approx(1.0) and share_n[1:].tolist()[::2] == [0.0, 0.0]
    world.item_weights = None
    without = assemble(viewer, Candidates.of(rows), world, NOW)
    for name in ("likeness", "likeness_recent", "likeness_share"):
        assert not without.column(name).any()


def test_a_grid_reflects_late_events_by_their_offsets(world: World) -> None:
    state, first = ViewerState(), place_in_log(TOPIC_CODES["events.like"], 3)
    act(state, Action.LIKE, "m1-0", NOW)
    state.applied[first] = 7
    document = grid_of(world, state)
    assert document.reflects_offsets == {"events.like/3": 7}
    act(state, Action.LIKE, "m1-1", NOW - 60_000)
    state.applied[first] = 9
    assert document.reflects_ts == state.reflects_ts()
    assert grid_of(world, state).reflects_offsets == {"events.like/3": 9}
