"""When ig2vec is fitted, updated and fitted again, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from infra.artifacts import ArtifactError, ArtifactStore
from infra.config import Settings
from infra.topics import EMBEDDINGS_TOPIC, VERSIONS_TOPIC
from models.ig2vec.gate import Decision
from models.world import World
from streams import embeddings as module
from streams.embeddings import Embeddings
from streams.learning import promotion
from streams.records import ClosedSession
from streams.serving.world_feed import WorldFeed
from streams.versions import DECISION_NOTE, IG2VEC, Version, earlier

ENOUGH = 40
WINDOW_MS = 1000


class Record(NamedTuple):
    key: bytes
    value: bytes | None
    partition: int = 0
    timestamp: int = 0


class Outbox:
    """Takes what is sent, and tells the world of it as the topics do."""

    def __init__(self, feed) -> None:
        self.sent, self._feed = [], feed

    async def send(self, messages):
        for message in messages:
            self.sent.append(message)
            self._feed.apply(message.topic, [Record(message.key.encode(), message.value)])
        self._feed.polled(lag=0)

    def _told(self):
        found = [m.value for m in self.sent if m.topic == EMBEDDINGS_TOPIC]
        return [msgspec.json.decode(value) for value in found if value is not None]

    def accounts(self):
        return {record["account_id"] for record in self._told()}

    def spaces(self):
        return {record["space"] for record in self._told()}

    def removed(self):
        return {m.key for m in self.sent if m.value is None}

    def versions(self):
        found = [m.value for m in self.sent if m.topic == VERSIONS_TOPIC]
        return [msgspec.json.decode(value, type=Version) for value in found]


class Learner:
    """An Embeddings whose loop turns fast."""

    def __init__(self, folder, live=None, **settings):
        self.finished, self._sessions = 0, 0
        self.world = World()
        self.feed = WorldFeed(self.world)
        self.outbox = Outbox(self.feed)
        self.artifacts = ArtifactStore(str(folder))
        config = Settings(bootstrap_sessions=ENOUGH, embedding_window_ms=WINDOW_MS, **settings)
        self.embeddings = Embeddings(config, self.artifacts, self.outbox, live, self.world)
        self.idle, tidy = asyncio.Event(), self.embeddings._tidy

        async def then_idle():
            await tidy()
            self.idle.set()

        self.embeddings._tidy = then_idle

    def close_sessions(self, count, *, authors="abcdef", seed=0, ts=1):
        """Sessions of new viewers, as one chunk."""
        rng = np.random.default_rng(seed)
        closed = []
        for _ in range(count):
            self._sessions += 1
            steps = [(a, "like", ts) for a in rng.choice(list(authors), 4, replace=False).tolist()]
            closed.append(ClosedSession(f"v{seed}-{self._sessions}", ts, ts, steps))
        self.embeddings.closed(closed, self._finish)

    def close_session(self, *steps, ts=1):
        """A session of a new viewer: (account, action)."""
        self._sessions += 1
        session = ClosedSession(f"v-{self._sessions}", ts, ts, [(*step, ts) for step in steps])
        self.embeddings.closed([session], self._finish)

    def _finish(self):
        self.finished += 1

    async def until(self, condition):
        """Run until the condition holds, and whatever it came of is done."""
        running = asyncio.ensure_future(self.embeddings.run())
        async with asyncio.timeout(30):
            while not condition() and not running.done():
                await asyncio.sleep(0.001)
        await self._end(running)
        assert condition()

    async def turns(self):
        """Run for some turns of the loop."""
        running = asyncio.ensure_future(self.embeddings.run())
        for _ in range(20):
            await asyncio.sleep(0.002)
        await self._end(running)

    async def _end(self, running):
        """Cancel between two turns, which no part of the loop expects in the midst of one."""
        self.idle = asyncio.Event()
        await asyncio.wait(
            (asyncio.ensure_future(self.idle.wait()), running), return_when="FIRST_COMPLETED"
        )
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setattr(module, "UPDATE_INTERVAL_S", 0.001)
    monkeypatch.setattr(module, "QUIET_S", 0.0)
    monkeypatch.setattr(module, "COPY_INTERVAL_S", 0.0)


@pytest.fixture
def busy(quiet, monkeypatch):
    """A stream that is never quiet."""
    monkeypatch.setattr(module, "QUIET_S", 1e9)


async def fitted(folder, sessions=ENOUGH):
    learner = Learner(folder)
    learner.close_sessions(sessions)
    await learner.until(lambda: learner.finished == 1)
    return learner


async def test_the_first_fit_waits_for_enough_sessions(quiet, tmp_path):
    learner = Learner(tmp_path)
    learner.close_sessions(ENOUGH - 1)
    await learner.turns()
    assert (learner.outbox.sent, learner.finished) == ([], 0)
    learner.close_sessions(1)
    await learner.until(lambda: learner.finished == 2)
    assert learner.outbox.accounts() == set("abcdef")
    [version] = learner.outbox.versions()
    assert (version.kind, version.metrics["sessions"]) == (IG2VEC, ENOUGH)
    assert (version.accounts, version.previous) == (6, "")
    assert "too few labelled" in version.reason
    assert learner.artifacts.get(IG2VEC, version.version).meta["sessions"] == ENOUGH
    assert learner.outbox.spaces() == {version.space} == {learner.world.space.name}
    # All vectors are there before the record that makes them live.
    assert learner.outbox.sent[-1].topic == VERSIONS_TOPIC


async def test_the_first_fit_waits_for_a_quiet_stream_but_not_for_ever(busy, tmp_path):
    learner = Learner(tmp_path)
    learner.close_sessions(module.NEVER_QUIET * ENOUGH - 1)
    await learner.turns()
    assert learner.outbox.sent == []
    learner.close_sessions(1)
    await learner.until(lambda: learner.finished == 2)
    assert learner.outbox.versions()


async def test_sessions_after_the_fit_change_vectors_of_the_same_space(quiet, tmp_path):
    learner = await fitted(tmp_path)
    spaces = learner.outbox.spaces()
    learner.outbox.sent.clear()
    learner.close_sessions(3, authors="abwxyz", seed=1)
    await learner.until(lambda: learner.finished == 2)
    # Of the session itself, and of histories that were rehearsed with it.
    assert learner.outbox.accounts() & set("ab")
    assert learner.outbox.accounts() & set("cdef")
    assert learner.outbox.accounts() <= set("abcdefwxyz")
    assert learner.outbox.spaces() == spaces
    assert learner.outbox.versions() == []


async def test_twice_the_sessions_are_fitted_anew(quiet, tmp_path):
    learner = await fitted(tmp_path)
    before = learner.outbox.spaces()
    learner.close_sessions(ENOUGH - 1, seed=1)
    await learner.until(lambda: learner.finished == 2)
    assert len(learner.outbox.versions()) == 1
    learner.outbox.sent.clear()
    learner.close_sessions(1, seed=2)
    await learner.until(lambda: learner.finished == 3)
    [version] = learner.outbox.versions()
    assert version.metrics["sessions"] == 2 * ENOUGH
    assert not learner.outbox.spaces() & before
    assert learner.outbox.accounts() == set("abcdef")


async def test_a_restart_goes_on_with_the_live_vectors(quiet, tmp_path):
    sessions = 3 * ENOUGH
    before = await fitted(tmp_path, sessions)
    [version] = before.outbox.versions()
    learner = Learner(tmp_path, version)
    # More than a first fit needs, yet far less than the live vectors were learned from.
    learner.close_sessions(ENOUGH, seed=1)
    await learner.until(lambda: learner.finished == 1)
    assert learner.outbox.versions() == []
    assert learner.outbox.spaces() == before.outbox.spaces()
    learner.close_sessions(sessions - ENOUGH, seed=2)
    await learner.until(lambda: learner.finished == 2)
    assert len(learner.outbox.versions()) == 1


async def test_sessions_that_say_too_little_end_nothing(quiet, tmp_path):
    learner = Learner(tmp_path)
    lonely = ClosedSession("v", 1, 1, [("a", "like", 1)])
    learner.embeddings.closed([lonely] * ENOUGH, learner._finish)
    await learner.turns()
    assert (learner.outbox.sent, learner.finished) == ([], 0)
    learner.close_sessions(2 * ENOUGH)
    await learner.until(lambda: learner.finished == 2)
    assert learner.outbox.accounts() == set("abcdef")


async def test_a_fit_leaves_out_what_is_older_than_the_window(quiet, tmp_path):
    learner = Learner(tmp_path)
    learner.close_sessions(ENOUGH // 2, authors="old!", ts=1)
    learner.close_sessions(ENOUGH // 2, ts=2 + WINDOW_MS)
    await learner.until(lambda: learner.finished == 2)
    assert learner.outbox.accounts() == set("abcdef")


async def test_an_account_unseen_for_the_window_loses_its_vector(quiet, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY", 1)
    learner = await fitted(tmp_path)
    [space] = learner.outbox.spaces()
    for ts in (1 + WINDOW_MS, 2 + WINDOW_MS):
        assert learner.outbox.removed() == set()
        learner.close_session(("a", "like"), ("b", "like"), ("c", "like"), ts=ts)
        # Surely changes a vector, where words of so few accounts may all be thinned out.
        learner.close_session(("d", "like"), ("c", "like"), ("a", "see_fewer"), ts=ts)
        learner.outbox.sent = [m for m in learner.outbox.sent if m.topic != VERSIONS_TOPIC]
        await learner.until(learner.outbox.versions)
    assert learner.outbox.removed() == {f"{space}:e", f"{space}:f"}
    [told] = learner.outbox.versions()
    assert told.space == space
    assert len(learner.artifacts.get(IG2VEC, told.version).arrays["counts"]) == 4
    assert set(learner.world.space.account_ids()) == set("abcd")


async def test_a_session_with_a_see_fewer_moves_the_unwanted_account(quiet, tmp_path):
    learner = await fitted(tmp_path)
    learner.outbox.sent.clear()
    learner.close_session(("a", "like"), ("b", "like"), ("c", "see_fewer"))
    await learner.until(lambda: learner.finished == 2)
    # Others may move with them: their histories were rehearsed.
    assert learner.outbox.accounts() >= set("abc")


# The gate.


def refuse(*_):
    return Decision(promote=False, reason="worse", margin=0.0, candidate=None, live=None)


async def test_a_refused_fit_is_kept_but_never_sent_and_learning_goes_on(
    quiet, tmp_path, monkeypatch
):
    learner = await fitted(tmp_path)
    model, before = learner.embeddings.model, learner.outbox.spaces()
    learner.outbox.sent.clear()
    monkeypatch.setattr(promotion, "judge", refuse)
    learner.close_sessions(ENOUGH, authors="abcwxyz", seed=1)
    await learner.until(lambda: learner.finished == 2)
    assert learner.embeddings.model is model
    assert learner.outbox.versions() == []
    # What would have been in the fit was learned by the live model.
    assert learner.outbox.spaces() == before
    assert learner.outbox.accounts() >= set("wxyz")
    stored = learner.artifacts.list(IG2VEC)
    notes = [learner.artifacts.read_note(IG2VEC, v, DECISION_NOTE, Decision) for v in stored]
    assert [(note.promote, note.reason) for note in notes][-1] == (False, "worse")
    # The next fit waits until the sessions have doubled again.
    monkeypatch.undo()
    monkeypatch.setattr(module, "UPDATE_INTERVAL_S", 0.001)
    monkeypatch.setattr(module, "QUIET_S", 0.0)
    learner.close_sessions(2 * ENOUGH, seed=2)
    await learner.until(lambda: learner.outbox.versions())


async def test_versions_are_judged_on_the_labels_of_the_catalogue(quiet, tmp_path):
    learner = Learner(tmp_path)
    ids = [f"a{number}" for number in range(40)]
    topics = [["x", "y"][number % 2] for number in range(40)]
    for name, topic in zip(ids, topics, strict=True):
        account = msgspec.json.encode({"account_id": name, "topics": [topic]})
        learner.feed.apply("catalog.accounts", [Record(name.encode(), account)])
    learner.close_sessions(ENOUGH, authors=ids)
    await learner.until(lambda: learner.finished == 1)
    learner.close_sessions(ENOUGH, authors=ids, seed=1)
    await learner.until(lambda: learner.finished == 2)
    stored = learner.artifacts.list(IG2VEC)
    first, second = (
        learner.artifacts.read_note(IG2VEC, v, DECISION_NOTE, Decision) for v in stored
    )
    assert first.promote
    assert (first.candidate.topics, first.live) == (2, None)
    assert 20 < first.candidate.accounts <= second.live.accounts == second.candidate.accounts
    lost = second.live.macro_f1 - second.candidate.macro_f1
    assert second.promote == (lost <= second.margin)
    assert second.margin == Settings().embedding_margin
    assert learner.outbox.versions()[0].metrics["macro_f1"] == first.candidate.macro_f1


async def test_a_copy_is_kept_now_and_then_and_one_step_back_is_the_fit(
    quiet, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "SAVE_EVERY", 2)
    learner = await fitted(tmp_path, 3 * ENOUGH)
    fit = learner.outbox.versions()[0]
    learner.close_sessions(25, seed=1)
    await learner.until(lambda: learner.finished == 2)
    learner.close_sessions(25, seed=2)
    await learner.until(lambda: len(learner.outbox.versions()) == 2)
    learner.close_sessions(25, seed=3)
    await learner.until(lambda: learner.finished == 4)
    learner.close_sessions(25, seed=4)
    await learner.until(lambda: len(learner.outbox.versions()) == 3)
    first, second = learner.outbox.versions()[1:]
    assert first.space == second.space == fit.space
    assert first.previous == second.previous == fit.version
    assert list(earlier(learner.artifacts, second)) == [fit.version]


async def test_a_refused_copy_takes_the_live_version_back(quiet, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY", 2)
    learner = await fitted(tmp_path, 3 * ENOUGH)
    [fit] = learner.outbox.versions()
    before, _ = learner.embeddings.model.vectors()
    monkeypatch.setattr(promotion, "judge", refuse)
    learner.close_sessions(25, authors="abcxyz", seed=1)
    await learner.until(lambda: learner.finished == 2)
    learner.close_sessions(25, authors="abcxyz", seed=2)
    await learner.until(lambda: len(learner.outbox.versions()) == 2)
    again = learner.outbox.versions()[1]
    assert (again.version, again.previous) == (fit.version, "")
    assert again.space not in ("", fit.space)
    assert learner.world.space.name == again.space
    assert set(learner.world.space.account_ids()) == set(before)
    # Learning goes on in the new space.
    learner.outbox.sent.clear()
    learner.close_sessions(25, seed=9)
    await learner.until(lambda: learner.finished == 4)
    assert learner.outbox.spaces() == {again.space}


# What others make live.


async def test_the_learner_goes_on_from_a_version_that_was_made_live(quiet, tmp_path):
    learner = await fitted(tmp_path)
    learner.close_sessions(ENOUGH, authors="uvwxyz", seed=1)
    await learner.until(lambda: learner.finished == 2)
    first, second = learner.outbox.versions()
    learner.outbox.sent.clear()
    for own in (first, second):
        learner.embeddings.told(own)
    await learner.turns()
    assert learner.outbox.sent == []
    back = Version(IG2VEC, first.version, 5, space="back", accounts=6)
    learner.embeddings.told(back)
    await learner.turns()
    assert set(learner.embeddings.model.vectors()[0]) == set("abcdef")
    # Told again, since something of our own may stand behind it.
    assert learner.outbox.versions() == [back]
    learner.close_sessions(ENOUGH - 1, seed=2)
    await learner.until(lambda: learner.finished == 3)
    assert learner.outbox.spaces() == {"back"}
    # A fit waits for as much again as there was.
    assert len(learner.outbox.versions()) == 1


@pytest.mark.parametrize("damage", ["cut", "gone"])
async def test_a_restart_takes_the_last_version_that_is_whole(quiet, tmp_path, damage):
    learner = await fitted(tmp_path)
    learner.close_sessions(ENOUGH, authors="uvwxyz", seed=1)
    await learner.until(lambda: learner.finished == 2)
    first, second = learner.outbox.versions()
    file = tmp_path / IG2VEC / second.version / "vectors.npy"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        (file.parent / "manifest.json").unlink()
    again = Learner(tmp_path, second)
    await again.turns()
    assert set(again.embeddings.model.vectors()[0]) == set("abcdef")
    [told] = again.outbox.versions()
    assert (told.version, told.previous) == (first.version, "")
    assert second.version in told.reason
    assert again.outbox.accounts() == set("abcdef")
    assert again.outbox.spaces() == {told.space}


async def test_without_any_whole_version_a_new_one_is_fitted(quiet, tmp_path):
    learner = Learner(tmp_path, Version(IG2VEC, "0" * 24, 1, space="s"))
    await learner.turns()
    assert learner.outbox.sent == []
    learner.close_sessions(ENOUGH)
    await learner.until(lambda: learner.finished == 1)
    [version] = learner.outbox.versions()
    assert version.previous == "0" * 24


# What leaves the topic.


async def test_deleted_accounts_and_left_spaces_leave_the_topic(quiet, tmp_path, monkeypatch):
    learner = await fitted(tmp_path)
    learner.embeddings.deleted(["a"])
    await learner.turns()
    [fit] = learner.outbox.versions()
    assert learner.outbox.removed() == {f"{fit.space}:a"}
    assert "a" not in learner.world.space.index
    learner.close_sessions(ENOUGH, seed=1)
    await learner.until(lambda: learner.finished == 2)
    await learner.turns()
    assert {space.name for space in learner.world.spaces()} == {
        version.space for version in learner.outbox.versions()
    }
    monkeypatch.setattr(module, "SPACE_GRACE_S", 0.0)
    await learner.turns()
    assert learner.world.spaces() == [learner.world.space]
    assert learner.world.space.name == learner.outbox.versions()[-1].space


async def test_copies_are_some_time_apart(quiet, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY", 1)
    monkeypatch.setattr(module, "COPY_INTERVAL_S", 1e9)
    learner = await fitted(tmp_path, 3 * ENOUGH)
    learner.close_sessions(25, seed=1)
    await learner.until(lambda: learner.finished == 2)
    assert len(learner.outbox.versions()) == 1


async def test_a_fit_that_the_store_does_not_take_is_tried_again_and_learning_goes_on(
    quiet, tmp_path, monkeypatch, caplog
):
    full = tmp_path / "full"
    full.write_text("no folder")
    learner = Learner(full)
    learner.close_sessions(ENOUGH)
    await learner.turns()
    assert (learner.outbox.sent, learner.finished) == ([], 0)
    assert "not stored" in caplog.text
    assert "ARTIFACTS_URL" in caplog.text
    # Not in a loop: a fit takes seconds of a core.
    caplog.clear()
    await learner.turns()
    assert "not stored" not in caplog.text
    full.unlink()
    learner.embeddings._store_again_s = 0.0
    await learner.until(lambda: learner.finished == 1)
    [version] = learner.outbox.versions()
    assert learner.artifacts.list(IG2VEC) == [version.version]


async def test_going_back_waits_for_the_store(quiet, tmp_path):
    folder = tmp_path / "artifacts"
    learner = await fitted(folder)
    [first] = learner.outbox.versions()
    again = Learner(folder, msgspec.structs.replace(first, space=""))
    write_note = again.artifacts.write_note

    def full(*arguments):
        raise ArtifactError("no room")

    again.artifacts.write_note = full
    await again.turns()
    assert again.outbox.sent == []
    again.artifacts.write_note = write_note
    again.embeddings._store_again_s = 0.0
    await again.turns()
    [told] = again.outbox.versions()
    assert again.outbox.spaces() == {told.space}
