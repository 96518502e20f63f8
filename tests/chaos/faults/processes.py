"""Roles are killed, restarted, paused, moved about, and run twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Final

from tests.chaos.faults.fault import Fault, fault
from tests.chaos.scene import Scene

API_AWAY: Final = "the only ranker is away, and its HTTP API with it"


@fault("worker killed", "worker", group="end")
def killed_worker(scene: Scene) -> Iterator[None]:
    """`kill -9` of a worker, mostly in the middle of its work; it is started again."""
    if scene.rng.random() < 0.75:
        scene.wait_ready(scene.workers)
    scene.rest_between(0, 1.0)
    scene.workers.end(scene.workers.pick(scene.rng), signal.SIGKILL)
    yield
    scene.workers.start()


@fault("worker restarted", "worker", group="end")
def restarted_worker(scene: Scene) -> Iterator[None]:
    """SIGTERM of a worker; it is started again."""
    scene.workers.end(scene.workers.pick(scene.rng), signal.SIGTERM)
    yield
    scene.workers.start()


@fault("workers 1 → 3 → 1", "worker", group="members", lasts_s=(0.5, 1.5))
def rebalanced(scene: Scene) -> Iterator[None]:
    """Two more workers join; one leaves, one is killed."""
    scene.workers.start()
    scene.rest_between(0, 0.5)
    scene.workers.start()
    scene.wait_ready(scene.workers)
    yield
    for how in scene.rng.sample([signal.SIGTERM, signal.SIGKILL], 2):
        scene.workers.end(scene.workers.pick(scene.rng), how)
        scene.rest_between(0, 1)


@fault("worker paused", "worker", group="members")
def paused_worker(scene: Scene) -> Iterator[None]:
    """A worker stands still, another one takes over; the first wakes up and believes it still has
    its part. One of the two ends."""
    scene.wait_ready(scene.workers)
    paused = scene.workers.pick(scene.rng)
    scene.workers.start()
    scene.rest_between(0, 1)
    with scene.workers.paused(paused):
        scene.rest(scene.pause_s)
        yield
    scene.wait_ready(scene.workers)
    scene.workers.end(scene.workers.pick(scene.rng), signal.SIGTERM)


@fault("ranker killed", "ranker", group="ranker", excuses=API_AWAY)
def killed_ranker(scene: Scene) -> Iterator[None]:
    """`kill -9` of the ranker; it is started again."""
    scene.rankers.end(scene.rankers.pick(scene.rng), signal.SIGKILL)
    yield
    scene.rankers.start()


@fault("ranker restarted", "ranker", group="ranker", excuses=API_AWAY)
def restarted_ranker(scene: Scene) -> Iterator[None]:
    """SIGTERM of the ranker; it is started again."""
    scene.rankers.end(scene.rankers.pick(scene.rng), signal.SIGTERM)
    yield
    scene.rankers.start()


@fault("ranker paused", "ranker", group="ranker", excuses=API_AWAY)
def paused_ranker(scene: Scene) -> Iterator[None]:
    """The ranker stands still for longer than a session of its group."""
    with scene.rankers.paused(scene.rankers.pick(scene.rng)):
        scene.rest(scene.pause_s)
        yield


@fault("learner killed", "learner", group="learner")
def killed_learner(scene: Scene) -> Iterator[None]:
    """`kill -9` of the learner; it is started again."""
    scene.learners.end(scene.learners.pick(scene.rng), signal.SIGKILL)
    yield
    scene.learners.start()


@fault("learner restarted", "learner", group="learner")
def restarted_learner(scene: Scene) -> Iterator[None]:
    """SIGTERM of the learner; it is started again."""
    scene.learners.end(scene.learners.pick(scene.rng), signal.SIGTERM)
    yield
    scene.learners.start()


@fault("learner paused", "learner", group="learner")
def paused_learner(scene: Scene) -> Iterator[None]:
    """The learner stands still for longer than a session of its group."""
    with scene.learners.paused(scene.learners.pick(scene.rng)):
        scene.rest(scene.pause_s)
        yield


@fault("two learners", "learner", group="learner", lasts_s=(1.0, 3.0))
def two_learners(scene: Scene) -> Iterator[None]:
    """A second learner joins and works; then one of the two is ended, either way."""
    scene.learners.start()
    scene.wait_ready(scene.learners)
    yield
    how = scene.rng.choice([signal.SIGTERM, signal.SIGKILL])
    scene.learners.end(scene.learners.pick(scene.rng), how)


FAULTS: Final[tuple[Fault, ...]] = (
    killed_worker, restarted_worker, rebalanced, paused_worker,
    killed_ranker, restarted_ranker, paused_ranker,
    killed_learner, restarted_learner, paused_learner, two_learners,
)  # fmt: skip
