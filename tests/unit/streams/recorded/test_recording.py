"""Recorded events as histories and sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.actions import Action
from models.events import DAY_MS
from models.ig2vec.histories import Step
from streams.log.replay import FixtureError
from streams.recorded.recording import Recording, RecordingError, read_recording
from tests.paths import ROOT

T = 1_652_000_000_000
MINUTE = 60_000


def event(action: str, viewer: str, media: str, ts: int, **more: Any) -> dict[str, Any]:
    return {
        "topic": f"events.{action}",
        "event_id": f"{viewer}-{media}-{ts}-{action}",
        "viewer_id": viewer,
        "media_id": media,
        "ts": ts,
        **more,
    }


def written(path: Path, *records: dict[str, Any]) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    return path


def test_a_file_of_events_is_read_with_its_labels(tmp_path: Path) -> None:
    path = written(
        tmp_path / "events.jsonl",
        {"topic": "catalog.media", "media_id": "m1", "author_id": "a1", "created_ts": T},
        {"topic": "catalog.accounts", "account_id": "a1", "topics": ["cats", "dogs"]},
        {"topic": "catalog.accounts", "account_id": "a2"},
        event("like", "v", "m2", T + 2, author_id="a2"),
        event("view", "v", "m1", T + 1, long=True),
        event("like", "v", "m2", T + 3, author_id="a2"),
        event("view", "v", "m3", T + 3, author_id="a3"),
        event("like", "v", "m4", T + 4, author_id="a4"),
        event("like", "v", "m4", T + 5, author_id="a4", undo=True),
        event("save", "v", "unknown", T + 6),
    )
    recording = read_recording(path)
    assert recording.steps == {
        "v": [Step("a1", Action.LONG_VIEW, T + 1), Step("a2", Action.LIKE, T + 2)]
    }
    assert recording.topics == {"a1": "cats"}


def steps(*minutes_and_authors: tuple[int, str]) -> list[Step]:
    return [Step(author, Action.LIKE, T + n * MINUTE) for n, author in minutes_and_authors]


def test_a_history_is_one_sentence_and_sessions_are_cut() -> None:
    recording = Recording(
        {"v": steps((0, "a"), (10, "b"), (41, "c"), (50, "d")), "w": steps((5, "x"), (6, "y"))},
        {},
        T,
    )
    assert recording.histories().corpus() == [["a", "b", "c", "d"], ["x", "y"]]
    assert recording.histories(T + 41 * MINUTE).corpus() == [["a", "b"], ["x", "y"]]

    def ended(until_ms: int) -> list[tuple[str, str]]:
        sessions = recording.sessions(T, until_ms, 30 * MINUTE)
        return [(viewer, "".join(step.author for step in session)) for viewer, session in sessions]

    assert ended(T + DAY_MS) == [("w", "xy"), ("v", "ab"), ("v", "cd")]
    assert ended(T + 10 * MINUTE) == [("w", "xy")]


def test_a_recording_that_says_nothing_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "events.jsonl", event("view", "v", "m", T, author_id="a"))
    with pytest.raises(RecordingError, match="no long view and no action other"):
        read_recording(path)


def test_a_record_that_cannot_be_applied_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "events.jsonl", event("like", "", "m", T, author_id="a"))
    with pytest.raises(RecordingError, match=r"events\.like that cannot be applied"):
        read_recording(path)
    with pytest.raises(FixtureError, match="cannot read fixture"):
        read_recording(tmp_path / "none.jsonl")


def test_a_folder_that_is_no_kuairand_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"no folder of KuaiRand-Pure|freshgrid\[fixture\]"):
        read_recording(tmp_path)


def test_the_bundled_events_can_be_read() -> None:
    recording = read_recording(ROOT / "tests" / "fixtures" / "tiny.jsonl")
    assert recording.histories().corpus()
    assert set(recording.topics) & {s.author for of in recording.steps.values() for s in of}
