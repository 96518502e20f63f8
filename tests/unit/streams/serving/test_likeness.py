"""What is like other things, what everybody sees, and a grid by other weights."""

from __future__ import annotations

import numpy as np
import pytest

from infra.config import Settings
from infra.http.similar import Session, similar_routes
from models.actions import Action
from models.events import Account, Integrity, Media, MediaEvent
from models.explore.treatment import Treatment
from models.igql.library import operators
from models.rankers.value import InvalidWeightsError
from models.world import World, WorldConfig
from streams.clock import now_ms
from streams.serving.directory import Directory
from streams.serving.likeness import Likenesses
from streams.serving.live_queries import LiveQueries
from streams.serving.shelves import Shelves
from tests.explorers import explorer_of
from tests.http import client_of

NOW = now_ms()


@pytest.fixture
def world() -> World:
    """Ten authors on a half circle with four posts each; what people liked together."""
    world = World(WorldConfig(details=True))
    topics = ["sea" if n % 2 else "sun" for n in range(10)]
    world.apply_accounts([Account(f"a{n}", (topics[n],)) for n in range(10)])
    world.apply_media(
        [
            Media(f"m{n}-{k}", f"a{n}", NOW - 1000 * (10 * k + n), topics=(topics[n],))
            for n in range(10)
            for k in range(4)
        ]
        + [Media("risky", "a0", NOW, Integrity(spam=0.5), ("sun",))]
    )
    angle_n = np.linspace(0, np.pi, 10)
    vectors = np.stack([np.cos(angle_n), np.sin(angle_n)], axis=1).astype(np.float32)
    world.apply_embeddings("s", [f"a{n}" for n in range(10)], vectors)
    world.apply_events(
        [
            (Action.LIKE, MediaEvent(f"e{v}{m}", f"v{v}", m, NOW - 1000 + v, m[1:2]))
            for v in range(5)
            for m in ("m2-0", "m7-0")
        ]
        + [(Action.LIKE, MediaEvent("x", "v", "nobody posted it", NOW))]
    )
    return world


@pytest.fixture
def likeness(world: World) -> Likenesses:
    queries = LiveQueries(Settings(), operators)
    return Likenesses(
        Settings(), world, Directory(world), queries, lambda _: Treatment(query=queries.of())
    )


def test_accounts_are_near_the_mean_of_those_named(likeness: Likenesses) -> None:
    near = likeness.accounts(["a2", "a4", "nobody"], 3).accounts
    assert near[0].account.account_id == "a3"
    assert {one.account.account_id for one in near}.isdisjoint({"a2", "a4"})
    assert [one.score for one in near] == sorted((one.score for one in near), reverse=True)
    with pytest.raises(LookupError, match="has a vector"):
        likeness.accounts(["nobody"], 3)


def test_media_are_like_all_that_are_named(likeness: Likenesses) -> None:
    found = likeness.media(["m2-0"], 40).media
    names = [one.media.media_id for one in found]
    assert "m2-0" not in names
    # What the same viewers liked, and what accounts near its author post.
    assert {one.source for one in found if one.media.media_id == "m7-0"} == {"co_engaged"}
    assert {"m1-0", "m3-0"} <= set(names)
    assert "risky" not in names
    assert [one.media.media_id for one in likeness.media(["m2-0"], 2).media] == names[:2]
    with pytest.raises(LookupError, match="nobody"):
        likeness.media(["nobody"], 3)


def test_a_session_is_a_viewer_without_an_id(likeness: Likenesses) -> None:
    session = Session.model_validate(
        {
            "actions": [
                {"action": "view", "media_id": "m9-0"},
                {"action": "like", "media_id": "m2-0"},
            ]
        }
    )
    found = [one.media.media_id for one in likeness.media_of_session(session).media]
    # What it saw and liked is not shown again; a view wants no more of the same.
    assert {"m2-0", "m9-0"}.isdisjoint(found)
    assert "m7-0" in found
    near = likeness.accounts_of_session(session).accounts
    assert {one.account.account_id for one in near[:2]} == {"a1", "a3"}


async def test_the_routes_check_what_they_are_asked(likeness: Likenesses) -> None:
    async with client_of(similar_routes(likeness)) as client:
        good = await client.get("/v1/similar/media", params={"media_id": ["m2-0", "m2-1"]})
        wrong = await client.post(
            "/v1/similar/media", json={"actions": [{"action": "lik", "media_id": "m"}]}
        )
        statuses = [
            (await client.get("/v1/similar/media")).status_code,
            (await client.get("/v1/similar/media?media_id=nobody")).status_code,
            (await client.post("/v1/similar/media", json={"actions": []})).status_code,
            (
                await client.post(
                    "/v1/similar/media",
                    json={"actions": [{"action": "like", "media_id": "m", "ts": -1}]},
                )
            ).status_code,
        ]
    assert good.status_code == 200
    assert (wrong.status_code, "like, save" in wrong.json()["detail"]) == (422, True)
    assert statuses == [422, 404, 422, 422]


async def test_shelves_hold_what_may_be_recommended(world: World) -> None:
    shelves = Shelves(world, Directory(world))
    assert {one.media_id for one in shelves.popular(None, 9).media} == {"m2-0", "m7-0"}
    assert [one.media_id for one in shelves.popular("sea", 9).media] == ["m7-0"]
    assert [one.media_id for one in shelves.fresh(None, 2).media] == ["m0-0", "m1-0"]
    assert shelves.fresh("nothing has it", 2).media == []
    world.apply_accounts([Account("a7", private=True)])
    assert shelves.popular("sea", 9).media == []
    told = await shelves.topics()
    assert [(one.topic, one.media, one.accounts) for one in told.topics] == [
        ("sun", 21, 5), ("sea", 20, 4),
    ]  # fmt: skip
    shelf = await shelves.topic("sun", 1)
    assert [one.media_id for one in (*shelf.popular, *shelf.fresh)] == ["m2-0", "m0-0"]
    with pytest.raises(LookupError, match="nothing has the topic"):
        await shelves.topic("moon", 1)


async def test_other_weights_give_another_order_and_touch_nothing(world: World) -> None:
    explorer = explorer_of(world, Settings(grid_size=10))
    same = await explorer.rerank("v", {})
    assert [one.before for one in same.items] == list(range(10))
    assert same.left == []
    other = await explorer.rerank("v", {"like": 0.0, "see_fewer": 500.0})
    assert other.weights["see_fewer"] == 500.0
    assert other.weights["save"] == same.weights["save"]
    assert [one.position for one in other.items] == list(range(10))
    kept = [one.before for one in other.items if one.before is not None]
    assert len(kept) + len(other.left) == 10
    for one in other.items:
        if one.terms:
            penalty = one.terms["penalty"]
            total = sum(of for name, of in one.terms.items() if name != "penalty") - penalty
            assert one.value == pytest.approx(total, abs=1e-6)
            assert one.terms["like"] == 0.0
    with pytest.raises(InvalidWeightsError, match="there is no weight 'lik'"):
        await explorer.rerank("v", {"lik": 1.0})
