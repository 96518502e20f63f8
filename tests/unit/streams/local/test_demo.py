"""The demo's parts that need no running stack; the demo itself is an integration test."""

import asyncio
import gzip
import io
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from rich.console import Console

from infra.embedded import embedded_redis
from models.actions import STRONG_HEADS
from models.explore.grid import GridDocument, GridItem, ItemStages, Probabilities, to_json
from streams.local import scenario
from streams.local.demo import Narrator, moves
from streams.local.scenario import MANY_LIKES, LiveViewer, ScenarioError, pick_viewers


def grid(*media_ids: str, reflects_ts: int = 0) -> GridDocument:
    stages = ItemStages(0, 0, 0.0, 0, 0.0, 0, 0.0)
    items = [
        GridItem(n, media_id, "a1", 0.25, Probabilities(0.25, 0.25, 0.25), "popular", None, stages)
        for n, media_id in enumerate(media_ids)
    ]
    return GridDocument("v1", items, 0, reflects_ts, len(items), {}, {})


def printed(terminal: bool) -> tuple[Narrator, io.StringIO]:
    out = io.StringIO()
    return Narrator(Console(file=out, force_terminal=terminal, highlight=False)), out


def test_moves_tell_new_up_down_and_unmoved() -> None:
    assert moves(grid("a", "b", "c", "d"), grid("c", "b", "e", "a")) == ["↑2", "", "new", "↓3"]


def test_viewers_with_many_likes_are_picked_by_their_views(tmp_path: Path) -> None:
    counts = {"v1": (MANY_LIKES, 20), "v2": (MANY_LIKES + 5, 30), "v3": (MANY_LIKES - 1, 90)}
    lines = [
        {"topic": topic, "viewer_id": viewer}
        for viewer, (likes, views) in counts.items()
        for topic, count in (("events.like", likes), ("events.view", views))
        for _ in range(count)
    ]
    fixture = tmp_path / "events.jsonl.gz"
    fixture.write_bytes(gzip.compress(b"\n".join(map(msgspec.json.encode, lines))))
    assert pick_viewers(fixture) == [("v2", MANY_LIKES + 5), ("v1", MANY_LIKES)]


def test_the_bundled_events_have_viewers_to_show() -> None:
    assert len(pick_viewers()) > 10


def test_a_missing_fixture_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"no\.jsonl\.gz.*No such file"):
        pick_viewers(tmp_path / "no.jsonl.gz")


def test_without_a_terminal_progress_is_a_few_plain_lines() -> None:
    narrator, out = printed(terminal=False)
    with narrator.progress("replay") as on_progress:
        for done in range(1, 1001):
            on_progress(done, 1000)
    lines = out.getvalue().splitlines()
    assert lines[:4] == [f"replay: {done} of 1000" for done in (250, 500, 750, 1000)]
    assert lines[4].startswith("✓ replay: 1000  ")
    assert len(lines) == 5
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_progress_is_a_bar() -> None:
    narrator, out = printed(terminal=True)
    with narrator.progress("replay") as on_progress:
        on_progress(10, 10)
    assert "━" in out.getvalue()
    assert "✓ replay: 10  " in out.getvalue()


def test_a_failed_phase_is_not_called_done() -> None:
    narrator, out = printed(terminal=False)
    with pytest.raises(ScenarioError), narrator.phase("train"):
        raise ScenarioError("no")
    assert "✓" not in out.getvalue()


def test_a_grid_is_a_table_with_one_line_an_item_and_marks_what_changed() -> None:
    narrator, out = printed(terminal=False)
    narrator.grid("A grid", grid("m1", "m2"), grid("m2", "m3"))
    rows = [line.split() for line in out.getvalue().splitlines() if "0.2500" in line]
    assert [row[:3] for row in rows] == [["1", "new", "m1"], ["2", "↓1", "m2"]]
    assert all(len(row) == 7 + len(STRONG_HEADS) for row in rows)


async def test_only_a_grid_that_reflects_the_like_ends_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from redis.asyncio import Redis

    with embedded_redis() as url:
        async with Redis.from_url(url) as client:
            live = LiveViewer(cast(Any, None), client)  # nothing is sent here
            key = "grid:{v1}"
            await client.set(key, to_json(grid("old", reflects_ts=99)))
            waiting = asyncio.create_task(live.grid_reflecting("v1", 100))
            done, _ = await asyncio.wait([waiting], timeout=0.05)
            assert not done
            await client.set(key, to_json(grid("new", reflects_ts=100)))
            assert (await waiting).items[0].media_id == "new"

            monkeypatch.setattr(scenario, "GRID_TIMEOUT_S", 0.05)
            with pytest.raises(ScenarioError, match=r"no grid of viewer v2 .* grid:\{v2\}"):
                await live.grid_reflecting("v2", 0)
