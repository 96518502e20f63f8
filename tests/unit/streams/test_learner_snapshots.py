"""What a learner has read, stored and taken in again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from infra.artifacts import ArtifactStore
from infra.config import Settings
from models.arrays.stored import StoredArraysError, content_hash
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC
from models.explore.impressions import pack_features
from models.feature_schema import FEATURE_VERSION, FeatureMatrix
from models.viewers.forgotten import Forgotten, ForgottenViewers
from models.world import World
from streams.bench.learner import labelled_pages
from streams.clock import now_ms
from streams.embeddings import Embeddings
from streams.records import ClosedSession
from streams.roles.learner_snapshots import (
    Parts,
    SessionPlaces,
    stored_arrays,
    stored_feed,
)
from streams.serving.world_feed import WorldFeed, world_config
from streams.snapshots import Copy, Stored
from streams.training import Training

NOW = now_ms()
THEN = NOW - 3_600_000
MINUTE = 60_000
SETTINGS = Settings()
PAGES = list(labelled_pages(40))


class Line(NamedTuple):
    value: bytes
    key: bytes = b""
    offset: int = 0
    partition: int = 0
    timestamp: int = NOW


def line(key: str, **value: Any) -> Line:
    return Line(json.dumps(value).encode(), key.encode())


def parts_of(feed: WorldFeed, folder: Path) -> Parts:
    artifacts = ArtifactStore(str(folder))
    embeddings = Embeddings(SETTINGS, artifacts, None, None, feed.world)
    return Parts(feed, embeddings, Training(SETTINGS, feed.world, artifacts, None))


async def read(parts: Parts, start: int, end: int) -> None:
    """What a log says of these minutes, as the follower and the group of sessions hand it over."""
    for n in range(start, end):
        ts, viewer = THEN + n * MINUTE, f"viewer-{n % 3}"
        media = line(f"m{n}", media_id=f"m{n}", author_id=f"a{n % 5}", created_ts=ts)
        parts.feed.apply(MEDIA_TOPIC, [media])
        parts.feed.apply(ACCOUNTS_TOPIC, [line(f"a{n % 5}", account_id=f"a{n % 5}")])
        for number, action in enumerate(("view", "like", "save")):
            event = line(
                viewer, event_id=f"e{n}{action}", viewer_id=viewer, ts=ts + number,
                media_id=f"m{max(n - number, 0)}",
            )  # fmt: skip
            parts.training.events(f"events.{action}", [event])
        follow = {"author_id": "a1", "kind": "follow", "event_id": f"e{n}follow", "ts": ts}
        parts.training.events("events.follow", [line(viewer, viewer_id=viewer, **follow)])
        found = {
            "viewer_id": viewer, "ranked_ms": ts, "candidates": 4,
            "features": pack_features(FeatureMatrix.empty(4)),
            "versions": {"features": FEATURE_VERSION, "query": "q"},
        }  # fmt: skip
        parts.training.candidates([line(viewer, **found)])
        steps = [(f"a{n % 5}", "like", ts), (f"a{(n + 1) % 5}", "save", ts + 1)]
        parts.embeddings.closed([ClosedSession(viewer, ts, ts + 1, steps)], lambda: None)
        if n % 2:
            # What waits to be put in order by time is stored, too.
            await parts.training.polled(0)
    await parts.training.examples(PAGES[start:end])


def snapshot(parts: Parts, forgotten: ForgottenViewers) -> Copy:
    copy = asyncio.run(parts.copy(forgotten, SessionPlaces({})))
    content = msgspec.json.decode(msgspec.json.encode(copy.content))
    return copy._replace(arrays=dict(stored_arrays(copy.arrays, copy.forgotten)), content=content)


def started(copy: Copy, forgotten: ForgottenViewers, folder: Path, made_ms: int = NOW) -> Parts:
    stored = Stored(copy.arrays, copy.content, made_ms, forgotten)
    parts = parts_of(stored_feed(stored, SETTINGS), folder)
    parts.load(stored)
    return parts


def told(parts: Parts) -> str:
    copy = snapshot(parts, ForgottenViewers())
    return content_hash(copy.arrays, copy.content)


def empty(folder: Path) -> Parts:
    return parts_of(WorldFeed(World(world_config(SETTINGS))), folder)


def test_a_learner_that_was_stored_and_read_on_is_one_that_never_stopped(tmp_path: Path) -> None:
    nobody = ForgottenViewers()
    whole, cut = empty(tmp_path), empty(tmp_path)
    for start, end in ((0, 13), (13, 26), (26, 40)):
        asyncio.run(read(whole, start, end))
        asyncio.run(read(cut, start, end))
        before = told(cut)
        cut = started(snapshot(cut, nobody), nobody, tmp_path)
        assert told(cut) == before
    assert told(cut) == told(whole)
    # None of it is nothing.
    training, histories = cut.training, cut.embeddings._histories
    assert len(training._intake.kept) > 100 and training._intake.pages == 40
    assert len(training._logged) == len(histories) == 3
    assert len(list(training._builder.viewers())) == 3
    assert training._builder.waiting() > 0
    assert histories.corpus() == whole.embeddings._histories.corpus()
    assert histories.hard_negatives() == whole.embeddings._histories.hard_negatives()
    # All examples wait to be learned on: from when is for the live version to say.
    assert len(training._intake.fresh) == len(training._intake.kept)


@pytest.mark.parametrize("allowed", [False, True])
def test_who_was_forgotten_comes_back_from_no_snapshot(tmp_path: Path, allowed: bool) -> None:
    parts, forgotten = empty(tmp_path), ForgottenViewers()
    asyncio.run(read(parts, 0, 40))
    old = snapshot(parts, forgotten)
    assert told_of(old, "viewer-1") != []
    forgotten.hear(Forgotten.of("viewer-1", NOW, allowed=allowed))
    forgotten.hear(Forgotten.of("v7", NOW, allowed=allowed))
    parts = started(old, forgotten, tmp_path, made_ms=NOW - 1)
    new = snapshot(parts, forgotten)
    assert told_of(new, "viewer-1") == told_of(new, "v7") == []
    assert told_of(new, "viewer-2") != []
    pages = parts.training._intake.kept.all()
    assert len(pages) and Forgotten.of("v7", NOW).group not in pages.groups_n


def told_of(copy: Copy, viewer: str) -> list[str]:
    """The arrays of a snapshot that name a viewer."""
    return [name for name, array in copy.arrays.items() if viewer.encode() in array.tobytes()]


def test_another_format_is_refused(tmp_path: Path) -> None:
    nobody, parts = ForgottenViewers(), empty(tmp_path)
    copy = snapshot(parts, nobody)
    for changed, reason in (
        ({"format": 0}, "format 0, this build reads 1"),
        ({"training": {}}, "'builder' is not described"),
        ({"histories": None}, "'histories' is not described"),
    ):
        with pytest.raises(StoredArraysError, match=reason):
            started(copy._replace(content=copy.content | changed), nobody, tmp_path)


def test_a_session_that_the_histories_hold_is_not_taken_in_again() -> None:
    places = SessionPlaces({0: 7})
    records = [Line(b"", offset=offset) for offset in range(5, 9)]
    assert [record.offset for record in places.fresh(0, records)] == [7, 8]
    assert places.fresh(1, records) == records
    for partition in (0, 1):
        places.took(partition, 9)
    assert {at[1]: to.offset for at, to in places.places().items()} == {0: 9, 1: 9}
