"""Promoting and rolling back in a running stack; a late starter ends with the same index."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from infra.artifacts import ArtifactStore
from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.embedded import embedded_kafka
from infra.kafka import Follower, Message, prepare_cluster
from infra.topics import EMBEDDINGS_TOPIC, VERSIONS_TOPIC
from models.events import ACCOUNTS_TOPIC
from models.world import World
from streams.clock import now_ms
from streams.learning.version_list import VersionError, list_versions, promote, rollback
from streams.serving.world_feed import WorldFeed, embedding_messages, removal_messages
from streams.topology import RANKER, followed
from streams.versions import IG2VEC, RANKERS, Version, version_message
from tests.rankers import bundle

#: Within which running processes follow: they ask the broker four times a second.
FOLLOW_S = 10.0


# Propagation: followed all along or read late, the index is the same.


class Reader:
    """A world that follows the topics, as a ranker does."""

    def __init__(self, settings, partitions):
        self.feed = WorldFeed(World())
        self._follower = Follower(settings, partitions, followed(RANKER))
        self._task = asyncio.create_task(self._follower.run(self._handle, self._polled))

    async def _handle(self, topic, records):
        self.feed.apply(topic, records)

    async def _polled(self):
        self.feed.polled(self._follower.lag)

    def state(self):
        space = self.feed.world.space
        return None if space is None else (space.name, len(space), space.index.state_hash())

    async def reaches(self, condition):
        async with asyncio.timeout(30):
            while not condition(self):
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.02)

    async def stop(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture(scope="module")
def broker():
    with embedded_kafka() as address:
        yield Settings(kafka_bootstrap_servers=address, partitions=3, fetch_max_wait_ms=20)


async def test_a_late_reader_ends_with_the_index_of_one_that_followed(broker):
    cluster = await prepare_cluster(broker)
    rng = np.random.default_rng(7)
    ids = [f"a{number}" for number in range(300)]

    def vectors(count):
        return rng.normal(size=(count, 8)).astype(np.float32)

    def named(space, accounts):
        return version_message(Version(IG2VEC, space, 1, space=space, accounts=accounts))

    def account(name, **fields):
        value = json.dumps({"account_id": name, **fields}).encode()
        return Message(ACCOUNTS_TOPIC, name, value)

    first = Reader(broker, cluster.partitions)
    steps = [
        [*embedding_messages("one", ids[:200], vectors(200)), named("one", 200)],
        [*embedding_messages("one", ids[50:90], vectors(40)), account("a1", disabled=True)],
        [*removal_messages("one", ids[80:100]), *embedding_messages("one", ["a85"], vectors(1))],
        # Another space comes while the live one goes on changing.
        [*embedding_messages("two", ids[100:], vectors(200)), *removal_messages("one", ["a60"])],
        [*embedding_messages("one", ids[:10], vectors(10)), named("two", 200)],
        # Left behind and half deleted; what is told of it now is nobody's neighbour.
        [*removal_messages("one", ids[:150]), *embedding_messages("one", ["a2"], vectors(1))],
        [account("a150", disabled=True), account("a151", disabled=True), account("a151")],
        [*removal_messages("two", ids[290:]), *embedding_messages("two", ["new"], vectors(1))],
    ]
    middle = None
    for at, step in enumerate(steps):
        await send_in_batches(broker, step)
        if at == 3:
            middle = Reader(broker, cluster.partitions)
        await asyncio.sleep(0.1)
    await send_in_batches(broker, embedding_messages("two", ["last"], vectors(1)))
    late = Reader(broker, cluster.partitions)
    readers = [first, middle, late]
    # 200 less ten removed and one disabled, and two new ones.
    wanted = ("two", 191)
    try:
        for reader in readers:
            await reader.reaches(lambda of: of.state() is not None and of.state()[:2] == wanted)
        assert len({reader.state() for reader in readers}) == 1
        space = late.feed.world.space
        assert space.name == "two"
        assert "a150" not in space.index
        assert "a151" in space.index
        assert "a1" not in space.index
    finally:
        for reader in readers:
            await reader.stop()


# Commands on a running stack.


def command(explore, *arguments, fails=False):
    """Run ``freshgrid versions``; returns its report, or what it said when it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", "versions", *arguments, "--json"],
        env=explore.env(),
        capture_output=True,
        text=True,
    )
    if fails:
        assert done.returncode == 1
        return done.stderr
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def live(explore, kind):
    return asyncio.run(list_versions(explore.settings, kind))["live"][kind]


