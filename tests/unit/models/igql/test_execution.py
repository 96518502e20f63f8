"""What the planner does to a query, and what the executor does when things go wrong."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.arrays.types import NO_POSITIONS, NO_ROWS
from models.events import Account, Media
from models.feature_schema import DENSE_INDEX, FeatureMatrix
from models.igql.errors import IgqlLimitError
from models.igql.execution import Execution
from models.igql.executor import Executed, Executor, ExecutorConfig
from models.igql.library import operators
from models.igql.plan_report import describe
from models.igql.planner import Mix, Node, OperatorNode, inputs
from models.igql.registry import Arguments, Cost, SetType, count
from models.igql.sets import ColumnSet
from models.item_to_item.fit import ItemToItemConfig, fit_item_weights
from models.item_to_item.histories import PositivePairs
from models.queries import CandidateQuery, explore_plan, planned
from models.rankers.prior import PriorRankers
from models.rankers.protocol import Pass
from models.viewers.context import ViewerContext
from models.viewers.state import ViewerState
from models.world import World
from tests.igql_worlds import NOW, media_of, random_viewers, random_world
from tests.paths import ROOT


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()
PRIOR = PriorRankers()
REGISTRY = operators.copy()


def _source(name: str, work: object) -> None:
    @REGISTRY.register(
        name=name,
        takes=SetType.VIEWER,
        gives=SetType.MEDIA,
        parameters=(count("max_num_to_retrieve", default=5),),
        cost=lambda rows, arguments: Cost(rows * arguments["max_num_to_retrieve"], 10.0),
        source=True,
    )
    def kernel(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
        """A source of tests."""
        work()  # type: ignore[operator]
        return viewers.to_each(SetType.MEDIA, np.arange(5, dtype=np.int32))


def _fail() -> None:
    raise RuntimeError("no index")


def _slow() -> None:
    CLOCK.now += 0.2


_source("failing", _fail)
_source("slow", _slow)
_source("well", lambda: None)


@REGISTRY.register(
    takes=SetType.MEDIA, gives=SetType.MEDIA, cost=lambda rows, _: Cost(rows, 1.0),
    removes_only=True,
)  # fmt: skip
def broken_filter(execution: Execution, media: ColumnSet, arguments: Arguments) -> object:
    """A filter of tests that raises."""
    raise RuntimeError("no model")


@REGISTRY.register(takes=SetType.MEDIA, gives=SetType.MEDIA, cost=lambda rows, _: Cost(rows, 1.0))
def broken_order(execution: Execution, media: ColumnSet, arguments: Arguments) -> ColumnSet:
    """An order of tests that raises."""
    raise RuntimeError("no model")


@REGISTRY.register(
    takes=SetType.VIEWER, gives=SetType.MEDIA, cost=lambda rows, _: Cost(9.0, 1.0), source=True
)
def accounts_for_media(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """A source of tests that gives accounts."""
    return viewers.to_each(SetType.ACCOUNTS, np.arange(9, dtype=np.int32))


def _no_cost(rows: float, arguments: Arguments) -> Cost:
    raise KeyError("radius")


for name, cost in (("raising", _no_cost), ("lacking", lambda rows, arguments: None)):
    REGISTRY.register(
        name=f"cost_{name}",
        takes=SetType.VIEWER,
        gives=SetType.MEDIA,
        cost=cost,  # type: ignore[arg-type]
    )(accounts_for_media)


@pytest.fixture(scope="module")
def world() -> World:
    world = random_world(3, 60, 12, 5)
    world.apply_accounts([Account("a0")])
    world.apply_media([Media(f"m{i}", "a0", NOW - i) for i in range(5)])
    return world


def nobody(world: World) -> ViewerContext:
    return ViewerContext.from_state("nobody", ViewerState(), world, NOW)


def executor(**config: float) -> Executor:
    return Executor(ExecutorConfig(**config), CLOCK)  # type: ignore[arg-type]


def chain_of(node: Node) -> list[str]:
    """The operators from the end to the viewer, filters in brackets, through first inputs."""
    found = []
    while True:
        filters = [one.operator.name for one in getattr(node, "filters", ())]
        found.append(describe(node).partition("(")[0] + (f" {filters}" if filters else ""))
        if not inputs(node):
            return found
        node = inputs(node)[0]


def test_filters_move_to_the_sources_and_stop_at_take() -> None:
    made = planned(
        "user.liked().account_nn().posted_media().let(a=rank).rank().diversify_by(seed)"
        ".filter(nsfw=0.2).exclude_followed().take(9).exclude_seen()"
    )
    assert chain_of(made.root) == [
        "filters ['exclude_seen']",
        "take",
        "diversify_by",
        "rank",
        "let",
        "posted_media ['unavailable', 'held_back', 'served', 'filter']",
        "account_nn ['exclude_followed']",
        "authors",
        "liked",
        "user",
    ]


def test_a_filter_stays_behind_what_makes_its_column() -> None:
    made = planned(
        "user.popular().let(place=rank).rank(ranking_model=source_score)"
        ".filter(score > 0.5).filter(place < 9).exclude_seen()"
    )
    assert chain_of(made.root) == [
        "filters ['filter']",
        "rank",
        "filters ['filter']",
        "let",
        "popular ['unavailable', 'held_back', 'served', 'exclude_seen']",
        "user",
    ]


def test_numbers_asked_for_reach_the_sources_and_equal_parts_are_one() -> None:
    made = planned(
        "blend(1: user.popular(max_num_to_retrieve=80).exclude_seen(),"
        " 2: user.popular(max_num_to_retrieve=80).rank()).exclude_seen().take(30)"
    )
    [mix] = inputs(made.root)
    assert isinstance(mix, Mix) and mix.cut == 30
    (_, plain), (_, ranked) = mix.branches
    assert isinstance(plain, OperatorNode) and (plain.cut, plain.asked) == (30, 30)
    # All eighty are ranked before thirty are taken.
    [below] = inputs(ranked)
    assert isinstance(below, OperatorNode) and (below.cut, below.asked) == (None, 30)
    assert inputs(plain) == inputs(below)


def test_a_source_fetches_further_where_filters_take_much(world: World) -> None:
    made = planned("user.fresh(max_num_to_retrieve=4).filter(nsfw=0.01)")
    found = Executor().run(made, [nobody(world)], world, PRIOR, NOW)
    allowed = (world.catalog.nsfw_n <= 0.01) & ~world.catalog.deleted_n
    allowed &= ~world.catalog.hidden_account_a[world.catalog.author_n]
    newest = [row for row in world.catalog.newest(1000).tolist() if allowed[row]]
    assert found.candidates().media_n.tolist() == newest[:4]
    assert sum(found.report.dropped().values()) > 0


def test_a_branch_of_weight_0_is_asked_only_where_others_are_short(world: World) -> None:
    viewers = [nobody(world), nobody(world)]
    text = "blend(1: user.popular(max_num_to_retrieve={}), 0: user.well()).take(5)"
    enough, few = (
        executor().run(planned(text.format(n), REGISTRY), viewers, world, PRIOR, NOW)
        for n in (5, 3)
    )
    assert not sources(enough) & {"well"}
    [line] = [line for line in enough.report.lines() if "well(" in line]
    assert line.endswith("(not needed)")
    assert not [step for step in enough.report.document()["steps"] if "well(" in step["what"]]
    for viewer in range(2):
        candidates = few.candidates(viewer)
        assert len(set(candidates.media_n.tolist())) == len(candidates.media_n) == 5
        names = [candidates.sources[code] for code in candidates.source_n]
        assert names == ["popular"] * 3 + ["well"] * 2


def sources(found: Executed) -> set[str]:
    candidates = found.candidates()
    return {candidates.sources[code] for code in candidates.source_n}


def test_a_failing_source_costs_its_share_and_is_said(world: World) -> None:
    made = planned("blend(0.9: user.failing(), 0.1: user.well()).take(5)", REGISTRY)
    ran = executor()
    found = ran.run(made, [nobody(world)], world, PRIOR, NOW)
    assert {found.candidates().sources[code] for code in found.candidates().source_n} == {"well"}
    assert found.report.failures() == ["failing failed: RuntimeError('no index')"]
    assert ran.breaker("failing").failed == 1


def test_what_fails_often_rests_and_is_tried_again(world: World) -> None:
    made = planned("blend(0.9: user.failing(), 0.1: user.well())", REGISTRY)
    ran, viewer = executor(strikes=2, rest_s=10.0), nobody(world)
    breaker = ran.breaker("failing")
    for _ in range(4):
        found = ran.run(made, [viewer], world, PRIOR, NOW)
    assert (breaker.failed, breaker.skipped) == (2, 2)
    assert "failing rests after being slow or failing" in "\n".join(found.report.lines())
    CLOCK.now += 11.0
    for _ in range(3):
        assert len(ran.run(made, [viewer], world, PRIOR, NOW).rows) == 5
    # Half open: one try, and it rests again.
    assert (breaker.failed, breaker.skipped) == (3, 4)


def test_a_slow_source_is_counted_gives_what_it_has_and_comes_back(world: World) -> None:
    made = planned("user.slow()", REGISTRY)
    ran, viewer = executor(source_ms=100.0, strikes=1, rest_s=10.0), nobody(world)
    assert len(ran.run(made, [viewer], world, PRIOR, NOW).rows) == 5
    assert len(ran.run(made, [viewer], world, PRIOR, NOW).rows) == 0
    assert (ran.breaker("slow").slow, ran.breaker("slow").skipped) == (1, 1)
    CLOCK.now += 11.0
    # Three viewers have three times the time.
    assert len(ran.run(made, [viewer] * 3, world, PRIOR, NOW).rows) == 15
    assert ran.breaker("slow").slow == 1
    assert len(ran.run(made, [viewer] * 3, world, PRIOR, NOW).rows) == 15


def test_a_broken_filter_lets_nothing_through_and_a_broken_order_changes_nothing(
    world: World,
) -> None:
    viewer = nobody(world)
    made = planned("blend(1: user.popular().broken_filter(), 1: user.well())", REGISTRY)
    found = executor().run(made, [viewer], world, PRIOR, NOW)
    assert media_of(world, found.candidates().media_n.tolist()) == [f"m{i}" for i in range(5)]
    assert "broken_filter failed: RuntimeError('no model')" in found.report.failures()
    made = planned("user.well().broken_order()", REGISTRY)
    found = executor().run(made, [viewer], world, PRIOR, NOW)
    assert len(found.rows) == 5
    assert found.report.failures() == ["broken_order failed: RuntimeError('no model')"]


def test_a_source_that_gives_another_type_than_it_says_fails(world: World) -> None:
    made = planned("blend(9: user.accounts_for_media(), 1: user.well())", REGISTRY)
    found = Executor().run(made, [nobody(world)], world, PRIOR, NOW)
    assert len(found.rows) == 5
    [said] = found.report.failures()
    assert "accounts_for_media gave accounts, which it does not say" in said


@pytest.mark.parametrize(
    ("name", "said"), [("raising", "raised KeyError('radius')"), ("lacking", "gave None")]
)
def test_an_operator_whose_cost_cannot_be_told_is_refused(name: str, said: str) -> None:
    with pytest.raises(IgqlLimitError) as caught:
        planned(f"user.cost_{name}()", REGISTRY)
    message = f"the cost of cost_{name} cannot be told: it {said}; let it give a Cost"
    assert message in str(caught.value)


def test_without_likes_the_other_branches_give_everything(world: World) -> None:
    found = CandidateQuery().find([nobody(world)], world, PRIOR, NOW)
    names = {found.candidates().sources[code] for code in found.candidates().source_n.tolist()}
    assert names == {"popular", "fresh"}


def test_without_vectors_the_plan_says_so(world: World) -> None:
    bare = World()
    bare.apply_media([Media(f"m{i}", f"a{i}", NOW - i) for i in range(200)])
    viewers = random_viewers(bare, 4, 8)
    found = CandidateQuery().find(viewers, bare, PRIOR, NOW)
    assert "no account has a vector yet" in "\n".join(found.report.lines())
    assert set(found.rows.viewer_n.tolist()) == set(range(8))


def test_a_filter_that_drops_everything_gives_an_empty_answer_that_says_why(world: World) -> None:
    made = planned("user.fresh().filter(nsfw < 0.9 and media_age_hours > 1000000)")
    found = Executor().run(made, [nobody(world)], world, PRIOR, NOW)
    assert len(found.rows) == 0
    text = "\n".join(found.report.lines())
    assert "by filter" in text and "filters let nothing through" in text
    steps = found.report.document()["steps"]
    assert steps[0]["what"] == "user"


def test_an_empty_world_and_no_viewers() -> None:
    empty = World()
    assert len(CandidateQuery().find([nobody(empty)], empty, PRIOR, NOW).rows) == 0
    assert len(CandidateQuery().find([], empty, PRIOR, NOW).rows) == 0


def test_served_media_are_told_for_every_viewer(world: World) -> None:
    with pytest.raises(ValueError, match="1 lists of served media for 2 viewers"):
        Executor().run(
            explore_plan(), [nobody(world)] * 2, world, PRIOR, NOW, [np.empty(0, np.int32)]
        )


def test_a_version_names_the_meaning_and_not_the_spelling() -> None:
    one, other = planned("user.popular( ) # all"), planned("user\n.popular()")
    assert one.version == other.version != planned("user.fresh()").version


def test_the_query_of_the_design_runs_verbatim(world: World) -> None:
    made = planned(
        """user
