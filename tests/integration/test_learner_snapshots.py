"""A learner that is killed resumes from a snapshot, and knows what one knows that read all."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infra.artifacts import ArtifactStore
from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.embedded import embedded_kafka
from infra.kafka import Message, prepare_cluster
from infra.supervisor import free_port
from infra.topics import EXAMPLES_TOPIC, SESSIONS_TOPIC
from models.arrays.stored import part_of
from models.examples.from_events import ExampleConfig
from models.examples.waiting_events import WaitingEvents
from models.ig2vec.histories import Histories
from streams.bench.learner import labelled_pages
from streams.clock import now_ms
from streams.learning.example_intake import ExampleIntake
from streams.local.stack import role_argv
from streams.records import skip
from streams.snapshots import LEARNER, About
from streams.topology import LEARNER as LEARNER_ROLE
from tests.integration.conftest import DEADLINE_S

#: Of a step in a history.
STEP_BYTES = 13
NOW = now_ms() - 60_000
PAGES = list(labelled_pages(12))


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Of a broker that holds nothing."""
    with embedded_kafka() as address:
        yield Settings(
            kafka_bootstrap_servers=address, partitions=2, session_timeout_s=3.0,
            rebalance_timeout_s=1.0, fetch_max_wait_ms=20,
            artifacts_url=str(tmp_path / "artifacts"),
        )  # fmt: skip


@contextmanager
def a_learner(settings: Settings, **env: str) -> Iterator[int]:
    """A learner in a process of its own, from when it is ready; killed. Gives its metrics' port."""
    names = (
        "kafka_bootstrap_servers", "partitions", "session_timeout_s", "rebalance_timeout_s",
        "fetch_max_wait_ms", "artifacts_url",
    )  # fmt: skip
    given = {name.upper(): str(getattr(settings, name)) for name in names}
    process = subprocess.Popen(
        role_argv(LEARNER_ROLE),
        env={**os.environ, **given, "METRICS_PORT": str(port := free_port()), **env},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield port
    finally:
        process.kill()
        with process:
            process.wait(DEADLINE_S)


def sent(start: int, end: int) -> list[Message]:
    """Media, likes, sessions and labelled pages of these numbers."""
    told: list[tuple[str, str, dict[str, Any]]] = []
    for n in range(start, end):
        viewer, media, author = f"viewer-{n % 5}", f"m{n}", f"a{n % 4}"
        told += [
            ("catalog.media", media, {"media_id": media, "author_id": author, "created_ts": n + 1}),
            (
                "events.like", viewer,
                {"event_id": f"e{n}", "viewer_id": viewer, "media_id": media, "ts": NOW + n},
            ),
            (
                SESSIONS_TOPIC, viewer,
                {
                    "viewer_id": viewer, "started_ts": NOW + n, "ended_ts": NOW + n,
                    "steps": [(author, "like", NOW + n)],
                },
            ),
        ]  # fmt: skip
    pages = [Message(EXAMPLES_TOPIC, f"v{n}", PAGES[n].value) for n in range(start, end)]
    return [Message(*of[:2], json.dumps(of[2]).encode()) for of in told] + pages


def holds(store: ArtifactStore, version: str) -> dict[str, Any]:
    """What a snapshot holds, in whatever order it was read."""
    arrays = store.get(LEARNER, version).arrays
    waiting = WaitingEvents(1)
    waiting.load(part_of(arrays, "training.unsorted"))
    waiting.load(part_of(arrays, "training.builder.waiting"))
    histories = Histories.from_arrays(part_of(arrays, "histories"))
    return {
        "events": sorted(event.event_id for _, event in waiting.each()),
        "sentences": sorted(map(sorted, histories.corpus())),
        "steps": len(arrays["histories.steps.bytes"]) // STEP_BYTES,
        "examples": sorted(arrays["training.intake.dense"].sum(axis=1).tolist()),
        "media": len(arrays["feed.world.catalog.media.author"]),
    }


async def written(store: ArtifactStore, events: int) -> str:
    """The first snapshot with everything of so many numbers."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            for version in store.list(LEARNER):
                found = holds(store, version)
                if len(found["events"]) == events == found["steps"]:
                    return version
            await asyncio.sleep(0.1)


def figure(port: int, name: str) -> float:
    """One of the metrics of a learner."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    [line] = [line for line in lines if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


async def test_a_learner_that_was_killed_knows_what_one_knows_that_read_all(settings):
    await prepare_cluster(settings)
    store = ArtifactStore(settings.artifacts_url)
    often = {"LEARNER_SNAPSHOT_EVERY_S": "0.3", "KEEP_LEARNER_SNAPSHOTS": "1000"}
    await send_in_batches(settings, sent(0, 8))
    with a_learner(settings, **often) as port:
        good = await written(store, 8)
        assert figure(port, "freshgrid_learner_snapshot_age_seconds") == -1
        # It goes on to hear of sessions, which its group commits, and is killed.
        await send_in_batches(settings, sent(8, 10))
        await written(store, 10)
    store.prune(LEARNER, 0, {good})
    # A newer one that is damaged is not used.
    about = msgspec.convert(store.manifest(LEARNER, good).meta, About)
    later = msgspec.structs.replace(about, made_ms=about.made_ms + 1)
    bad = store.put(LEARNER, store.get(LEARNER, good).arrays, msgspec.to_builtins(later))
    file = Path(settings.artifacts_url, LEARNER, bad, "training.intake.dense.npy")
    file.write_bytes(file.read_bytes()[:-1])
    await send_in_batches(settings, sent(10, 12))
    with a_learner(settings, **often) as port:
        shutil.rmtree(file.parent)
        assert figure(port, 'freshgrid_learner_snapshots_total{outcome="refused"}') == 1
        assert figure(port, 'freshgrid_learner_snapshots_total{outcome="used"}') == 1
        resumed = holds(store, await written(store, 12))
        assert figure(port, "freshgrid_learner_start_seconds") > 0
    assert resumed == {
        "events": sorted(f"e{n}" for n in range(12)),
        "sentences": sorted(
            sorted({f"a{n % 4}" for n in range(viewer, 12, 5)}) for viewer in range(5)
        ),
        "steps": 12,
        "examples": examples(),
        "media": 12,
    }


def examples() -> list[float]:
    """What labelled pages teach, as a learner holds it that reads all."""
    intake = ExampleIntake(1_000_000, ExampleConfig().negative_rate, skip)
    intake.read(PAGES)
    return sorted(intake.kept.all().to_arrays()["dense"].sum(axis=1).tolist())