@pytest.fixture
def artifacts(explore):
    return ArtifactStore(explore.settings.artifacts_url)


def follows(explore, kind, version):
    """Wait until the ranker says that it uses a version."""
    started = time.monotonic()
    explore.wait(lambda: explore.status()["versions"][kind] == version)
    assert time.monotonic() - started < FOLLOW_S


def told(explore, kind):
    records = explore.records(VERSIONS_TOPIC)
    found = [json.loads(record.value) for record in records]
    return [of for of in found if of["kind"] == kind and "version" in of]


def test_rankers_are_promoted_and_rolled_back_while_they_serve(explore, artifacts):
    old = live(explore, RANKERS)
    named = artifacts.get(RANKERS, old).meta["version"]
    assert explore.status()["versions"]["rankers"] == named
    other = bundle(seed=5)
    new = artifacts.put(RANKERS, *other.to_arrays())
    report = command(explore, "promote", RANKERS, new)
    assert (report["replaced"], report["previous"]) == (old, old)
    follows(explore, "rankers", other.version)
    report = asyncio.run(list_versions(explore.settings, RANKERS))
    rows = {row["version"]: row for row in report["versions"]}
    assert (rows[new]["live"], rows[old]["live"]) == (True, False)
    assert rows[new]["previous"] == old
    with pytest.raises(VersionError, match="is live already"):
        asyncio.run(promote(explore.settings, RANKERS, new))
    assert command(explore, "rollback", RANKERS)["version"] == old
    follows(explore, "rankers", named)
    # A page is made by what is live now.
    page = explore.page(explore.new_viewer()).json()
    assert page["versions"]["rankers"] == named


def test_versions_are_promoted_and_rolled_back_over_http(explore, artifacts):
    old = live(explore, RANKERS)
    other = bundle(seed=6)
    new = artifacts.put(RANKERS, *other.to_arrays())
    path = f"/v1/versions/{RANKERS}/{new}/promote"
    told = explore.http.post(path, json={"why": "ann tries"}).raise_for_status().json()
    assert (told["version"], told["replaced"]) == (new, old)
    follows(explore, "rankers", other.version)
    rows = explore.http.get("/v1/versions", params={"kind": RANKERS}).json()["versions"]
    assert [row["reason"] for row in rows if row["live"]] == ["ann tries"]
    refused = explore.http.post(path, json={})
    assert (refused.status_code, "is live already" in refused.json()["detail"]) == (409, True)
    back = explore.http.post(f"/v1/versions/{RANKERS}/rollback", json={})
    assert back.json()["version"] == old


