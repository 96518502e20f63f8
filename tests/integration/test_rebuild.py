"""State that was lost comes back from the log, and the workers go on from there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from infra.config import Settings
from infra.embedded import embedded_kafka, embedded_redis
from infra.group_hold import GroupBusyError, GroupHold
from infra.kafka import prepare_cluster
from infra.log_reader import LogReader, LogReadError
from infra.open_stores import open_stores
from infra.supervisor import free_port
from infra.topics import SESSIONS_TOPIC, TOUCHED_TOPIC
from models.actions import EVENT_TOPICS, Action
from models.viewers.state import ViewerState
from streams.log.rebuild import rebuild
from streams.log.replay import replay_to_kafka, state_hash
from streams.log.replay_files import stored_hash
from streams.topology import WORKER_GROUP
from tests.integration.commands import freshgrid, refusal, report_of
from tests.integration.conftest import Pipeline
from tests.paths import FIXTURES

TINY = FIXTURES / "tiny.jsonl"
MINUTE_MS = 60_000


@pytest.fixture
def keys(pipeline: Pipeline) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(pipeline.settings.redis_url) as client:
        yield client


@contextlib.contextmanager
def worker_stopped(pipeline: Pipeline) -> Iterator[None]:
    """Without a worker inside."""
    pipeline.stop_worker()
    try:
        yield
    finally:
        pipeline.start_worker()


def states(settings: Settings) -> dict[str, ViewerState]:
    async def read() -> dict[str, ViewerState]:
        async with open_stores(settings) as stores:
            return {viewer: state async for viewer, state in stores.viewers.scan()}

    return asyncio.run(read())


def hash_of(settings: Settings) -> str:
    async def read() -> str:
        async with open_stores(settings) as stores:
            found, _ = await state_hash(stores.viewers)
        return found

    return asyncio.run(read())


def rebuilt_hash(settings: Settings, *options: str) -> str:
    return str(report_of(settings, "rebuild", "--state-hash", *options)["state_hash"])


def offline_hash(settings: Settings) -> str:
    done = freshgrid(settings, "replay", "--from-offset", "0", "--offline", "--state-hash")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_lost_state_comes_back_and_nothing_doubles_afterwards(pipeline, keys):
    settings = pipeline.settings
    like = _a_log_with_everything(pipeline, keys)
    viewer = like["viewer_id"]
    with worker_stopped(pipeline):
        before, hashed = states(settings), hash_of(settings)
        letters, touches = len(pipeline.dead_letters()), len(pipeline.records(TOUCHED_TOPIC))
        keys.flushdb()
        report = report_of(settings, "rebuild", "--state-hash")
        assert report["state_hash"] == hashed == offline_hash(settings)
        assert report["viewers"] == len(before)
        assert report["missing"] == {}
        after = states(settings)
        assert {v: (s.log, s.applied) for v, s in after.items()} == {
            v: (s.log, s.applied) for v, s in before.items()
        }
        newest = _newest_sessions(pipeline)
        assert {v: s.sessions_sent for v, s in after.items() if s.sessions_sent} == newest
        # Nothing that stands in the log already was sent again; each viewer was touched once.
        assert len(pipeline.dead_letters()) == letters
        new_touches = len(pipeline.records(TOUCHED_TOPIC)) - touches
        assert new_touches == len(before)
    # An old event again, and a new one, which opens a session.
    pipeline.send("events.like", like, viewer)
    pipeline.send("events.like", pipeline.event(viewer, "after", author_id="b"), viewer)
    pipeline.wait(lambda: "after" in pipeline.liked(viewer))
    assert pipeline.counters(viewer)[like["author_id"]][Action.LIKE].count == 1
    # Once the worker has looked at her sessions, it has not sent an old one again.
    later = time.time() * 1000 + MINUTE_MS
    pipeline.wait(lambda: (keys.zscore("sessions:due", viewer) or 0) > later)
    sent = Counter(_sessions(pipeline))
    assert set(sent.values()) == {1}


def _a_log_with_everything(pipeline: Pipeline, keys: redis.Redis) -> dict[str, Any]:
    """Sends every kind of record and waits until the worker is through; returns an old like."""
    sent = replay_to_kafka([TINY], pipeline.settings)
    asyncio.run(stored_hash(pipeline.settings, sent.ends))
    pipeline.wait(lambda: pipeline.records(SESSIONS_TOPIC))
    viewer, _ = _sessions(pipeline)[0]
    like = pipeline.event(viewer, "old", author_id="first", ts=sent.newest_ts)
    pipeline.send("events.like", like, viewer)
    pipeline.send("events.like", b"no JSON", viewer)
    undone = pipeline.event(viewer, "undone", author_id="a")
    pipeline.send("events.save", undone, viewer)
    pipeline.send("events.save", {**undone, "undo": True}, viewer)
    # One event whose media never comes in time. Dead is dead: that its author is known
    # afterwards must not bring it back.
    with pipeline.waiting_briefly():
        pipeline.send("events.like", pipeline.event(viewer, "too-late"), viewer)
        pipeline.wait(lambda: "unknown_media" in [d["error"] for d in pipeline.dead_letters()])
    pipeline.send("catalog.media", media("too-late"), "too-late")
    pipeline.wait(lambda: keys.exists("author:{too-late}"))
    # And one whose media does.
    pipeline.send("events.like", pipeline.event(viewer, "late"), viewer)
    pipeline.wait(lambda: keys.exists("parked:{late}"))
    pipeline.send("catalog.media", media("late"), "late")
    pipeline.wait(lambda: "late" in pipeline.liked(viewer))
    assert "too-late" not in pipeline.liked(viewer)
    return like


def media(media_id: str) -> dict[str, str | int]:
    return {"media_id": media_id, "author_id": f"author-of-{media_id}", "created_ts": 1}


def _sessions(pipeline: Pipeline) -> list[tuple[str, int]]:
    sent = [json.loads(record.value) for record in pipeline.records(SESSIONS_TOPIC)]
    return [(session["viewer_id"], session["ended_ts"]) for session in sent]


def _newest_sessions(pipeline: Pipeline) -> dict[str, int]:
    newest: dict[str, int] = {}
    for viewer, ended_ts in _sessions(pipeline):
        newest[viewer] = max(ended_ts, newest.get(viewer, 0))
    return newest


def test_an_event_that_waited_for_its_media_waits_again(pipeline, keys):
    viewer, media_id = pipeline.new_viewer(), pipeline.new_viewer()
    pipeline.send("events.like", pipeline.event(viewer, media_id), viewer)
    pipeline.wait(lambda: keys.exists(f"parked:{{{media_id}}}"))
    with worker_stopped(pipeline):
        keys.flushdb()
        assert report_of(pipeline.settings, "rebuild")["waiting_for_media"] == 1
        assert keys.llen(f"parked:{{{media_id}}}") == 1
    pipeline.send("catalog.media", media(media_id), media_id)
    pipeline.wait(lambda: pipeline.liked(viewer) == [media_id])


def test_a_bad_record_that_no_worker_saw_is_dead_lettered_once(pipeline, keys):
    viewer = pipeline.new_viewer()

    def letters() -> list[str]:
        return [d["error"] for d in pipeline.dead_letters() if d.get("key") == viewer]

    with worker_stopped(pipeline):
        pipeline.send("events.like", b"{", viewer)
        pipeline.send("events.like", pipeline.event(viewer, "m1", author_id="a"), viewer)
        keys.flushdb()
        report_of(pipeline.settings, "rebuild")
        assert letters() == ["bad_json"]
        # Again: known by its letter now.
        rebuilt_hash(pipeline.settings, "--force")
        assert letters() == ["bad_json"]
    pipeline.send("events.like", pipeline.event(viewer, "m2", author_id="a"), viewer)
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m1", "m2"])
    assert letters() == ["bad_json"]
    assert pipeline.counters(viewer)["a"][Action.LIKE].count == 2


def test_state_that_is_there_is_deleted_only_by_force(pipeline):
    viewer = pipeline.new_viewer()
    pipeline.send("events.like", pipeline.event(viewer, "m", author_id="a"), viewer)
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m"])
    with worker_stopped(pipeline):
        hashed = hash_of(pipeline.settings)
        sentence = refusal(pipeline.settings, "rebuild")
        assert "holds viewer state" in sentence
        assert "freshgrid rebuild --force" in sentence
        assert rebuilt_hash(pipeline.settings, "--force") == hashed


def test_a_rebuild_is_refused_while_a_worker_runs(pipeline):
    viewer = pipeline.new_viewer()
    pipeline.send("events.like", pipeline.event(viewer, "m1", author_id="a"), viewer)
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m1"])
    for command in (("rebuild", "--force"), ("replay", "--from-offset", "0")):
        sentence = refusal(pipeline.settings, *command)
        assert f"the consumer group {WORKER_GROUP} has members" in sentence
        assert "stop all workers" in sentence
    # Nothing was deleted, and the worker goes on.
    assert pipeline.liked(viewer) == ["m1"]
    pipeline.send("events.like", pipeline.event(viewer, "m2", author_id="a"), viewer)
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m1", "m2"])


def test_a_worker_that_starts_meanwhile_is_noticed(pipeline):
    pipeline.stop_worker()

    async def hold() -> None:
        async with GroupHold(pipeline.settings, WORKER_GROUP, EVENT_TOPICS) as held:
            held.check()
            await asyncio.to_thread(pipeline.start_worker)
            with pytest.raises(GroupBusyError, match="got members meanwhile"):
                await held.commit({(EVENT_TOPICS[0], 0): 0})

    asyncio.run(hold())


def test_an_older_copy_of_redis_catches_up_by_a_replay(pipeline, keys):
    settings = pipeline.settings
    viewer = pipeline.new_viewer()

    def like(media_id: str) -> None:
        pipeline.send("events.like", pipeline.event(viewer, media_id, author_id="a"), viewer)
        pipeline.wait(lambda: media_id in pipeline.liked(viewer))

    like("m1")
    with worker_stopped(pipeline):
        copy = {key: keys.dump(key) for key in keys.keys("*")}
        copied_ms = int(time.time() * 1000)
    like("m2")
    with worker_stopped(pipeline):
        hashed = hash_of(settings)
        keys.flushdb()
        for key, value in copy.items():
            keys.restore(key, 0, value)
        assert pipeline.liked(viewer) == ["m1"]
        replayed = report_of(settings, "replay", "--from-ts", str(copied_ms), "--state-hash")
        assert replayed["state_hash"] == hashed
        assert pipeline.liked(viewer) == ["m1", "m2"]
        # What is applied already is recognised, however often it is read.
        again = report_of(settings, "replay", "--from-offset", "0", "--state-hash")
        assert again["state_hash"] == hashed
    like("m3")
    assert pipeline.counters(viewer)["a"][Action.LIKE].count == 3


def delete_before(pipeline: Pipeline, viewer: str, offset: int) -> TopicPartition:
    """Take the beginning of a viewer's partition of likes out of the log, as retention does."""
    place = next(
        TopicPartition("events.like", record.partition)
        for record in pipeline.records("events.like")
        if record.key == viewer.encode()
    )

    async def delete() -> None:
        servers = pipeline.settings.kafka_bootstrap_servers
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        try:
            await admin.delete_records({place: RecordsToDelete(before_offset=offset)})
        except KafkaError as error:
            pytest.skip(f"this broker deletes no records: {error}")
        finally:
            await admin.close()

    asyncio.run(delete())
    return place


