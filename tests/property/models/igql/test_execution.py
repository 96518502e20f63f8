"""The executor against the operators written per candidate in Python."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from models.igql.checker import load
from models.igql.errors import IgqlBranchError
from models.igql.executor import Executed, Executor
from models.igql.formatter import format_query
from models.igql.planner import plan
from models.igql.registry import Operator, SetType
from models.queries import environment, explore_text
from models.rankers.prior import PriorRankers
from models.world import World
from streams.bench.igql_reference import Candidate, ReferenceWorld, run
from tests.igql_sources import REGISTRY
from tests.igql_worlds import NOW, random_viewers, random_world

WRITTEN = (
    "liked(max_num_to_retrieve=5)",
    "saved()",
    "engaged(max_num_to_retrieve=8).account_nn(max_num_to_retrieve=12).posted_media({n})",
    "followed().account_nn(max_num_to_retrieve=4).posted_media(max_media_per_account=2)",
    "followed().posted_media({n})",
    "liked().posted_media(max_media_per_account=3)",
    "engaged().co_engaged(max_num_to_retrieve={n})",
    "liked().account_nn().posted_media(2).co_engaged(max_num_to_retrieve={n})",
    "engaged().alike(max_num_to_retrieve={n})",
    "followed().posted_media({n}).alike(max_num_to_retrieve={n})",
    "engaged(max_num_to_retrieve=6).similar_image(max_num_to_retrieve={n})",
    "popular(max_num_to_retrieve={n})",
    "fresh(max_num_to_retrieve={n})",
)


def call_of(source: Operator) -> str:
    """The source behind what it takes, and of accounts their media."""
    before = {SetType.MEDIA: "engaged(max_num_to_retrieve=6).", SetType.ACCOUNTS: "followed()."}
    limit = f"{source.limit}={{n}}" if source.limit else ""
    media = ".posted_media(2)" if source.gives is SetType.ACCOUNTS else ""
    return f"{before.get(source.takes, '')}{source.name}({limit}){media}"


#: With every source that is not among those written here.
SOURCES = (
    *WRITTEN,
    *(
        call_of(source)
        for source in REGISTRY
        if source.source and not any(f"{source.name}(" in call for call in WRITTEN)
    ),
)
AFTER = (
    "filter(non_recommendable_model_threshold=0.15)",
    "filter(nsfw=0.1, spam=0.3)",
    'filter(language="de", max_age_hours=1000)',
    'filter(media_age_hours < 900 or topic == "t1")',
    'filter(not (topic == "t0") and rank < 7)',
    "filter(score > 0.3)",
    "let(of{d}=user_id).diversify_by(of{d})",
    "let(one{d}=rank).filter(one{d} >= 2)",
    "exclude_seen()",
    "exclude_suppressed()",
    "exclude_followed()",
    "exclude_own_accounts(newest=3)",
    "rank(ranking_model=source_score)",
    "take({n})",
    "diversify_by(seed)",
    "diversify_by(topic, method=penalty, strength=0.7)",
    "diversify_by(user_id, method=round_robin)",
)


@st.composite
def chains(draw: st.DrawFn, depth: int = 2) -> str:
    number = st.sampled_from([1, 2, 5, 12, 40])
    if depth and draw(st.booleans()):
        parts = draw(st.lists(chains(depth=depth - 1), min_size=1, max_size=3))
        weights = [draw(st.sampled_from([0.1, 0.5, 1.0, 2.0])) for _ in parts]
        weights[1:] = [draw(st.sampled_from([0, weight])) for weight in weights[1:]]
        head = f"blend({', '.join(f'{w}: {p}' for w, p in zip(weights, parts, strict=True))})"
    else:
        head = f"user.{draw(st.sampled_from(SOURCES)).format(n=draw(number))}"
    calls = draw(st.lists(st.sampled_from(AFTER), max_size=3, unique=True))
    # A name is bound once on the way to the end.
    formatted = (call.format(n=draw(number), d=depth) for call in calls)
    return ".".join([head, *formatted])


def found(executed: Executed, viewer: int) -> list[Candidate]:
    of = executed.candidates(viewer)
    columns = (of.media_n, of.source_n, of.seed_n, of.score_n, of.rank_n)
    return [
        Candidate(row, of.sources[source], seed, score, rank)
        for row, source, seed, score, rank in zip(*(c.tolist() for c in columns), strict=True)
    ]


def plain(candidates: list[Candidate]) -> list[Candidate]:
    return [Candidate(c.row, c.source, c.seed, c.score, c.rank) for c in candidates]


PRIOR = PriorRankers()
SIZES = [(0, 1, 1), (12, 3, 2), (90, 20, 8)]
WORLDS = [random_world(seed, *sizes) for seed, sizes in enumerate(SIZES)]
REFERENCES = [ReferenceWorld(world, NOW) for world in WORLDS]


def agree(text: str, at: int, seed: int) -> None:
    world: World = WORLDS[at]
    try:
        query = load(text, environment(REGISTRY))
    except IgqlBranchError:
        reject()  # Two filters that leave nothing.
    viewers = random_viewers(world, seed, 5)
    made = plan(query, REGISTRY, format_query(query.tree))
    executor = Executor()
    batch = executor.run(made, viewers, world, PRIOR, NOW)
    assert not batch.report.failures()
    for number, viewer in enumerate(viewers):
        alone = found(executor.run(made, [viewer], world, PRIOR, NOW), 0)
        assert alone == plain(run(query, viewer, REFERENCES[at]))
        assert alone == found(batch, number)


@settings(max_examples=300, deadline=None)
@given(text=chains(), at=st.integers(0, 2), seed=st.integers(0, 1000))
@example(text=explore_text(), at=2, seed=1)
@example(text=explore_text(), at=1, seed=2)
@example(text=explore_text(), at=0, seed=3)
def test_kernels_and_reference_agree_one_by_one_and_in_a_batch(
    text: str, at: int, seed: int
) -> None:
    agree(text, at, seed)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(0, 60))
def test_nothing_served_comes_again_and_the_number_asked_for_still_does(
    seed: int, count: int
) -> None:
    world = WORLDS[2]
    query = load(explore_text().replace("take(500)", "take(10)"), environment(REGISTRY))
    made = plan(query, REGISTRY, format_query(query.tree))
    [viewer] = random_viewers(world, seed, 1)
    everything = load(explore_text(), environment(REGISTRY))
    there = Executor().run(
        plan(everything, REGISTRY, format_query(everything.tree)), [viewer], world, PRIOR, NOW
    )
    served = np.random.default_rng(seed).permutation(world.catalog.media_count)[:count]
    left = set(there.candidates().media_n.tolist()) - set(served.tolist())
    got = Executor().run(made, [viewer], world, PRIOR, NOW, [served.astype(np.int32)]).candidates()
    assert not set(got.media_n.tolist()) & set(served.tolist())
    assert len(got) >= min(10, len(left))