def test_account_vectors_are_promoted_and_rolled_back_while_they_serve(explore, artifacts):
    old = live(explore, IG2VEC)
    artifact = artifacts.get(IG2VEC, old)
    before = explore.http.get("/v1/index").json()
    turned = {**artifact.arrays, "vectors": artifact.arrays["vectors"][:, ::-1].copy()}
    new = artifacts.put(IG2VEC, turned, artifact.meta)
    report = asyncio.run(promote(explore.settings, IG2VEC, new))
    assert report["accounts"] == len(artifact.arrays["ends"])
    follows(explore, "ig2vec", report["space"])
    index = explore.http.get("/v1/index").json()
    assert (index["space"], index["accounts"]) == (report["space"], report["accounts"])
    assert index["hash"] != before["hash"]
    # Read anew, the topics give the same index.
    inspected = run(explore, "inspect", "index")
    assert inspected == {name: index[name] for name in ("space", "accounts", "hash")}
    # The learner goes on from it, and tells so.
    explore.wait(lambda: [of["space"] for of in told(explore, IG2VEC)].count(report["space"]) == 2)

    back = asyncio.run(rollback(explore.settings, IG2VEC, None))
    assert (back["version"], back["replaced"]) == (old, new)
    follows(explore, "ig2vec", back["space"])
    explore.wait(lambda: [of["space"] for of in told(explore, IG2VEC)].count(back["space"]) == 2)
    _learn(explore, back["space"])


def _learn(explore, space):
    """A session that closes changes vectors of the space that is live."""
    viewer = explore.new_viewer()
    authors = [f"{viewer}-author-{number}" for number in range(3)]
    start = now_ms() - 40 * 60_000
    for at, author in enumerate(authors * 4):
        event = explore.event(viewer, f"{viewer}-{at}", author_id=author, ts=start + at * 1000)
        explore.send("events.like", event, viewer)
    explore.act("events.like", explore.event(viewer, "m", author_id="a-next"))

    def spaces():
        values = [json.loads(r.value) for r in explore.records(EMBEDDINGS_TOPIC) if r.value]
        return {of["space"] for of in values if of["account_id"] in authors}

    assert explore.wait(spaces) == {space}


@pytest.mark.parametrize("kind", [IG2VEC, RANKERS])
def test_a_damaged_version_is_refused_and_nothing_changes(explore, artifacts, kind):
    settings = explore.settings
    before, records = explore.status()["versions"], len(told(explore, kind))
    artifact = artifacts.get(kind, live(explore, kind))
    version = artifacts.put(kind, artifact.arrays, {**artifact.meta, "cut": kind})
    folder = Path(settings.artifacts_url) / kind / version
    file = next(folder.glob("*.npy"))
    file.write_bytes(file.read_bytes()[:-1])
    said = command(explore, "promote", kind, version, fails=True)
    assert f"{kind} {version} is refused, the live one stays" in said
    assert f"{file.name} has" in said
    for refused, wrong in (
        (promote(settings, kind, "0" * 24), "does not exist"),
        (promote(settings, "x", version), "no kind 'x'"),
        (rollback(settings, kind, version), "was not live before"),
    ):
        with pytest.raises(VersionError, match=wrong):
            asyncio.run(refused)
    assert explore.status()["versions"] == before
    assert len(told(explore, kind)) == records

    # Told of all the same, processes refuse it.
    space = "" if kind == RANKERS else "nowhere"
    message = version_message(Version(kind, version, now_ms(), space=space))
    explore.send(message.topic, message.value, message.key)
    if kind == RANKERS:
        time.sleep(1)
    else:
        # The learner goes back to what is whole and tells so.
        explore.wait(lambda: told(explore, kind)[-1]["version"] == artifact.version)
        before["ig2vec"] = told(explore, kind)[-1]["space"]
        follows(explore, "ig2vec", before["ig2vec"])
    assert explore.status()["versions"] == before


@pytest.mark.parametrize("kind", [IG2VEC, RANKERS])
def test_a_bad_record_is_answered_by_what_is_live(explore, kind):
    before, records = explore.status()["versions"], told(explore, kind)
    explore.send(VERSIONS_TOPIC, b'{"kind": "%s", "previous": "../../etc"}' % kind.encode(), kind)
    # Compaction may now take whatever stood before.
    explore.wait(lambda: len(told(explore, kind)) > len(records))
    assert told(explore, kind)[-1]["version"] == records[-1]["version"]
    assert live(explore, kind) == records[-1]["version"]
    assert explore.status()["versions"] == before


def run(explore, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments, "--json"],
        env=explore.env(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])