def test_what_retention_took_is_said(pipeline, keys):
    settings, viewer = pipeline.settings, pipeline.new_viewer()
    gone = pipeline.send("events.like", pipeline.event(viewer, "m1", author_id="a"), viewer)
    pipeline.send("events.like", pipeline.event(viewer, "m2", author_id="a"), viewer)
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m1", "m2"])
    place = delete_before(pipeline, viewer, gone + 1)
    with worker_stopped(pipeline):
        # What Redis holds of it is not given up for what the log no longer tells.
        before, hashed = states(settings), hash_of(settings)
        refused = freshgrid(settings, "rebuild", "--force")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"of {len(before)} viewers in Redis" in refused.stderr
        assert "Nothing was changed" in refused.stderr
        assert hash_of(settings) == hashed
        assert not keys.keys("draft:*")
        assert report_of(settings, "rebuild", "--force", "--accept-loss")["viewers"] <= len(before)
        assert pipeline.liked(viewer) == ["m2"]
        # What is as the log tells can be made anew.
        assert rebuilt_hash(settings, "--force") == hash_of(settings)
        keys.flushdb()
        done = freshgrid(settings, "rebuild", "--json")
        assert done.returncode == 0, done.stderr
        missing = json.loads(done.stdout.splitlines()[-1])["missing"]
        assert missing == {f"events.like[{place.partition}]": gone + 1}
        assert f"up to {gone + 1} events" in done.stderr
        assert pipeline.liked(viewer) == ["m2"]


