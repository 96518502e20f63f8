"""When the rankers are trained: real events, and a training that only says it was asked."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.topics import EMBEDDINGS_TOPIC
from models.actions import EVENT_TOPICS
from models.world import World
from streams import training as module
from streams.learning.ranker_learning import RankerLearning
from streams.log.replay import Line, read_fixture
from streams.serving.world_feed import WorldFeed, embedding_messages
from streams.training import Training
from tests.paths import FIXTURES

TINY = FIXTURES / "tiny.jsonl"
#: Likes, saves and see-fewers of the fixture.
POSITIVES = 24


class Learner:
    def __init__(self, folder, **settings):
        self.asked = []
        world = World()
        self.feed = WorldFeed(world)
        config = Settings(**settings)
        self.training = Training(config, world, ArtifactStore(str(folder)), None)
        self._lines = list(read_fixture(TINY))

    def read(self):
        """The whole fixture."""
        for line in self._lines:
            if line.topic in EVENT_TOPICS:
                self.training.events(line.topic, [line])
            else:
                self.feed.apply(line.topic, [line])

    def learn_vectors(self):
        vectors_nd = np.eye(3, dtype=np.float32)
        messages = embedding_messages("s", ["x", "y", "z"], vectors_nd)
        self.feed.apply(
            EMBEDDINGS_TOPIC, [Line(m.topic, m.key.encode(), m.value) for m in messages]
        )

    async def polled(self, lag=0):
        """Poll until whatever that began has ended; returns how often training was asked for."""
        before = len(self.asked)
        await self.training.polled(lag)
        async with asyncio.timeout(30):
            while (task := self.training._work) is not None and not task.done():
                await asyncio.sleep(0.001)
        return len(self.asked) - before


@pytest.fixture
def learner(tmp_path, monkeypatch):
    made = Learner(tmp_path, bootstrap_positives=POSITIVES // 2, train_every_positives=10_000)

    def asked(learning, examples, sets):
        made.asked.append(examples)
        raise ValueError("too little to learn from")

    monkeypatch.setattr(module, "QUIET_S", 0.0)
    monkeypatch.setattr(RankerLearning, "train", asked)
    return made


async def test_training_waits_for_vectors_and_for_the_end_of_what_is_on_its_way(learner):
    learner.read()
    assert await learner.polled(lag=5) == 0
    assert await learner.polled() == 0
    learner.learn_vectors()
    assert await learner.polled(lag=5) == 0
    assert await learner.polled() == 1
    [examples] = learner.asked
    assert len(examples) > POSITIVES


async def test_the_first_training_waits_for_a_quiet_stream(learner, monkeypatch):
    monkeypatch.setattr(module, "QUIET_S", 1e9)
    learner.read()
    learner.learn_vectors()
    assert await learner.polled() == 0
    monkeypatch.setattr(module, "QUIET_S", 0.0)
    assert await learner.polled() == 1


async def test_a_training_that_fails_is_told_and_waits_for_more(learner, caplog):
    learner.read()
    learner.learn_vectors()
    with caplog.at_level(logging.WARNING):
        assert await learner.polled() == 1
    assert "the live ones stay: too little to learn from" in caplog.text
    assert await learner.polled() == 0


async def test_what_cannot_be_parsed_is_left_out(learner):
    for topic in EVENT_TOPICS:
        learner.training.events(topic, [Line(topic, b"v", b"{"), Line(topic, b"v", b"\xff")])
    learner.learn_vectors()
    assert await learner.polled() == 0
