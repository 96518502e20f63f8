"""Why a media is shown or not: one case for each stage it can be lost at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from infra.config import Settings
from models.actions import HEAD_NAMES, Action
from models.events import Media, MediaEvent
from models.explore.audit import rank_uncut, survival
from models.explore.explanation import Explanation, explain, explain_grid
from models.explore.exploration import ExplorationConfig
from models.explore.pipeline import ExploreConfig, Found, find, funnel
from models.explore.trace import Trace
from models.explore.treatment import Treatment
from models.feature_schema import ALL_COLUMNS, FEATURE_VERSION, FEATURES, FeatureMatrix
from models.queries import CandidateQuery, explore_text, planned
from models.rankers.prior import PriorRankers
from models.viewers.context import ViewerContext
from models.viewers.state import FoldConfig, ViewerState, fold_media_event
from models.world import World
from streams.cli import app, ranker_api
from tests.explorers import explorer_of
from tests.http import reading

NOW = 1_700_000_000_000
NARROW = ExploreConfig(first=30, second=15, size=8, exploration=ExplorationConfig(share=0.0))


@pytest.fixture
def world() -> World:
    """Forty authors with five posts each, of which those of the last ten are popular."""
    world, rng = World(), np.random.default_rng(3)
    world.apply_media([Media(f"m{i}", f"a{i % 40}", NOW - i * 3_600_000) for i in range(200)])
    vectors = rng.normal(size=(40, 8)).astype(np.float32)
    world.apply_embeddings("one", [f"a{i}" for i in range(40)], vectors)
    world.apply_events(
        [
            (Action.LIKE, MediaEvent(f"e{i}", f"v{i}", f"m{30 + i % 10}", NOW - i * 1000))
            for i in range(100)
        ]
    )
    return world


@pytest.fixture
def state() -> ViewerState:
    """One like on m0, one see-fewer on m1."""
    state = ViewerState()
    for action, media_id in ((Action.LIKE, "m0"), (Action.SEE_FEWER, "m1")):
        event = MediaEvent(media_id, "v", media_id, NOW - 1000)
        fold_media_event(state, action, event, f"a{media_id[1:]}", FoldConfig())
    return state


def traced(
    world: World, state: ViewerState, config: ExploreConfig = NARROW, query: str = explore_text()
) -> tuple[Trace, Found]:
    viewer = ViewerContext.from_state("v", state, world, NOW)
    arm = Treatment(query=CandidateQuery(planned(query)))
    found = find([viewer], world, arm, NOW)
    return funnel(found, world, config)[0], found


def by_stage(world: World, trace: Trace, found: Found) -> dict[str, list[Explanation]]:
    told: dict[str, list[Explanation]] = {}
    for number in range(200):
        one = explain(f"m{number}", trace, found, world)
        told.setdefault(one.drop.stage if one.drop else "shown", []).append(one)
    return told


def test_a_media_nobody_told_of(world: World, state: ViewerState) -> None:
    world.apply_events([(Action.LIKE, MediaEvent("x", "w", "referred", NOW))])
    for name in ("never", "referred"):
        told = explain(name, *traced(world, state), world)
        assert told.drop is not None and told.drop.stage == "inventory"
        assert told.author_id is None and told.first_pass is None


def test_a_deleted_media(world: World, state: ViewerState) -> None:
    world.delete_media(["m31"])
    told = explain("m31", *traced(world, state), world)
    assert told.drop is not None and told.drop.stage == "deleted"


@pytest.mark.parametrize(
    ("media_id", "name"),
    [("m1", "exclude_suppressed"), ("m0", "exclude_seen"), ("m40", "exclude_own_accounts")],
)
def test_a_media_that_a_filter_keeps_out(
    world: World, state: ViewerState, media_id: str, name: str
) -> None:
    told = explain(media_id, *traced(world, state), world)
    assert told.drop is not None and told.drop.stage == "filter"
    assert name in told.drop.reason


def test_a_media_of_an_account_that_is_held_back(world: World, state: ViewerState) -> None:
    world.apply_events(
        [(Action.SEE_FEWER, MediaEvent(f"s{i}", f"s{i}", "m39", NOW)) for i in range(7)]
    )
    told = explain("m39", *traced(world, state), world)
    assert told.drop is not None and told.drop.stage == "filter"
    # Ten others liked media of that author; no views are sent here.
    reason = "held back: 7 of its author's 17 viewers asked for fewer lately; 0.02 would be usual"
    assert told.drop.reason == reason


def test_a_media_that_no_source_brings(world: World, state: ViewerState) -> None:
    told = by_stage(world, *traced(world, state, query="user.popular(max_num_to_retrieve=3)"))
    assert set(told) == {"shown", "retrieval"}
    assert len(told["retrieval"]) == 197


def test_a_media_that_the_query_cuts(world: World, state: ViewerState) -> None:
    query = "blend(0.5: user.popular(), 0.5: user.fresh()).take(12)"
    cut = by_stage(world, *traced(world, state, query=query))["query_cut"]
    for told in cut:
        assert told.drop is not None and told.drop.kept == 12


def test_what_the_passes_and_the_grid_cut(world: World, state: ViewerState) -> None:
    trace, found = traced(world, state)
    told = by_stage(world, trace, found)
    assert len(told["shown"]) == 8
    assert len(told["first_pass"]) == len(trace.candidates) - 30
    assert len(told["second_pass"]) == 15
    assert len(told["value"] + told.get("diversity", [])) == 7
    for one in told["first_pass"]:
        assert one.drop is not None and one.first_pass is not None and not one.first_pass.passed
        assert one.drop.kept == 30 and one.second_pass is None and one.value is None
        # Below the last one kept, or behind for likeness, or out for the share of personal media.
        assert one.first_pass.rank >= 30 or one.demoted or one.seed is None
    worst = max(told["first_pass"], key=lambda one: one.drop.rank if one.drop else 0)
    assert worst.drop is not None and worst.drop.rank == len(trace.candidates) - 1
    for one in told["second_pass"]:
        assert one.first_pass is not None and one.first_pass.passed and one.value is None
    for one in told["value"]:
        assert one.value is not None and one.value.rank >= 8
        assert one.drop is not None and one.drop.gap is not None


def test_diversity_takes_a_place(world: World) -> None:
    # By value alone the popular author's posts come first.
    world.apply_events(
        [
            (Action.LIKE, MediaEvent(f"p{i}", f"p{i}", f"m{35 + 40 * (i % 5)}", NOW - i))
            for i in range(2000)
        ]
    )
    told = by_stage(world, *traced(world, ViewerState()))
    lost = [one for one in told["diversity"] if one.author_id == "a35"]
    assert lost
    for one in lost:
        assert one.value is not None and one.value.rank < 8 and one.value.same_author_before > 0


def test_an_item_adds_up(world: World, state: ViewerState) -> None:
    trace, found = traced(world, state)
    document = trace.grid.document(world)
    for told, item in zip(explain_grid(trace, found, world), document.items, strict=True):
        assert told.value is not None and told.drop is None
        terms = (getattr(told.value, name) for name in HEAD_NAMES)
        assert sum(terms) - told.value.penalty == pytest.approx(item.value)
        assert told.first_pass is not None and told.second_pass is not None
        assert told.first_pass.score == item.stages.first_score
        assert told.second_pass.score == item.stages.second_score
        assert (told.source, told.seed) == (item.source, item.seed)


def test_a_new_media_that_was_drawn_says_so(world: World, state: ViewerState) -> None:
    config = msgspec.structs.replace(NARROW, exploration=ExplorationConfig(share=0.25))
    trace, found = traced(world, state, config)
    drawn = [one for one in explain_grid(trace, found, world) if (one.propensity or 1.0) < 1.0]
    assert len(drawn) == 2
    assert all(one.drop is None and one.value is not None for one in drawn)


def test_nothing_is_shown_where_filters_let_nothing_through(world: World) -> None:
    query = explore_text().replace(
        "non_recommendable_model_threshold=0.2", "media_age_hours > 100000"
    )
    trace, found = traced(world, ViewerState(), query=query)
    assert explain_grid(trace, found, world) == []
    told = explain("m31", trace, found, world)
    assert told.drop is not None and told.drop.stage == "filter"


class Broken:
    """Rankers whose first pass is the opposite of the others."""

    version = "broken"

    class _Opposite:
        columns = ALL_COLUMNS

        def score(self, features: FeatureMatrix) -> NDArray[np.float32]:
            return -PriorRankers().first.score(features)

    def __init__(self) -> None:
        right = PriorRankers()
        self.first, self.second, self.final = self._Opposite(), right.second, right.final
        self.interest = right.interest


def test_the_audit_counts_what_the_passes_lose(world: World, state: ViewerState) -> None:
    _, found = traced(world, state)
    whole = survival(rank_uncut(found, world, NARROW))
    assert whole.best == 8 and whole.lost_first + whole.lost_second <= 2
    found = replace(found, treatment=replace(found.treatment, rankers=Broken()))
    assert survival(rank_uncut(found, world, NARROW)).lost_first > 4


class Reader:
    """The part of the lookup that explains."""

    def __init__(self, world: World) -> None:
        self.explorer = explorer_of(world, Settings())

    async def explain(self, viewer_id: str, media_id: str | None) -> bytes:
        return msgspec.json.encode(await self.explorer.explain(viewer_id, media_id))


async def asked(world: World, **parameters: str) -> httpx.Response:
    async with reading(Reader(world)) as client:
        return await client.get("/v1/explain", params=parameters)


async def test_the_route_and_the_command(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = await asked(world, viewer_id="new")
    one = await asked(world, viewer_id="new", media_id="nobody knows it")
    assert (await asked(world, viewer_id="")).status_code == 422
    assert (await asked(world, viewer_id="v", media_id="m" * 129)).status_code == 422
    assert [item["position"] for item in grid.json()["items"]] == list(range(25))
    assert one.json()["media"]["drop"]["stage"] == "inventory"

    answers: dict[bool, dict[str, Any]] = {False: grid.json(), True: one.json()}
    monkeypatch.setattr(ranker_api, "get", lambda _s, _p, given: answers["media_id" in given])
    shown = CliRunner().invoke(app, ["explain", "new"])
    assert shown.exit_code == 0 and "account_nn" not in shown.output and "m0 " in shown.output
    assert f"{grid.json()['candidates']} → " in shown.output
    lost = CliRunner().invoke(app, ["explain", "new", "nobody knows it"])
    assert "inventory: the catalogue has never told of it" in lost.output
    answers[True] = {"media": grid.json()["items"][0]}
    item = CliRunner().invoke(app, ["explain", "new", "m3"])
    assert "at position 0" in item.output and "probability" in item.output
    json = CliRunner().invoke(app, ["explain", "new", "--json"])
    assert msgspec.json.decode(json.output) == grid.json()


def test_the_features_are_listed() -> None:
    table = CliRunner().invoke(app, ["features"]).output
    assert all(one.name in table for one in FEATURES)
    listed = msgspec.json.decode(CliRunner().invoke(app, ["features", "--json"]).output)
    assert listed["version"] == FEATURE_VERSION
    assert [one["name"] for one in listed["features"]] == [one.name for one in FEATURES]
    assert {one["dtype"] for one in listed["features"]} == {"float32", "int32"}
