"""Events through the real broker: bad ones become dead letters, the others are applied."""

from __future__ import annotations

import asyncio
import base64
import json
import signal

import pytest
import redis

from infra.redis_store import PARKED
from models.actions import Action
from models.viewers.state import suppressed_media
from streams.log.replay import replay_to_kafka
from streams.log.replay_files import replay_files, stored_hash
from tests.integration.conftest import Pipeline
from tests.paths import FIXTURES

YEAR_MS = 365 * 24 * 3_600_000
TINY = FIXTURES / "tiny.jsonl"
FULL = FIXTURES / "kuairand.jsonl.gz"

BAD = {
    "not UTF-8": (b'{"event_id": "\xff\xfe"}', "bad_utf8"),
    "broken JSON": (b'{"event_id": "e1", ', "bad_json"),
    "no object": (b"[1, 2]", "bad_field"),
    "nested too deeply": (b'{"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", "bad_json"),
    "no value": (None, "empty"),
    "a field is missing": ({"media_id": ...}, "bad_field"),
    "a field has the wrong type": ({"media_id": 7}, "bad_field"),
    "an id is empty": ({"media_id": ""}, "bad_field"),
    "an id is too long": ({"media_id": "m" * 129}, "bad_id"),
    "ts in seconds": ({"ts": 1_760_000_000}, "bad_ts"),
    "ts is negative": ({"ts": -5}, "bad_ts"),
    "ts a year ahead": ({"ts_offset": YEAR_MS}, "bad_ts"),
    "5 MB": ({"padding": "x" * 5_000_000}, "oversize"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_as_one_dead_letter_between_applied_events(pipeline, name):
    bad, reason = BAD[name]
    viewer = pipeline.new_viewer()
    if isinstance(bad, dict):
        event = pipeline.event(viewer, "bad", author_id="a")
        event = {**event, **bad}
        event["ts"] += event.pop("ts_offset", 0)
        value = json.dumps({k: v for k, v in event.items() if v is not ...}).encode()
    else:
        value = bad
    pipeline.send("events.like", pipeline.event(viewer, "before", author_id="a"), viewer)
    offset = pipeline.send("events.like", value, viewer)
    pipeline.send("events.like", pipeline.event(viewer, "after", author_id="a"), viewer)
    pipeline.wait(lambda: pipeline.liked(viewer) == ["before", "after"])
    letters = [d for d in pipeline.dead_letters() if d.get("key") == viewer]
    assert [(d["topic"], d["offset"], d["error"]) for d in letters] == [
        ("events.like", offset, reason)
    ]
    original = base64.b64decode(letters[0]["value_base64"])
    assert (value or b"").startswith(original)
    assert letters[0]["size"] == len(value or b"")
    assert letters[0].get("truncated", False) == (len(value or b"") != len(original))


def test_an_unknown_action_is_a_dead_letter(pipeline):
    viewer = pipeline.new_viewer()
    follow = pipeline.event(viewer, "", author_id="a", kind="poke")
    offset = pipeline.send("events.follow", follow, viewer)
    pipeline.send("events.follow", {**follow, "event_id": "f2", "kind": "block"}, viewer)
    pipeline.wait(lambda: pipeline.state(viewer).relations)
    letters = [d for d in pipeline.dead_letters() if d.get("key") == viewer]
    assert [(d["offset"], d["error"]) for d in letters] == [(offset, "bad_field")]
    assert "kind" in letters[0]["message"]


def test_every_action_is_folded(pipeline):
    viewer = pipeline.new_viewer()
    for topic in ("events.like", "events.save", "events.see_fewer", "events.view"):
        pipeline.send(topic, pipeline.event(viewer, "m", author_id="a", long=True), viewer)
    pipeline.wait(lambda: len(pipeline.counters(viewer).get("a", {})) == 4)
    assert {code: c.count for code, c in pipeline.counters(viewer)["a"].items()} == {
        Action.LIKE: 1,
        Action.SAVE: 1,
        Action.SEE_FEWER: 1,
        Action.LONG_VIEW: 1,
    }
    assert suppressed_media(pipeline.state(viewer)) == {"m"}


def test_a_like_without_author_waits_for_its_media(pipeline):
    viewer = pipeline.new_viewer()
    pipeline.send("events.like", pipeline.event(viewer, f"late-{viewer}"), viewer)
    pipeline.send("events.like", pipeline.event(viewer, "other", author_id="named"), viewer)
    # One that names its author is applied at once, whatever the catalogue knows.
    pipeline.wait(lambda: pipeline.liked(viewer) == ["other"])
    media = {"media_id": f"late-{viewer}", "author_id": "found", "created_ts": 1}
    pipeline.send("catalog.media", media, media["media_id"])
    pipeline.wait(lambda: set(pipeline.liked(viewer)) == {f"late-{viewer}", "other"})
    assert pipeline.counters(viewer)["found"][Action.LIKE].count == 1


def test_a_like_waits_for_a_media_in_the_log_however_late_it_is_read_and_for_no_other(pipeline):
    viewers = [pipeline.new_viewer() for _ in range(8)]
    found, never = {f"found-{viewer}" for viewer in viewers}, f"never-{viewers[0]}"

    def letters():
        return [d for d in pipeline.dead_letters() if d.get("key") in viewers]

    with pipeline.waiting_briefly() as env:
        second = Pipeline(pipeline.settings)
        second.start_worker(**env)
        # Nobody reads its partitions until its session has ended and the group has met again.
        assert second.stop_worker(signal.SIGKILL) == -signal.SIGKILL
        second.producer.close()
        for media_id in found:
            media = {"media_id": media_id, "author_id": "a", "created_ts": 1}
            pipeline.send("catalog.media", media, media_id)
        for viewer in viewers:
            for media_id in found:
                pipeline.send("events.like", pipeline.event(viewer, media_id), viewer)
        pipeline.wait(lambda: all(set(pipeline.liked(v)) == found for v in viewers) or letters())
        assert letters() == []
        pipeline.send("events.like", pipeline.event(viewers[0], never), viewers[0])
        [letter] = pipeline.wait(letters)
    assert letter["error"] == "unknown_media"
    assert never in letter["message"]
    assert json.loads(base64.b64decode(letter["value_base64"]))["viewer_id"] == viewers[0]
    assert set(pipeline.liked(viewers[0])) == found


def test_a_bad_catalogue_record_is_a_dead_letter_and_the_next_is_learned(pipeline):
    viewer = pipeline.new_viewer()
    pipeline.send("catalog.media", {"media_id": viewer, "author_id": ""}, viewer)
    pipeline.send("catalog.media", {"media_id": viewer, "author_id": "a", "created_ts": 1}, viewer)
    pipeline.send("events.like", pipeline.event(viewer, viewer), viewer)
    pipeline.wait(lambda: pipeline.liked(viewer) == [viewer])
    assert [d["topic"] for d in pipeline.dead_letters() if d.get("key") == viewer] == [
        "catalog.media"
    ]


def test_a_producers_retry_changes_nothing(pipeline):
    viewer = pipeline.new_viewer()
    event = pipeline.event(viewer, "m", author_id="a")
    for _ in range(3):
        pipeline.send("events.save", event, viewer)
    pipeline.send("events.save", pipeline.event(viewer, "end", author_id="b"), viewer)
    pipeline.wait(lambda: "end" in pipeline.liked(viewer))
    assert pipeline.counters(viewer)["a"][Action.SAVE].count == 1


def test_a_killed_worker_loses_nothing_and_counts_nothing_twice(pipeline):
    viewers = [pipeline.new_viewer() for _ in range(5)]
    for round_number in range(3):
        for number in range(40):
            for viewer in viewers:
                media = f"m{round_number}-{number}"
                event = pipeline.event(viewer, media, author_id="a")
                pipeline.producer.send(
                    "events.like", key=viewer.encode(), value=json.dumps(event).encode()
                )
        pipeline.producer.flush()
        # Killed while it works: what is applied is not committed yet, or the other way round.
        pipeline.wait(lambda: pipeline.liked(viewers[0]))
        assert pipeline.stop_worker(signal.SIGKILL) == -signal.SIGKILL
        pipeline.start_worker()
    for viewer in viewers:
        pipeline.wait(lambda viewer=viewer: len(pipeline.liked(viewer)) == 120)
        assert pipeline.counters(viewer)["a"][Action.LIKE].count == 120


def test_a_failed_agent_ends_the_worker_and_its_events_are_applied_after_a_restart(pipeline):
    viewer = pipeline.new_viewer()

    # Somebody else's data under the key of what waits for its media: nothing more can wait.
    with redis.Redis.from_url(pipeline.settings.redis_url) as client:
        client.delete(PARKED)
        client.set(PARKED, "no sorted set")
        pipeline.send("events.like", pipeline.event(viewer, "m1"), viewer)
        assert pipeline.worker_ended() == 1
        client.delete(PARKED)
    post = {"media_id": "m1", "author_id": "a", "created_ts": 1}
    pipeline.send("catalog.media", post, "m1")
    pipeline.send("events.like", pipeline.event(viewer, "m2", author_id="a"), viewer)
    pipeline.start_worker()
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m1", "m2"])


def test_functions_that_redis_lost_are_loaded_again(pipeline):
    viewer = pipeline.new_viewer()
    with redis.Redis.from_url(pipeline.settings.redis_url) as client:
        client.function_flush()
    pipeline.send("events.like", pipeline.event(viewer, "m1", author_id="a"), viewer)
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m1"])


def replayed_hash(settings, *files, offline):
    report = replay_files(settings, files, offline=offline, hashed=True, shift_to_now=False)
    return report["state_hash"]


def hashes(pipeline, *files):
    """Hash of a replay offline, twice, and through Kafka into an empty Redis."""
    pipeline.empty_redis()
    return [
        replayed_hash(pipeline.settings, *files, offline=offline) for offline in (True, True, False)
    ]


def test_a_fixture_gives_the_same_hash_offline_and_through_kafka(pipeline):
    first, second, through_kafka = hashes(pipeline, TINY)
    assert first == second == through_kafka
    # Once more, at other offsets: the same events change nothing.
    assert replayed_hash(pipeline.settings, TINY, offline=False) == first


def test_workers_that_come_and_go_lose_nothing_and_count_nothing_twice(pipeline):
    expected = replayed_hash(pipeline.settings, FULL, offline=True)
    pipeline.empty_redis()
    second = Pipeline(pipeline.settings)
    sent = replay_to_kafka([FULL], pipeline.settings)
    second.start_worker()  # partitions move while their records are being folded
    assert pipeline.stop_worker(signal.SIGKILL) == -signal.SIGKILL
    pipeline.start_worker()
    assert second.stop_worker() == 0
    second.producer.close()
    found, _ = asyncio.run(stored_hash(pipeline.settings, sent.ends))
    assert found == expected


def test_events_that_wait_for_their_media_end_in_the_same_hash(pipeline, tmp_path):
    events, media = [], []
    for line in TINY.read_text().splitlines():
        record = json.loads(line)
        if record["topic"] == "catalog.media":
            # Media of their own, that no other test has sent before.
            media.append({**record, "media_id": f"waited-{record['media_id']}"})
        elif record["topic"].startswith("events.") and "media_id" in record:
            record.pop("author_id")
            events.append({**record, "media_id": f"waited-{record['media_id']}"})
    reversed_fixture = tmp_path / "media-last.jsonl"
    lines = (json.dumps(record) for record in events + media)
    reversed_fixture.write_text("# events before their media\n" + "\n".join(lines))
    first, second, through_kafka = hashes(pipeline, reversed_fixture)
    assert first == second == through_kafka
