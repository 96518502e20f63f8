"""Candidate sets on their way: ranker → Kafka → learner → passes distilled from them."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np
import pytest

from infra.artifacts import ArtifactStore
from infra.kafka import Follower
from infra.metrics import CANDIDATE_SETS
from infra.redis_store import viewer_key
from infra.topics import CANDIDATES_TOPIC
from models.examples.candidate_log import LoggedCandidates
from models.examples.candidate_sets import DISTILLATION_VIEWERS
from models.explore.impressions import unpack_features
from models.world import World
from streams.ranking import MANY_WAIT
from streams.training import ENOUGH_LOGGED, Training
from streams.versions import RANKERS
from tests.integration.test_explore import CATALOGUE

HALF_AN_HOUR_MS = 30 * 60_000
#: More than the fixture has, fewer than the test sends.
POSITIVES = 40
DAMAGED = b"{"


@pytest.fixture(scope="module", autouse=True)
def every_grid_is_sampled():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMPLED_GRIDS_PER_MINUTE", "1e9")
        patch.setenv("TRAIN_EVERY_POSITIVES", str(POSITIVES))
        yield


def logged(explore):
    records = explore.records(CANDIDATES_TOPIC)
    found = [
        (r.key, msgspec.json.decode(r.value, type=LoggedCandidates))
        for r in records
        if r.value != DAMAGED
    ]
    assert all(key.decode() == one.viewer_id for key, one in found)
    return {one.viewer_id: one for _, one in found}


FEW = MANY_WAIT // 2


def test_the_learner_distils_from_what_the_ranker_logged(explore):
    viewers = [explore.new_viewer() for _ in range(ENOUGH_LOGGED + 10)]
    # Of whom nothing is known nothing is logged. Of grids that are made at once few are drawn: no
    # more wait here than are made one by one.
    for first in range(0, len(viewers), FEW):
        some = viewers[first : first + FEW]
        for viewer in some:
            ts = explore.event(viewer, "m")["ts"]
            follow = {"event_id": f"{viewer}-f", "viewer_id": viewer, "author_id": "nobody"}
            explore.send("events.follow", {**follow, "ts": ts, "kind": "follow"}, viewer)
        explore.wait(lambda some=some: logged(explore).keys() >= {*some})
    known = [viewer_key(viewer) for viewer in viewers]
    explore.wait(lambda: explore.redis.exists(*known) == len(known))
    pages = {viewer: explore.page(viewer).json() for viewer in viewers}
    sets = explore.wait(lambda: (found := logged(explore)).keys() >= pages.keys() and found)
    for viewer, page in pages.items():
        one = sets[viewer]
        assert page["generated_at_ms"] <= one.ranked_ms
        assert {**one.versions, "index": 0} == {**page["versions"], "index": 0}
        features = unpack_features(one.features, one.candidates, one.versions["features"])
        assert len(features) > len(page["items"])
    # A damaged one costs nothing.
    explore.send(CANDIDATES_TOPIC, DAMAGED, viewers[0])

    # Now there is enough to train on from the beginning again.
    artifacts = ArtifactStore(explore.settings.artifacts_url)
    before = set(artifacts.list(RANKERS))
    assert metric(artifacts, before, "logged_sets") == [0.0] * len(before)
    then = explore.event("v", "m")["ts"] - HALF_AN_HOUR_MS
    media = list(CATALOGUE)
    for number, viewer in enumerate(viewers):
        for action in ("view", "like"):
            shown = explore.event(viewer, media[number % len(media)], ts=then + number)
            explore.send(f"events.{action}", shown, viewer)
    explore.act("events.view", explore.event(viewers[0], media[0]))
    new = explore.wait(lambda: set(artifacts.list(RANKERS)) - before)
    [used] = metric(artifacts, new, "logged_sets")
    [all_sets] = metric(artifacts, new, "candidate_sets")
    assert ENOUGH_LOGGED <= used < all_sets <= used * 1.2


async def test_a_learner_that_starts_later_reads_them_again(explore, tmp_path):
    settings = explore.settings
    follower = Follower(settings, {CANDIDATES_TOPIC: settings.partitions}, [CANDIDATES_TOPIC])
    training = Training(settings, World(), ArtifactStore(str(tmp_path)), None)
    damaged = CANDIDATE_SETS.labels("damaged")._value.get()

    async def handle(topic, records):
        training.candidates(records)

    following = asyncio.create_task(follower.run(handle))
    # Rankers go on with what the first test sent: more may be logged meanwhile.
    async with asyncio.timeout(30):
        while len(training._logged) < min(len(logged(explore)), DISTILLATION_VIEWERS):
            await asyncio.sleep(0.05)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    sets = training._candidate_sets()
    used = len(np.unique(sets.groups_n[sets.logged_n]))
    assert used == len(training._logged) >= ENOUGH_LOGGED
    assert CANDIDATE_SETS.labels("damaged")._value.get() == damaged + 1


def metric(artifacts, versions, name):
    return [artifacts.get(RANKERS, version).meta["metrics"][name] for version in versions]