.let(seed_id=user_id)
.liked(max_num_to_retrieve=30)
.account_nn(embedding_config=default)
.posted_media(max_media_per_account=10)
.filter(non_recommendable_model_threshold=0.2)
.rank(ranking_model=default)
.diversify_by(seed_id, method=round_robin)
"""
    )
    viewers = random_viewers(world, 8, 6)
    found = Executor().run(made, viewers, world, PRIOR, NOW)
    assert len(found.rows) and not found.report.failures()
    assert (world.catalog.risk_n[found.rows.row_n] <= np.float32(0.2)).all()


class ByAge:
    """Rankers whose first pass prefers the oldest or the newest; keeps how many rows came."""

    def __init__(self, sign: float) -> None:
        self.version, self.sign = f"by age {sign}", sign
        self.calls: list[int] = []
        self.second, self.final, self.interest = PRIOR.second, PRIOR.final, PRIOR.interest

    @property
    def first(self) -> Pass:
        return self

    columns = (DENSE_INDEX["media_age"],)

    def score(self, features: FeatureMatrix) -> NDArray[np.float32]:
        self.calls.append(len(features))
        return np.float32(self.sign) * features.column("media_age")


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_rank_sorts_by_the_rankers_it_is_given_for_all_viewers_at_once(
    world: World, sign: float
) -> None:
    viewers, rankers = random_viewers(world, 8, 6), ByAge(sign)
    made = planned("user.popular(max_num_to_retrieve=20).exclude_seen().rank()")
    found = Executor().run(made, viewers, world, rankers, NOW)
    assert not found.report.failures()
    assert rankers.calls == [len(found.rows)]
    for viewer in range(len(viewers)):
        days_n = world.catalog.created_ts_n[found.candidates(viewer).media_n] // 86_400_000
        assert len(np.unique(days_n)) > 5
        assert (np.diff(sign * days_n) >= 0).all()


def test_marginal_relevance_spreads_authors(world: World) -> None:
    plain = planned("user.popular(max_num_to_retrieve=30)")
    spread = planned("user.popular(max_num_to_retrieve=30).diversify_by(user_id, method=mmr)")
    before, after = (
        Executor().run(made, [nobody(world)], world, PRIOR, NOW).candidates().media_n
        for made in (plain, spread)
    )
    author_n = world.catalog.author_n
    assert sorted(before.tolist()) == sorted(after.tolist())
    assert before[0] == after[0]
    assert len(set(author_n[after[:8]].tolist())) >= len(set(author_n[before[:8]].tolist()))


def test_the_example_of_ones_own_operator_in_the_guide_runs(world: World) -> None:
    page = (ROOT / "docs" / "igql.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [example] = [block for block in blocks if "@mine" in block]
    names: dict[str, Any] = {}
    exec(example, names)
    made = planned('user.popular_in(language="de").exclude_seen()', names["mine"])
    found = Executor().run(made, [nobody(world)], world, PRIOR, NOW)
    language_n = world.catalog.language_n[found.rows.row_n]
    assert len(found.rows) and (language_n == world.catalog.language_code("de")).all()
    assert not found.report.failures()


def test_alike_gives_the_heaviest_first_and_nothing_of_what_leads_to_them(world: World) -> None:
    weights = world.item_weights
    assert weights is not None
    viewers = random_viewers(world, 2, 6)
    query = planned("user.engaged(max_num_to_retrieve=20).alike(max_num_to_retrieve=9)")
    executed = Executor().run(query, viewers, world, PRIOR, NOW)
    assert len(executed.rows)
    [engaged] = [
        rows for node, rows in executed.nodes().items()
        if isinstance(node, OperatorNode) and node.operator.name == "engaged"
    ]  # fmt: skip
    bounds = engaged.bounds(len(viewers)).tolist()
    for at in range(len(viewers)):
        history, found = engaged.row_n[bounds[at] : bounds[at + 1]], executed.candidates(at)
        assert len(found.media_n) <= 9
        assert not set(found.media_n.tolist()) & set(history.tolist())
        assert (np.diff(found.score_n) <= 0).all() and (found.score_n > 0).all()
        added = [dict(zip(*weights.neighbours_of(one), strict=True)) for one in history.tolist()]
        for media, score, seed in zip(found.media_n, found.score_n, found.seed_n, strict=True):
            weight_h = [of.get(media, np.float32(0.0)) for of in added]
            assert score == pytest.approx(sum(weight_h))
            assert seed == engaged.seed_n[bounds[at] + int(np.argmax(weight_h))]


def test_alike_without_weights_is_empty_and_says_so() -> None:
    world = random_world(3, 60, 12, 5)
    viewers = [v for v in random_viewers(world, 2, 6) if len(v.positives(1))]
    for weights in (
        None,
        fit_item_weights(PositivePairs(NO_POSITIONS, NO_ROWS), ItemToItemConfig()),
    ):
        world.item_weights = weights
        executed = Executor().run(planned("user.engaged().alike()"), viewers, world, PRIOR, NOW)
        assert len(executed.rows) == 0 and not executed.report.failures()
        [told] = [one.notes for one in executed.report.steps.values() if one.notes]
        assert told == ["no item weights were fitted yet"]
