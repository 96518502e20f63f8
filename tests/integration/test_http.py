"""The HTTP API over a running stack: events in, the grid as a stream, records of what is known."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Queue
from typing import Any

import httpx

from infra.open_stores import open_stores
from models.events import Relation
from models.viewers.state import ViewerState, related_authors
from streams.clock import now_ms
from tests.integration.conftest import Explore
from tests.stores import all_told, ended


def like(explore: Explore, viewer: str, media: str, **fields: Any) -> dict[str, Any]:
    return {"action": "like", **explore.event(viewer, media, **fields)}


def first_item(explore: Explore, viewer: str) -> dict[str, Any]:
    item: dict[str, Any] = explore.page(viewer).raise_for_status().json()["items"][0]
    return item


@contextmanager
def live(explore: Explore, viewer: str) -> Iterator[Queue[dict[str, Any]]]:
    """The grids of a viewer's stream as they come."""
    grids: Queue[dict[str, Any]] = Queue()
    client = httpx.Client(base_url=explore.http.base_url, trust_env=False, timeout=30)
    with client, client.stream("GET", "/v1/live", params={"viewer_id": viewer}) as answer:

        def read() -> None:
            try:
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        grids.put(json.loads(line.removeprefix("data: ")))
            except httpx.HTTPError:
                return  # Left.

        reading = threading.Thread(target=read)
        reading.start()
        yield grids
        answer.close()
        reading.join(30)


def test_a_like_over_http_changes_the_grid_that_is_streamed(explore: Explore) -> None:
    viewer = explore.new_viewer()
    with live(explore, viewer) as grids:
        before = grids.get(timeout=30)
        assert before["viewer_id"] == viewer
        item = before["items"][0]
        event = like(explore, viewer, item["media_id"], author_id=item["author_id"])
        answer = explore.http.post("/v1/events", json=event)
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "refused": []})
        after = grids.get(timeout=30)
        while after["reflects_ts"] < event["ts"]:
            after = grids.get(timeout=30)
    assert item["media_id"] not in [one["media_id"] for one in after["items"]]
    assert after["generated_at_ms"] >= event["ts"]
    # The stream sends what a page is answered with.
    assert explore.page(viewer).json()["items"] == after["items"]


def test_a_batch_is_folded_once_however_often_it_is_sent(explore: Explore) -> None:
    viewer = explore.new_viewer()
    item = first_item(explore, viewer)
    events = [
        like(explore, viewer, item["media_id"], author_id=item["author_id"]),
        {"action": "save", **explore.event(viewer, "saved", author_id="a")},
        {"kind": "block", "event_id": "b", "viewer_id": viewer, "author_id": "x", "ts": now_ms()},
        {"action": "like", "viewer_id": viewer},
    ]
    for _ in range(2):
        answer = explore.http.post(
            "/v1/events",
            content="\n".join(map(json.dumps, events)),
            headers={"Content-Type": "application/x-ndjson"},
        )
        told = answer.json()
        assert told["accepted"] == 3
        assert [(one["index"], one["reason"]) for one in told["refused"]] == [(3, "bad_field")]

    def folded() -> ViewerState | None:
        state = explore.state(viewer)
        return state if len(state.strong) == 2 and related_authors(state, Relation.BLOCK) else None

    explore.wait(folded)
    [last] = [like(explore, viewer, "last", author_id="a")]
    assert explore.http.post("/v1/events", json=[last]).status_code == 202
    explore.wait(lambda: "last" in explore.liked(viewer))
    assert len(explore.state(viewer).strong) == 3

    told = explore.http.get(f"/v1/viewers/{viewer}", params={"actions": 2}).json()
    assert told["history"] == {"actions": 3, "views": 0, "older": 0}
    assert told["blocked"] == ["x"]
    assert told["arm"] == "control"
    assert [(done["action"], done["media_id"]) for done in told["actions"]][:1] == [
        ("like", "last")
    ]
    explore.wait(lambda: viewer in _active(explore))


