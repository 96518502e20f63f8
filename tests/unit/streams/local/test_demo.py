"""The demo's parts that need no running stack; the demo itself is an integration test."""

import asyncio
import io
import sys
import webbrowser
from typing import Any, cast

import pytest
from rich.console import Console

from infra.embedded import embedded_redis
from models.actions import Action
from models.explore.grid import GridDocument, GridItem, ItemStages, Probabilities, to_json
from streams.local import scenario
from streams.local.bundled import Act, BundledViewer
from streams.local.demo import Narrator, cause, moves, open_browser, page_address
from streams.local.scenario import LiveViewer, ScenarioError

ACTS = (
    Act(Action.LIKE, "m8", "a1"),
    Act(Action.LIKE, "m7", "a2"),
    Act(Action.LONG_VIEW, "m6", "a1"),
    Act(Action.LONG_VIEW, "m5", "a3"),
    Act(Action.LONG_VIEW, "m4", "a4"),
)
TOPICS = {"m8": ["3", "4"], "m1": ["9"]}


def item(n: int, media_id: str, seed: str | None = None) -> GridItem:
    stages = ItemStages(0, 0, 0.0, 0, 0.0, 0, 0.0)
    source = "alike" if seed else "popular"
    return GridItem(
        n, media_id, "a9", 0.25, Probabilities(0.25, 0.25, 0.00004), source, seed, stages
    )


def grid(*media_ids: str, reflects_ts: int = 0, seeds: tuple[str | None, ...] = ()) -> GridDocument:
    seeds += (None,) * (len(media_ids) - len(seeds))
    items = [
        item(n, media_id, seed)
        for n, (media_id, seed) in enumerate(zip(media_ids, seeds, strict=True))
    ]
    return GridDocument("v1", items, 0, reflects_ts, len(items), {}, {})


def printed(terminal: bool) -> tuple[Narrator, io.StringIO]:
    out = io.StringIO()
    return Narrator(Console(file=out, force_terminal=terminal, highlight=False)), out


def test_moves_tell_new_up_down_and_unmoved() -> None:
    assert moves(grid("a", "b", "c", "d"), grid("c", "b", "e", "a")) == ["↑2", "", "new", "↓3"]


def test_an_item_is_traced_to_the_strongest_act_on_its_seed() -> None:
    assert cause(item(0, "m1", "a1"), ACTS) == ACTS[0]
    assert cause(item(0, "m1", "a3"), ACTS) == ACTS[3]
    assert cause(item(0, "m1", None), ACTS) is None
    assert cause(item(0, "m1", "a99"), ACTS) is None


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


def test_a_grid_is_a_table_with_what_led_to_each_item_and_marks_of_what_changed() -> None:
    narrator, out = printed(terminal=False)
    narrator.grid("A grid", grid("m1", "m2", seeds=("a1",)), ACTS, TOPICS, grid("m2", "m3"))
    rows = [line.split() for line in out.getvalue().splitlines() if "0.2500" in line]
    chances = ["0.2500", "0.2500", "0.2500"]
    assert rows == [
        ["1", "new", "m1", "a9", "9", "alike", "liked", "m8", *chances],
        ["2", "↓1", "m2", "a9", "popular", "–", *chances],
    ]
    # No bundled event is a share; a column of zeros would tell nothing.
    assert "P(like)  P(save)   value" in out.getvalue()
    assert "P(see fewer)" not in out.getvalue()


def test_what_was_done_before_is_listed_with_the_items_that_it_led_to() -> None:
    narrator, out = printed(terminal=False)
    viewer = BundledViewer("v1", 20, ACTS)
    narrator.history(viewer, TOPICS, grid("m1", "m2", "m3", "m4", seeds=("a1", "a3", None, "a1")))
    title, _, *rows = [line.strip() for line in out.getvalue().splitlines() if line.strip()]
    assert title == "Before: viewer v1 was shown 20 media, liked 2, watched 3"
    assert [row.split() for row in rows] == [
        ["liked", "m8", "a1", "3,", "4", "1,", "4"],
        ["liked", "m7", "a2", "–"],
        ["watched", "m5", "a3", "2"],
        ["and", "2", "more", "watched,", "which", "led", "to", "none"],
    ]


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


def test_the_page_of_any_viewer_has_an_address() -> None:
    told = page_address("http://127.0.0.1:8000", "a/b&c=é #")
    assert told == "http://127.0.0.1:8000/#/explore?viewer=a%2Fb%26c%3D%C3%A9+%23"


@pytest.mark.parametrize(("screen", "opened"), [(":0", ["x"]), ("", [])])
def test_a_browser_is_opened_where_there_is_a_screen(
    screen: str, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", screen)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(webbrowser, "open", found.append)
    open_browser("x")
    assert found == opened


def test_a_browser_that_does_not_start_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise webbrowser.Error

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", fail)
    open_browser("x")
