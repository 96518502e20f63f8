"""Everything but the back-up is destroyed, and the same grids are served after."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.config import Settings
from infra.embedded import embedded_kafka, embedded_redis
from streams.local.stack import EMBEDDED_KAFKA, role_argv, starting_stack
from streams.topology import LEARNER
from tests.integration.commands import freshgrid, refusal, report_of
from tests.integration.conftest import Explore, Pipeline
from tests.kafka.apache_kafka import ApacheKafka, apache_kafka_missing

#: Of the fixture, and one who comes by a live event.
WATCHED = 8


@pytest.fixture(scope="module")
def saved(explore: Explore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A back-up of a stack that runs, with weights that somebody set."""
    explore.http.put("/v1/weights", json={"who": "test", "weights": {"like": 2.5}})
    folder = tmp_path_factory.mktemp("backup") / "first"
    report = report_of(explore.settings, "backup", str(folder))
    assert min(report["keys"], report["records"], report["artifacts"]) > 0
    return folder


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Settings]:
    """Servers and an artifact store that hold nothing."""
    with embedded_kafka() as kafka, embedded_redis() as redis:
        yield Settings(
            kafka_bootstrap_servers=kafka,
            redis_url=redis,
            artifacts_url=str(tmp_path / "artifacts"),
            **EMBEDDED_KAFKA,
        )


def shown(explore: Explore, viewer: str) -> tuple[Any, ...]:
    page = explore.page(viewer).raise_for_status().json()
    return page["versions"], [(item["media_id"], item["value"]) for item in page["items"]]


def without_learner(role: str) -> tuple[str, ...]:
    """A learner fits item weights anew when it starts, and grids follow them."""
    idle = "import signal; print('ready', flush=True); signal.pause()"
    return (sys.executable, "-c", idle) if role == LEARNER else role_argv(role)


def state_hash(settings: Settings) -> str:
    report = report_of(settings, "replay", "--from-offset", "0", "--offline", "--state-hash")
    return str(report["state_hash"])


def test_the_same_grids_are_served_after_everything_else_is_gone(
    explore: Explore,
    saved: Path,
    empty: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewers = [key.decode()[6:-1] for key in sorted(explore.redis.keys("grid:*"))][:WATCHED]
    assert len(viewers) == WATCHED
    # Asking may have them made anew; the back-up is of those that are ready then.
    for viewer in viewers:
        shown(explore, viewer)
    explore.wait(lambda: not explore.status()["waiting_viewers"])
    before = {viewer: shown(explore, viewer) for viewer in viewers}
    versions = explore.status()["versions"]
    folder = tmp_path / "second"
    report = report_of(explore.settings, "backup", str(folder))
    log_hash = state_hash(explore.settings)

    restored = report_of(empty, "restore", str(folder))
    assert {name: restored[name] for name in ("keys", "records", "artifacts", "bytes")} == {
        name: report[name] for name in ("keys", "records", "artifacts", "bytes")
    }
    assert state_hash(empty) == log_hash
    # Where roles find servers that a stack does not start.
    for name in ("kafka_bootstrap_servers", "redis_url", "artifacts_url", *EMBEDDED_KAFKA):
        monkeypatch.setenv(name.upper(), str(getattr(empty, name)))
    with starting_stack(empty, http_port=0, argv_of=without_learner) as stack:
        stack.wait_ready()
        again = Explore(stack)
        again.wait(lambda: again.status()["caught_up"])
        assert again.status()["versions"] == versions
        assert {viewer: shown(again, viewer) for viewer in viewers} == before
        weights = again.http.get("/v1/weights").json()
        assert weights == explore.http.get("/v1/weights").json()
        # What was done before the back-up is done, and what comes now is folded.
        events = again.inspect(viewers[0])
        assert events == explore.inspect(viewers[0])
        viewer = again.new_viewer()
        grid = again.act("events.like", again.event(viewer, "m1", author_id="a1"))
        assert grid["items"]
        again.close()


def test_what_is_not_empty_is_not_restored_into(explore: Explore, saved: Path) -> None:
    done = freshgrid(explore.settings, "restore", str(saved))
    assert (done.returncode, done.stdout) == (1, "")
    assert "holds records" in done.stderr.splitlines()[-1]


def test_a_folder_with_something_in_it_is_not_saved_into(explore: Explore, saved: Path) -> None:
    assert "is not empty" in refusal(explore.settings, "backup", str(saved))


def test_a_damaged_back_up_changes_nothing(saved: Path, empty: Settings, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(saved, copy)
    store = copy / "store.gz"
    store.write_bytes(store.read_bytes()[:-20] + bytes(20))
    done = freshgrid(empty, "restore", str(copy))
    assert done.returncode == 1
    assert "store.gz is not as it was written" in done.stderr
    (copy / "manifest.json").unlink()
    assert "is no back-up" in freshgrid(empty, "restore", str(copy)).stderr
    # Nothing was changed: a whole one is taken.
    report_of(empty, "restore", str(saved))


@contextmanager
def on_apache_kafka(folder: Path) -> Iterator[Settings]:
    """Empty servers of which nothing is left after: the log is on disk, and goes with them."""
    with ApacheKafka(folder / "kafka") as kafka, embedded_redis() as redis:
        yield Settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers,
            redis_url=redis,
            artifacts_url=str(folder / "artifacts"),
            partitions=int(str(EMBEDDED_KAFKA["partitions"])),
            session_timeout_s=4.0,
        )
    shutil.rmtree(folder)


def test_apache_kafka_with_all_it_holds_may_be_lost(saved: Path, tmp_path: Path) -> None:
    """Restored, gone on, saved, destroyed, restored elsewhere, and gone on once more."""
    if reason := apache_kafka_missing():
        pytest.skip(reason)
    folder = tmp_path / "of-apache"
    with on_apache_kafka(tmp_path / "first") as settings:
        report_of(settings, "restore", str(saved))
        first = Pipeline(settings)
        viewer = first.new_viewer()
        first.start_worker()
        first.send("events.like", first.event(viewer, "m1", author_id="a1"), viewer)
        first.wait(lambda: first.liked(viewer) == ["m1"])
        assert first.stop_worker() == 0
        first.producer.close()
        report = report_of(settings, "backup", str(folder))
        before, log_hash = first.state(viewer), state_hash(settings)
    with on_apache_kafka(tmp_path / "second") as settings:
        restored = report_of(settings, "restore", str(folder))
        counted = ("keys", "records", "artifacts", "bytes")
        assert [restored[name] for name in counted] == [report[name] for name in counted]
        assert state_hash(settings) == log_hash
        again = Pipeline(settings)
        assert again.state(viewer).strong.entries() == before.strong.entries()
        again.start_worker()
        like = again.event(viewer, "m2", author_id="a1", event_id="after all was lost")
        again.send("events.like", like, viewer)
        again.wait(lambda: again.liked(viewer) == ["m1", "m2"])
        # What was applied before is not applied again.
        assert [counter.count for counter in again.counters(viewer)["a1"].values()] == [2]
        assert again.stop_worker() == 0
        again.producer.close()