def test_an_archive_holds_what_retention_took(pipeline, keys, tmp_path):
    settings, viewer, where = pipeline.settings, pipeline.new_viewer(), str(tmp_path / "archive")

    def like(media_id: str) -> int:
        at = pipeline.send("events.like", pipeline.event(viewer, media_id, author_id="a"), viewer)
        pipeline.wait(lambda: media_id in pipeline.liked(viewer))
        return at

    like("m1")
    report = report_of(settings, "archive", where)
    assert report["records"] == report["records_in_all"] > 0
    assert report_of(settings, "archive", where)["files"] == 0, "nothing came since"
    archived = like("m2")
    again = report_of(settings, "archive", where)
    assert again["records_in_all"] == report["records"] + again["records"]
    like("m3")
    place = delete_before(pipeline, viewer, archived + 1)
    with worker_stopped(pipeline):
        hashed = hash_of(settings)
        keys.flushdb()
        rebuilt = report_of(settings, "rebuild", "--archive", where, "--state-hash")
        assert rebuilt["state_hash"] == hashed
        assert rebuilt["missing"] == report["missing"]
    newest = like("m4")
    # The one of m3 is neither here nor there.
    delete_before(pipeline, viewer, newest)
    with worker_stopped(pipeline):
        hashed = hash_of(settings)
        for command in (("rebuild", "--force", "--archive", where), ("archive", where)):
            refused = refusal(settings, *command)
            assert f"({place.topic}[{place.partition}] {newest - archived - 1})" in refused
            assert "Nothing was changed" in refused and "--accept-loss" in refused
        assert hash_of(settings) == hashed
        report_of(settings, "archive", where, "--accept-loss")
        # Offsets that are in no file are known to the archive from then on.
        assert "neither in the archive" in refusal(
            settings, "rebuild", "--force", "--archive", where
        )
        report_of(settings, "rebuild", "--force", "--archive", where, "--accept-loss")
        assert pipeline.liked(viewer) == ["m1", "m2", "m4"]
        [file] = (tmp_path / "archive" / "log" / place.topic / str(place.partition)).glob("0*0-*")
        file.write_bytes(file.read_bytes()[:-1])
        hashed = hash_of(settings)
        command = ("rebuild", "--force", "--accept-loss", "--archive", where)
        assert "is not as it was written" in refusal(settings, *command)
        assert hash_of(settings) == hashed