def _active(explore: Explore) -> list[str]:
    told = explore.http.get("/v1/viewers", params={"limit": 5}).raise_for_status().json()
    return [one["viewer_id"] for one in told["viewers"]]


def test_the_catalogue_is_told_as_it_was_sent(explore: Explore) -> None:
    accounts = explore.http.get("/v1/accounts", params={"limit": 100}).json()["accounts"]
    author = next(one["account_id"] for one in accounts if one["has_vector"])
    url = "https://pictures.example/1.jpg"
    media = explore.post(author, topics=["sea", "sun"], image_url=url, language="pt")
    told = explore.http.get(f"/v1/media/{media}").raise_for_status().json()
    assert (told["author_id"], told["topics"], told["image_url"]) == (author, ["sea", "sun"], url)
    profile = explore.http.get(f"/v1/accounts/{author}").raise_for_status().json()
    assert profile["posts"][0] == told
    assert profile["account"]["has_vector"]
    scores = [near["score"] for near in profile["neighbours"]]
    assert scores == sorted(scores, reverse=True)
    assert 0 < len(scores) <= 12
    listed = explore.http.get("/v1/media", params={"topic": "sea"}).json()
    assert [one["media_id"] for one in listed["media"]] == [media]
    both = explore.http.get("/v1/media", params={"media_id": [media, "nobody"]}).json()
    assert both == {"media": [told], "next": None}
    assert explore.http.get("/v1/media/nobody").status_code == 404


def test_news_of_grids_reach_every_process(explore: Explore) -> None:
    viewer = explore.new_viewer()

    async def follow() -> None:
        async with open_stores(explore.settings) as stores:
            listening = asyncio.ensure_future(stores.grids.listen())
            async with stores.grids.follow(viewer) as changed, asyncio.timeout(30):
                await all_told(stores, stores)
                changed.clear()
                event = like(explore, viewer, "m", author_id="a")
                await asyncio.to_thread(explore.http.post, "/v1/events", json=event)
                await changed.wait()
            await ended(listening)

    asyncio.run(follow())


def test_what_came_of_the_arms_is_found_behind_the_answers(explore: Explore) -> None:
    viewer = explore.known_viewer()
    page = explore.page(viewer).raise_for_status().json()
    saved = page["items"][0]
    event = explore.event(viewer, saved["media_id"], author_id=saved["author_id"])
    event["request_id"] = page["request_id"]
    explore.act("events.save", event)

    def outcomes() -> dict[str, Any] | None:
        told = explore.http.get("/v1/experiments/outcomes").raise_for_status().json()
        assert told["problem"] is None
        return told["outcomes"]

    control = explore.wait(outcomes)["arms"]["control"]
    assert control["viewers"] >= 1 and control["impressions"] >= len(page["items"])
    save = control["save"]
    assert save["count"] >= 1 and 0 < save["low"] < save["rate"] < save["high"] < 1


def test_top_on_a_terminal_of_a_running_ranker(explore: Explore) -> None:
    ours, its = pty.openpty()
    url = str(explore.http.base_url).rstrip("/")
    command = [sys.executable, "-m", "streams.cli", "top", "--url", url]
    env = explore.env(TERM="xterm-256color", COLUMNS="120", LINES="60")
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=env) as running:
        os.close(its)
        seen = ""

        def read() -> None:
            nonlocal seen
            with suppress(OSError):  # nobody is at its other end any more
                while select.select([ours], [], [], 0)[0]:
                    seen += os.read(ours, 65536).decode(errors="replace")

        def shown() -> bool:
            read()
            return all(word in seen for word in ("events.like", "ranker", "worker", "learner"))

        def ended() -> bool:
            # A terminal that nobody reads is full after a frame, and who writes to it waits.
            read()
            return running.poll() is not None

        try:
            explore.wait(shown)
            running.send_signal(signal.SIGINT)
            explore.wait(ended)
            assert running.returncode == 0
        finally:
            running.kill()
            os.close(ours)
    # On a screen of its own.
    assert "\x1b[?1049h" in seen
