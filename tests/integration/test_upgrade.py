"""An installation of commit 402795b, its state, artifacts and grids, taken over by this build."""

from __future__ import annotations

import base64
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from infra.artifacts import Artifact, ArtifactStore
from infra.backup_files import BackupFolder
from infra.config import Settings
from infra.embedded import embedded_kafka, embedded_redis
from models.ig2vec.model import Ig2Vec
from models.rankers.bundle import RankerBundle
from models.rankers.networks import ModelError
from streams.local.stack import EMBEDDED_KAFKA, role_argv, starting_stack
from streams.log.backup import SavedRecord
from streams.topology import LEARNER
from tests.integration.commands import report_of
from tests.integration.conftest import Explore
from tests.paths import FIXTURES

#: Who is in it; the last one liked one media just before.
VIEWERS = ("v15617", "v20317", "viewer-0")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The back-up of it."""
    folder = tmp_path_factory.mktemp("402795b")
    with tarfile.open(FIXTURES / "upgrade" / "installation_402795b.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    return folder


def artifact(installation: Path, kind: str) -> Artifact:
    store = ArtifactStore(str(installation / "artifacts"))
    [version] = store.list(kind)
    return store.get(kind, version)


def without_learner(role: str) -> tuple[str, ...]:
    """A learner would soon have rankers of its own; what comes before is looked at here."""
    idle = "import signal; print('ready', flush=True); signal.pause()"
    return (sys.executable, "-c", idle) if role == LEARNER else role_argv(role)


class Upgraded(NamedTuple):
    """Worker and ranker of this build on what that build left.

    Attributes:
        grids_then: viewer → the ready grid that was left.
    """

    explore: Explore
    grids_then: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def upgraded(installation: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    with (
        embedded_kafka() as kafka,
        embedded_redis() as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        settings = Settings(
            kafka_bootstrap_servers=kafka,
            redis_url=url,
            artifacts_url=str(tmp_path_factory.mktemp("artifacts")),
            **EMBEDDED_KAFKA,
        )
        report_of(settings, "restore", str(installation))
        with redis.Redis.from_url(url) as client:
            stored: Any = {viewer: client.get(f"grid:{{{viewer}}}") for viewer in VIEWERS}
        # Where roles find servers that a stack does not start.
        for name in ("kafka_bootstrap_servers", "redis_url", "artifacts_url", *EMBEDDED_KAFKA):
            patch.setenv(name.upper(), str(getattr(settings, name)))
        with starting_stack(settings, http_port=0, argv_of=without_learner) as stack:
            stack.wait_ready()
            explore = Explore(stack)
            explore.wait(lambda: explore.status()["caught_up"])
            yield Upgraded(explore, {viewer: json.loads(grid) for viewer, grid in stored.items()})
            explore.close()
            stack.check()


def test_a_grid_of_then_loses_what_is_taken_down(upgraded: Upgraded) -> None:
    explore, viewer = upgraded.explore, VIEWERS[1]
    gone = upgraded.grids_then[viewer]["items"][0]
    deleted = {name: gone[name] for name in ("media_id", "author_id")}
    explore.send("catalog.media", {**deleted, "created_ts": 1, "deleted": True}, gone["media_id"])

    def without() -> bool:
        stored = explore.stored_grid(viewer) or {"items": []}
        return gone["media_id"] not in [item["media_id"] for item in stored["items"]]

    explore.wait(without)


def test_everybody_is_answered_by_what_can_be_used(upgraded: Upgraded, installation: Path) -> None:
    explore = upgraded.explore
    versions = explore.status()["versions"]
    assert versions["ig2vec"] == artifact(installation, "ig2vec").version
    assert versions["rankers"] is None, "of another form: the prior serves until others are trained"
    assert explore.http.get("/v1/weights").json()["arms"]["control"]["like"] == 2.5
    for viewer in VIEWERS:
        page = explore.page(viewer).raise_for_status().json()
        assert len(page["items"]) == len(upgraded.grids_then[viewer]["items"]) == 25
        assert page["versions"]["ig2vec"] == versions["ig2vec"]
        assert page["versions"]["rankers"] == "prior"
    log = (explore.stack.run_dir / "ranker.log").read_text()
    first, second = (line for line in log.splitlines() if " ERROR " in line)
    assert f"{artifact(installation, 'rankers').version} refused" in first
    assert "train them again" in first
    assert "no rankers can be loaded" in second


def test_what_a_viewer_did_is_known_and_goes_on(upgraded: Upgraded, installation: Path) -> None:
    explore, folder = upgraded.explore, BackupFolder(str(installation))
    liked = [
        json.loads(record.value or b"")
        for number in range(explore.settings.partitions)
        for record in folder.read_rows(f"log/events.like/{number}.gz", SavedRecord)
    ]
    assert {like["viewer_id"] for like in liked} == set(VIEWERS)
    before = {viewer: explore.liked(viewer) for viewer in VIEWERS}
    assert all(like["media_id"] in before[like["viewer_id"]] for like in liked)
    viewer = VIEWERS[-1]
    grid = explore.act("events.like", explore.event(viewer, "m4", author_id="a8635271"))
    assert grid["items"]
    assert explore.liked(viewer) == [*before[viewer], "m4"]


def test_a_cursor_of_then_is_refused_with_what_to_do(upgraded: Upgraded) -> None:
    viewer = VIEWERS[0]
    series = str(upgraded.grids_then[viewer]["generated_at_ms"])
    plain = json.dumps([viewer, series, 1], separators=(",", ":")).encode()
    cursor = base64.urlsafe_b64encode(plain).decode().rstrip("=")
    answer = upgraded.explore.page(viewer, cursor)
    assert answer.status_code == 400
    assert "without a cursor" in answer.json()["detail"]


def test_vectors_are_learned_on(installation: Path) -> None:
    found = artifact(installation, "ig2vec")
    model = Ig2Vec.load_arrays(found.arrays, found.meta)
    accounts, vectors_nd = model.vectors()
    assert len(accounts) == len(vectors_nd) == 6


def test_rankers_of_then_are_refused_with_what_to_do(installation: Path) -> None:
    found = artifact(installation, "rankers")
    with pytest.raises(ModelError, match="form 2, this build has 3; train them again"):
        RankerBundle.from_arrays(found.arrays, found.meta)
