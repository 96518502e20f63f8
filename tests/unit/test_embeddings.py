"""When ig2vec is fitted, updated and fitted again, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import numpy as np
import pytest

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.kafka import EMBEDDINGS_TOPIC, VERSIONS_TOPIC
from streams import embeddings as module
from streams.embeddings import KIND, Embeddings
from streams.sessions import ClosedSession

ENOUGH = 40
WINDOW_MS = 1000


class Outbox:
    def __init__(self) -> None:
        self.sent = []

    async def send(self, messages):
        self.sent += messages

    def accounts(self):
        return {m.key for m in self.told()}

    def removed(self):
        return {m.key for m in self.sent if m.topic == EMBEDDINGS_TOPIC and m.value is None}

    def told(self):
        return [m for m in self.sent if m.topic == EMBEDDINGS_TOPIC and m.value is not None]

    def spaces(self):
        return {msgspec.json.decode(m.value)["space"] for m in self.told()}

    def versions(self):
        return [msgspec.json.decode(m.value) for m in self.sent if m.topic == VERSIONS_TOPIC]


class Learner:
    """An Embeddings whose loop turns fast."""

    def __init__(self, folder, live=None):
        self.outbox, self.finished, self._sessions = Outbox(), 0, 0
        settings = Settings(bootstrap_sessions=ENOUGH, embedding_window_ms=WINDOW_MS)
        self.embeddings = Embeddings(settings, ArtifactStore(str(folder)), self.outbox, live)

    def close_sessions(self, count, *, authors="abcdef", seed=0, ts=1):
        """Sessions of new viewers, as one chunk."""
        rng = np.random.default_rng(seed)
        values = []
        for _ in range(count):
            self._sessions += 1
            steps = [(a, "like", ts) for a in rng.choice(list(authors), 4, replace=False).tolist()]
            values.append(
                msgspec.json.encode(ClosedSession(f"v{seed}-{self._sessions}", ts, ts, steps))
            )
        self.embeddings.closed(values, self._finish)

    def close_session(self, *steps, ts=1):
        """A session of a new viewer: (account, action)."""
        session = ClosedSession("v", ts, ts, [(*step, ts) for step in steps])
        self.embeddings.closed([msgspec.json.encode(session)], self._finish)

    def _finish(self):
        self.finished += 1

    async def until(self, condition):
        """Run until the condition holds."""
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
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setattr(module, "UPDATE_INTERVAL_S", 0.001)
    monkeypatch.setattr(module, "QUIET_S", 0.0)


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
    assert version["kind"] == KIND
    assert version["metrics"]["sessions"] == ENOUGH
    stored = ArtifactStore(str(tmp_path)).get(KIND, version["version"])
    assert learner.outbox.spaces() == {stored.meta["space_id"]}


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
    assert learner.outbox.accounts() <= set("abwxyz")
    assert learner.outbox.accounts() & set("ab")
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
    assert version["metrics"]["sessions"] == 2 * ENOUGH
    assert not learner.outbox.spaces() & before
    assert learner.outbox.accounts() == set("abcdef")


async def test_a_restart_goes_on_with_the_live_vectors(quiet, tmp_path):
    sessions = 3 * ENOUGH
    before = await fitted(tmp_path, sessions)
    [version] = before.outbox.versions()
    learner = Learner(tmp_path, version["version"])
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
    learner.embeddings.closed([msgspec.json.encode(lonely)] * ENOUGH, learner._finish)
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
    assert learner.outbox.removed() == set("ef")
    stored = ArtifactStore(str(tmp_path)).get(KIND, learner.outbox.versions()[-1]["version"])
    assert len(stored.arrays["counts"]) == 4
    assert stored.meta["space_id"] == space


async def test_a_session_with_a_see_fewer_moves_the_unwanted_account(quiet, tmp_path):
    learner = await fitted(tmp_path)
    learner.outbox.sent.clear()
    learner.close_session(("a", "like"), ("b", "like"), ("c", "see_fewer"))
    await learner.until(lambda: learner.finished == 2)
    assert learner.outbox.accounts() == set("abc")
