"""Whom the demo shows is decided by what came before the grid, and not by how much they like."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.actions import Action
from streams.local.bundled import (
    MANY_LIKES,
    OFTEN_SHOWN,
    SOME_LIKES,
    Act,
    Bundled,
    BundledViewer,
)
from streams.local.scenario import ScenarioError


def line(topic: str, viewer_id: str, media_id: str, **extra: Any) -> dict[str, Any]:
    base = {"topic": topic, "viewer_id": viewer_id, "media_id": media_id}
    return base | {"author_id": f"a-{media_id}"} | extra


def viewer(viewer_id: str, shown: int, likes: Sequence[str]) -> list[dict[str, Any]]:
    views = [line("events.view", viewer_id, f"seen-{n}") for n in range(shown)]
    return views + [line("events.like", viewer_id, media_id) for media_id in likes]


@pytest.fixture
def fixture(tmp_path: Path) -> Any:
    def write(lines: Sequence[dict[str, Any]]) -> Path:
        path = tmp_path / "events.jsonl.gz"
        path.write_bytes(gzip.compress(b"\n".join(map(msgspec.json.encode, lines))))
        return path

    return write


def test_a_viewer_is_what_they_meant_and_then_what_they_watched_newest_first(fixture: Any) -> None:
    path = fixture(
        [
            {"topic": "catalog.media", "media_id": "m1", "author_id": "a", "topics": ["3"]},
            line("events.view", "v1", "m1", long=True),
            line("events.like", "v1", "m1"),
            line("events.view", "v1", "m2"),
            line("events.save", "v1", "m2"),
            line("events.see_fewer", "v1", "m2"),
            {"topic": "events.follow", "viewer_id": "v1", "author_id": "a", "kind": "follow"},
            line("events.like", "v1", "m1"),
            line("events.view", "v2", "m2"),
        ]
    )
    bundled = Bundled(path)
    assert bundled.topics == {"m1": ["3"]}
    acts = (
        Act(Action.LIKE, "m1", "a-m1"),
        Act(Action.SAVE, "m2", "a-m2"),
        Act(Action.LONG_VIEW, "m1", "a-m1"),
    )
    assert bundled.viewers == {
        "v1": BundledViewer("v1", 2, acts),
        "v2": BundledViewer("v2", 1, ()),
    }
    assert bundled.viewers["v1"].likes() == ["m1"]
    assert bundled.like_rate() == 1 / 3


def test_shown_is_who_was_shown_enough_and_whose_likes_are_most_alike(fixture: Any) -> None:
    together = [f"t{n}" for n in range(SOME_LIKES)]
    apart = [f"x{n}" for n in range(MANY_LIKES)]
    crowd = [event for n in range(5) for event in viewer(f"crowd{n}", 1, together)]
    loners = [event for n, media in enumerate(apart) for event in viewer(f"loner{n}", 1, [media])]
    people = [
        *viewer("alike", OFTEN_SHOWN, together),
        *viewer("likes-more", OFTEN_SHOWN + 9, apart),
        *viewer("shown-less", OFTEN_SHOWN - 1, together),
        *viewer("likes-less", OFTEN_SHOWN, together[1:]),
    ]
    bundled = Bundled(fixture([*crowd, *loners, *people]))
    assert bundled.to_show().viewer_id == "alike"
    assert bundled.alike(bundled.viewers["alike"]) > 0
    assert bundled.alike(bundled.viewers["likes-more"]) == 0


def test_who_nobody_shares_a_like_with_has_likes_that_are_not_alike(fixture: Any) -> None:
    # The viewer's own likes stand together by themselves, which says nothing.
    bundled = Bundled(fixture(viewer("v1", OFTEN_SHOWN, ["m1", "m2", "m3"])))
    assert bundled.alike(bundled.viewers["v1"]) == 0
    assert bundled.to_show().viewer_id == "v1"


def test_who_likes_many_things_is_found_the_most_shown_first(fixture: Any) -> None:
    likes = [f"m{n}" for n in range(MANY_LIKES)]
    events = [
        *viewer("v1", 20, likes),
        *viewer("v2", 30, [*likes, "m99"]),
        *viewer("v3", 90, likes[1:]),
    ]
    assert Bundled(fixture(events)).who_like() == ["v2", "v1"]


def test_nobody_to_show_is_one_sentence(fixture: Any) -> None:
    with pytest.raises(ScenarioError, match=r"no bundled viewer was shown .* build the bundled"):
        Bundled(fixture(viewer("v1", 2, ["m1"]))).to_show()


def test_a_missing_fixture_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"no\.jsonl\.gz.*No such file"):
        Bundled(tmp_path / "no.jsonl.gz")


def test_the_bundled_events_have_viewers_to_show() -> None:
    bundled = Bundled()
    shown = bundled.to_show()
    assert shown.shown >= OFTEN_SHOWN
    assert SOME_LIKES <= len(shown.likes()) < shown.shown / 4
    assert len(bundled.who_like()) > 10
