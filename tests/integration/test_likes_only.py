"""Events of likes alone, no exposures: rankers are trained, item weights reach the ranker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from infra.artifacts import ArtifactStore
from infra.config import Settings
from models.evaluation.ranker_gate import RankerDecision
from streams.clock import now_ms
from streams.learning.version_list import list_versions, promote
from streams.local.scenario import rankers_refused
from streams.local.stack import starting_stack
from streams.versions import DECISION_NOTE, ITEMS, RANKERS
from tests.integration.conftest import Explore

TASTES, MEDIA, VIEWERS, LIKES = 3, 60, 150, 12
#: Taste of every sixth viewer: what is popular is what one of three likes, so there is more to
#: learn than popularity and likeness as the prior has them.
SHARES = (0, 0, 0, 0, 1, 2)
DAY_MS = 24 * 3600 * 1000


def likes(rng: np.random.Generator, start_ms: int) -> list[dict]:
    """Viewers who like media of their own taste, one or two a day."""
    found = []
    for viewer in range(VIEWERS):
        liked = rng.permutation(MEDIA // TASTES)[:LIKES] * TASTES + SHARES[viewer % 6]
        for at, media in enumerate(liked.tolist()):
            # Three in a session, so that account vectors can be learned.
            ts = start_ms + (at // 3) * DAY_MS + (at % 3) * 120_000 + int(rng.integers(10**7))
            found.append(
                {
                    "event_id": f"e{viewer}-{at}",
                    "viewer_id": f"v{viewer}",
                    "media_id": f"m{media}",
                    "author_id": f"a{media % 15}",
                    "ts": ts,
                }
            )
    return sorted(found, key=lambda event: event["ts"])


@pytest.fixture(scope="module")
def liked(argv_of: Callable[[str], tuple[str, ...]]) -> Iterator[Explore]:
    """A stack that was told of nothing but likes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "ARTIFACTS_URL", "HTTP_PORT"):
            patch.delenv(name, raising=False)
        patch.setenv("BOOTSTRAP_SESSIONS", "100")
        patch.setenv("BOOTSTRAP_CHOICES", "210")
        patch.setenv("ITEMS_EVERY_S", "1")
        with starting_stack(Settings(), http_port=0, argv_of=argv_of) as stack:
            stack.wait_ready()
            started = Explore(stack)
            start_ms = now_ms() - 5 * DAY_MS
            for media in range(MEDIA):
                started.send(
                    "catalog.media",
                    {
                        "media_id": f"m{media}",
                        "author_id": f"a{media % 15}",
                        "created_ts": start_ms - DAY_MS,
                    },
                    f"m{media}",
                )
            started.wait(lambda: started.status()["media"] == MEDIA)
            for event in likes(np.random.default_rng(4), start_ms):
                started.send("events.like", event, event["viewer_id"])
            yield started
            started.close()
            stack.check()


def test_likes_alone_train_rankers_and_their_grids_have_what_is_liked_alike(liked):
    def trained() -> dict | None:
        assert (reason := rankers_refused(liked.stack)) is None, reason
        status = liked.status()
        return status if all(status["versions"].values()) and status["caught_up"] else None

    status = liked.wait(trained)
    artifacts = ArtifactStore(liked.settings.artifacts_url)
    live = asyncio.run(list_versions(liked.settings, None))["live"]
    assert status["versions"]["items"] == live[ITEMS]
    metrics = artifacts.get(RANKERS, live[RANKERS]).meta["metrics"]
    assert metrics["choices"] >= 210
    decision = artifacts.read_note(RANKERS, live[RANKERS], DECISION_NOTE, RankerDecision)
    assert decision.promote
    assert decision.grids.ndcg > decision.grids.random

    # Somebody new, of the second taste.
    viewer = liked.new_viewer()
    for media in (1, 4, 7):
        event = liked.event(viewer, f"m{media}", author_id=f"a{media % 15}")
        grid = liked.act("events.like", event)
    assert grid["versions"]["items"] == live[ITEMS]
    alike = [item for item in grid["items"] if "alike" in item["source"]]
    assert len(alike) >= 3
    tastes = [int(item["media_id"][1:]) % TASTES for item in alike[:5]]
    assert tastes.count(1) >= len(tastes) - 1


def test_item_weights_are_rolled_forth_and_back_like_everything_else(liked):
    artifacts = ArtifactStore(liked.settings.artifacts_url)
    live = asyncio.run(list_versions(liked.settings, ITEMS))["live"][ITEMS]
    stored = artifacts.get(ITEMS, live)
    other = artifacts.put(ITEMS, stored.arrays, {**stored.meta, "again": True})
    report = asyncio.run(promote(liked.settings, ITEMS, other))
    assert (report["kind"], report["replaced"]) == (ITEMS, live)
    liked.wait(lambda: liked.status()["versions"]["items"] == other)
    viewer = liked.new_viewer()
    assert json.loads(liked.page(viewer).text)["versions"]["items"] == other
