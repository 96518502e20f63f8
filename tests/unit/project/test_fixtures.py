"""The bundled data is what its README says, and every record is a valid one."""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections import Counter
from types import ModuleType
from typing import Any

import pytest

from models.actions import EVENT_TOPICS
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC, parse_account, parse_event, parse_media
from tests.paths import FIXTURES

NOW_MS = 1_652_100_000_000


def lines(name: str) -> list[dict[str, Any]]:
    data = (FIXTURES / name).read_bytes()
    text = gzip.decompress(data) if name.endswith(".gz") else data
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_fixture", FIXTURES / "build_fixture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(viewer: int, media: int, ts: int, action: str = "view", **extra: Any) -> dict[str, Any]:
    base = {"viewer_id": viewer, "media_id": media, "author_id": media + 100, "ts": ts}
    return base | {"action": action, "raw": "", "long_view": False, "play_ms": 5.0} | extra


@pytest.mark.parametrize("name", ["kuairand.jsonl.gz", "tiny.jsonl"])
def test_every_record_is_valid_and_in_order(name: str) -> None:
    media: set[str] = set()
    accounts: set[str] = set()
    events: set[str] = set()
    last = (0, 0)
    for line in lines(name):
        topic = line.pop("topic")
        value = json.dumps(line).encode()
        if topic == MEDIA_TOPIC:
            item = parse_media(value, NOW_MS)
            assert item.media_id not in media
            media.add(item.media_id)
            order = (0, item.created_ts)
        elif topic == ACCOUNTS_TOPIC:
            accounts.add(parse_account(value).account_id)
            order = (1, 0)
        else:
            assert topic in EVENT_TOPICS
            event = parse_event(topic, value, NOW_MS)
            assert event.event_id not in events
            assert event.author_id in accounts
            assert topic == "events.follow" or event.media_id in media
            events.add(event.event_id)
            order = (2, event.ts)
        assert order >= last
        last = order


def test_counts_and_size_are_those_of_the_readme() -> None:
    path = FIXTURES / "kuairand.jsonl.gz"
    assert path.stat().st_size <= 6 * 1024 * 1024
    assert path.read_bytes()[4:8] == bytes(4), "the gzip header carries a time"
    whole, tiny = lines(path.name), lines("tiny.jsonl")
    topics = Counter(line["topic"] for line in whole)
    assert topics.pop("catalog.media") == 7583
    assert topics.pop("catalog.accounts") == 6510
    assert topics == {
        "events.view": 66990,
        "events.like": 1155,
        "events.save": 156,
        "events.follow": 96,
        "events.see_fewer": 76,
    }
    assert len({line["viewer_id"] for line in whole if "viewer_id" in line}) == 3761
    assert len({line["viewer_id"] for line in tiny if "viewer_id" in line}) == 17
    assert sum("event_id" in line for line in tiny) == 253
    known = {json.dumps(line) for line in whole}
    assert all(json.dumps(line) in known for line in tiny if line["topic"] != "catalog.accounts")


def test_actions_are_as_frequent_among_exposures_as_in_the_whole_log() -> None:
    rates = json.loads((FIXTURES / "rates.json").read_text())
    log, sample = rates["log"], rates["sample"]
    topics = Counter(line["topic"] for line in lines("kuairand.jsonl.gz"))
    assert sample["exposures"] == topics["events.view"]
    for action in ("like", "save", "see_fewer"):
        told = sample[action]
        assert told["count"] == topics[f"events.{action}"]
        assert told["rate"] == pytest.approx(told["count"] / sample["exposures"], abs=1e-6)
        assert told["count"] / sample["exposures"] == pytest.approx(
            log[action]["rate"], abs=2 * told["standard_error"]
        )
    # A wide error would hide any choice of viewers.
    assert sample["like"]["standard_error"] < log["like"]["rate"] / 10


def test_viewers_are_drawn_by_their_exposures_and_not_by_what_they_did(builder: ModuleType) -> None:
    enough = builder.MIN_EXPOSURES
    shown = {viewer: enough + viewer % 2 for viewer in range(1, 5)} | {5: enough - 1}
    views = [row(viewer, n, n) for viewer, count in shown.items() for n in range(count)]
    likes = [row(viewer, n, n, "like") for viewer in (1, 5) for n in range(3)]
    whole = builder.sample_viewers(views, 1000)
    assert whole == {1, 2, 3, 4}
    room = sum(shown[viewer] for viewer in sorted(whole, key=builder.viewer_hash)[:2])
    some = builder.sample_viewers(views, room)
    assert some == set(sorted(whole, key=builder.viewer_hash)[:2])
    for most in (1000, room, 1):
        # Neither likes nor rows that say the same twice change who is drawn.
        assert builder.sample_viewers(views + likes + views, most) == builder.sample_viewers(
            views, most
        )
    assert builder.sample_viewers(views, 1) == set()


def test_rates_are_told_with_the_error_of_drawing_viewers(builder: ModuleType) -> None:
    rows = [row(viewer, n, n) for viewer in (1, 2) for n in range(10)]
    rows += [row(1, n, n, "like") for n in range(4)]
    told = builder.rates(rows + rows)
    assert (told["viewers"], told["exposures"]) == (2, 20)
    # Residuals are 4 − 2 and 0 − 2: √((4 + 4) · 2 / 1) / 20.
    assert told["like"] == {"count": 4, "rate": 0.2, "standard_error": 0.2}
    assert told["save"] == {"count": 0, "rate": 0.0, "standard_error": 0.0}


def test_doubled_rows_become_one_and_a_follow_is_also_a_save(builder: ModuleType) -> None:
    rows = [
        row(1, 1, 10, "save", raw="is_follow"),
        row(1, 1, 10, "save", raw="is_forward"),
        row(1, 1, 10),
        row(1, 1, 10, play_ms=9.0, long_view=True),
        row(1, 2, 5),
    ]
    made = builder.event_lines(rows)
    assert [(line["topic"], line["ts"]) for line in made] == [
        ("events.view", 5),
        ("events.view", 10),
        ("events.save", 10),
        ("events.follow", 10),
    ]
    assert made[1]["dwell_ms"] == 9
    assert made[1]["long"] is True
    assert "media_id" not in made[3]
    assert builder.event_lines(reversed(rows)) == made


def test_an_account_has_the_majority_topic_of_its_media(builder: ModuleType) -> None:
    media = [
        {"media_id": n, "author_id": 7, "created_ts": 9 - n, "topic": topic, "tags": tags}
        for n, (topic, tags) in enumerate([("3", "3,4"), ("2", "2"), ("3", "3"), (None, None)])
    ]
    made = list(builder.catalog_lines(media))
    assert [line["media_id"] for line in made[:-1]] == ["m3", "m2", "m1", "m0"]
    assert "topics" not in made[0]
    assert made[3]["topics"] == ["3", "4"]
    assert made[-1] == {"topic": "catalog.accounts", "account_id": "a7", "topics": ["3"]}