def test_a_log_that_cannot_be_read_costs_nothing(pipeline, monkeypatch):
    settings, viewer = pipeline.settings, pipeline.new_viewer()
    pipeline.send("events.like", pipeline.event(viewer, "m", author_id="a"), viewer)
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m"])

    async def broken(self, spans):
        raise LogReadError("the log cannot be read")
        yield

    with worker_stopped(pipeline):
        hashed = hash_of(settings)
        monkeypatch.setattr(LogReader, "read", broken)
        with pytest.raises(LogReadError):
            asyncio.run(rebuild(settings, force=True))
        monkeypatch.undo()
        assert hash_of(settings) == hashed


def test_without_a_worker_ever_there_is_nothing_to_replay_up_to():
    with embedded_kafka() as kafka, embedded_redis() as url:
        settings = Settings(
            kafka_bootstrap_servers=kafka, redis_url=url, partitions=1, session_timeout_s=2.0
        )
        asyncio.run(prepare_cluster(settings))
        sentence = refusal(settings, "replay", "--from-offset", "0")
        assert "has committed no offsets" in sentence
        # An empty log is rebuilt to an empty state.
        assert report_of(settings, "rebuild")["viewers"] == 0


@pytest.mark.parametrize("command", [("rebuild",), ("replay", "--from-offset", "0", "--offline")])
def test_a_broker_out_of_reach_is_one_sentence(command):
    settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    assert "check KAFKA_BOOTSTRAP_SERVERS" in refusal(settings, *command)


def test_a_redis_out_of_reach_is_one_sentence(pipeline):
    settings = pipeline.settings.model_copy(
        update={"redis_url": f"redis://127.0.0.1:{free_port()}/0"}
    )
    done = freshgrid(settings, "rebuild")
    assert done.returncode == 1
    # Before it, a line for each time that it was tried again.
    assert "check REDIS_URL" in done.stderr.splitlines()[-1]
