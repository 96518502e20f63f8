"""The experiment: changed, remembered, followed; bad ones are refused while it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from redis import Redis

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.memory_store import MemoryExperiments
from infra.metrics import EXPERIMENTS_REFUSED
from infra.redis_experiments import EXPERIMENT_KEY, HISTORY_KEY
from infra.stores import MAX_HISTORY, ExperimentError, ExperimentStore, Stores
from models.explore.experiment import Arm, Experiment
from models.igql.library import operators
from models.rankers.value import Weights
from streams.serving import live_experiment
from streams.serving.live_experiment import LiveExperiment
from streams.serving.live_queries import LiveQueries
from streams.serving.live_rankers import LiveRankers
from streams.serving.weights import (
    WeightsDesk,
    change_weights,
    set_experiment,
    stored,
    weights_history,
)
from streams.versions import RANKERS, Version, version_message
from tests.rankers import bundle
from tests.stores import empty_stores


class Record(NamedTuple):
    key: bytes
    value: bytes | None


TWO = Experiment(arms={"control": Arm(weights=Weights(like=3.0)), "other": Arm(feed=True)})


Overwrite = Callable[[bytes], None]


@pytest.fixture
def store(stores: Stores) -> ExperimentStore:
    return stores.experiments


@pytest.fixture
def overwrite(store: ExperimentStore, request: pytest.FixtureRequest) -> Overwrite:
    """Writes the document as somebody else would, past everything that checks."""
    if isinstance(store, MemoryExperiments):
        return partial(setattr, store, "document")
    url = request.getfixturevalue("redis_url")

    def write(document: bytes) -> None:
        with Redis.from_url(url) as redis:
            redis.set(EXPERIMENT_KEY, document)

    return write


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(artifacts_url=str(tmp_path / "artifacts"))


def live(store: ExperimentStore, settings: Settings) -> LiveExperiment:
    artifacts = ArtifactStore(settings.artifacts_url)
    return LiveExperiment(
        store, LiveQueries(settings, operators), LiveRankers(artifacts), artifacts
    )


def everybody(experiment: Experiment) -> bytes:
    return msgspec.json.encode(experiment)


async def test_nothing_stored_is_one_arm_with_the_default_weights(
    store: ExperimentStore, settings: Settings
) -> None:
    served = live(store, settings)
    await served.start()
    assert served.of("anybody").weights == Weights()
    assert (served.of("anybody").arm, served.refused) == ("control", None)
    assert await stored(store) == Experiment()


async def test_a_change_says_who_when_old_and_new(store: ExperimentStore) -> None:
    first = await change_weights(store, "ann", "", {"like": 2.0})
    second = await change_weights(store, "bob", "control", {"save": 0.5})
    assert first["old"] == msgspec.structs.asdict(Weights())
    assert first["new"] == second["old"] == msgspec.structs.asdict(Weights(like=2.0))
    assert second["new"] == msgspec.structs.asdict(Weights(like=2.0, save=0.5))
    assert await weights_history(store, 10) == [second, first]
    assert await weights_history(store, 1) == [second]
    assert [(row["who"], row["arm"]) for row in (first, second)] == [
        ("ann", "control"), ("bob", "control")
    ]  # fmt: skip
    assert 1_600_000_000_000 < first["at_ms"] <= second["at_ms"]


@pytest.mark.parametrize(
    ("arm", "changes", "said"),
    [
        ("", {"likes": 1.0}, "no weight 'likes'"),
        ("", {"like": float("nan")}, "weight like is nan"),
        ("", {"see_fewer": -1.0}, "weight see_fewer is -1.0"),
        ("", {"form": "x"}, "linear or log_linear"),
        ("nobody", {"like": 1.0}, "no arm 'nobody'; the arms are control"),
        ("", {}, "nothing to change"),
    ],
)
async def test_a_wrong_change_changes_nothing(
    store: ExperimentStore, arm: str, changes: dict[str, float], said: str
) -> None:
    with pytest.raises(ExperimentError, match=said):
        await change_weights(store, "ann", arm, changes)
    assert await store.read() is None
    assert await store.history() == []


async def test_changes_at_once_are_all_made(store: ExperimentStore) -> None:
    names = ("like", "save", "see_fewer")
    await asyncio.gather(*(change_weights(store, n, "", {n: 8.0}) for n in names))
    assert (await stored(store)).arm("control").weights == Weights(like=8, save=8, see_fewer=8)
    assert len(await store.history()) == 3


async def test_the_history_is_bounded(store: ExperimentStore) -> None:
    for number in range(MAX_HISTORY + 5):
        await store.change(f"{number}", number, lambda _: TWO)
    history = await store.history()
    assert [change.at_ms for change in history] == list(range(MAX_HISTORY + 4, 4, -1))
    assert await store.history(2) == history[:2]


async def test_entries_of_the_history_that_cannot_be_read_are_left_out(redis_url: str) -> None:
    async with empty_stores("redis", lambda: redis_url) as stores:
        with Redis.from_url(redis_url) as redis:
            redis.lpush(HISTORY_KEY, b"{}", b"garbage")
        await change_weights(stores.experiments, "ann", "", {"like": 2.0})
        assert [change.who for change in await stores.experiments.history()] == ["ann"]


async def test_what_nobody_could_have_set_is_refused_counted_once_and_overwritten_on_purpose(
    overwrite: Overwrite,
    store: ExperimentStore,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    served = live(store, settings)
    await change_weights(store, "ann", "", {"like": 2.0})
    await served.start()
    before = EXPERIMENTS_REFUSED._value.get()
    for bad in (b"garbage", b'{"arms": {"control": {"weights": {"like": -1}}}}'):
        overwrite(bad)
        assert not await served.reload() and not await served.reload()
        assert served.of("v").weights == Weights(like=2.0)
        assert served.refused is not None
    assert EXPERIMENTS_REFUSED._value.get() == before + 2
    assert "weight like is -1.0" in caplog.text
    # Nobody builds on it by accident.
    with pytest.raises(ExperimentError, match=r"experiments set FILE"):
        await change_weights(store, "bob", "", {"like": 4.0})
    await set_experiment(store, settings, "bob", everybody(TWO))
    assert await served.reload()
    assert (served.refused, served.experiment) == (None, TWO)
    assert (await store.history())[0].old is None


async def test_a_process_that_starts_on_a_bad_one_serves_the_one_before(
    overwrite: Overwrite, store: ExperimentStore, settings: Settings
) -> None:
    await set_experiment(store, settings, "ann", everybody(TWO))
    overwrite(b'{"arms": {"control": {"query": "none"}}}')
    served = live(store, settings)
    await served.start()
    assert served.experiment == TWO
    assert served.refused is not None and "the queries are explore" in served.refused


async def test_arms_get_their_queries_rankers_and_mode(
    store: ExperimentStore, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "queries"
    folder.mkdir()
    (folder / "explore.igql").write_text("user.popular()")
    (folder / "new.igql").write_text("user.fresh()")
    settings = settings.model_copy(update={"explore_query": str(folder)})
    trained = bundle(1)
    version = ArtifactStore(settings.artifacts_url).put(RANKERS, *trained.to_arrays())
    arms = {"control": Arm(), "new": Arm(query="new"), "old": Arm(rankers=version, feed=True)}
    await set_experiment(store, settings, "ann", everybody(Experiment(arms=arms)))
    served = live(store, settings)
    await served.start()
    found = {t.arm: t for t in (served.of(f"v{i}") for i in range(100))}
    assert found.keys() == arms.keys()
    assert {arm: of.query.name for arm, of in found.items()} == {
        "control": "explore", "new": "new", "old": "explore"
    }  # fmt: skip
    assert {arm: of.rankers.version for arm, of in found.items()} == {
        "control": "prior", "new": "prior", "old": trained.version
    }  # fmt: skip
    assert [arm for arm, of in found.items() if of.feed] == ["old"]


async def test_new_rankers_serve_in_every_arm_that_names_none(
    store: ExperimentStore, settings: Settings
) -> None:
    artifacts = ArtifactStore(settings.artifacts_url)
    named = artifacts.put(RANKERS, *bundle(1).to_arrays())
    newer = artifacts.put(RANKERS, *bundle(2).to_arrays())
    arms = {"control": Arm(), "old": Arm(rankers=named)}
    await set_experiment(store, settings, "ann", everybody(Experiment(arms=arms)))
    rankers = LiveRankers(artifacts)
    served = LiveExperiment(store, LiveQueries(settings, operators), rankers, artifacts)
    await served.start()
    message = version_message(Version(RANKERS, newer, 1))
    assert await rankers.apply([Record(RANKERS.encode(), message.value)])
    found = {t.arm: t.rankers.version for t in (served.of(f"v{i}") for i in range(100))}
    assert found == {"control": bundle(2).version, "old": bundle(1).version}


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        (b'{"query": "nwe"}', "arm a names the query 'nwe'; the queries are explore"),
        (b'{"rankers": "0123"}', "arm a names the rankers '0123', which cannot be used"),
        (b'{"colour": 1}', "unknown field `colour`"),
    ],
)
async def test_arms_that_cannot_be_served_are_not_stored(
    store: ExperimentStore, settings: Settings, arm: bytes, said: str
) -> None:
    with pytest.raises(ExperimentError) as error:
        await set_experiment(store, settings, "ann", b'{"arms": {"a": ' + arm + b"}}")
    assert said in str(error.value)
    assert await store.read() is None


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("told", [True, False], ids=["told", "polled"])
async def test_a_running_process_follows(
    overwrite: Overwrite,
    store: ExperimentStore,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    told: bool,
) -> None:
    # Told only, or polling only: each alone is enough.
    monkeypatch.setattr(live_experiment, "POLL_S", 30.0 if told else 0.02)
    served, changes = live(store, settings), []
    await served.start()
    following = asyncio.ensure_future(served.follow(lambda: changes.append(1)))
    if told:
        # What is said before it listens is lost.
        async with asyncio.timeout(20):
            while not changes:
                await change_weights(store, "ann", "", {"like": 2.0})
                await asyncio.sleep(0.05)
    else:
        overwrite(everybody(TWO))
    await until(lambda: bool(changes))
    assert served.of("v").weights == (Weights(like=2.0) if told else Weights(like=3.0))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_the_desk_of_the_api_tells_what_is_served_and_refuses_in_one_sentence(
    store: ExperimentStore, settings: Settings
) -> None:
    served = live(store, settings)
    desk = WeightsDesk(store, served)
    changed = await desk.set_weights("http", "", {"save": 9.0})
    assert changed["new"]["save"] == 9.0
    assert desk.weights()["arms"]["control"]["save"] == 2.0
    await served.reload()
    assert desk.weights() == {"arms": {"control": changed["new"]}, "refused": None}
    with pytest.raises(ValueError, match="no weight 'x'"):
        await desk.set_weights("http", "", {"x": 1.0})
