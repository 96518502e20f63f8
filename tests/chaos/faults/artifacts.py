"""The artifact store is away, or full."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from typing import Final

from tests.chaos.faults.fault import Fault, fault
from tests.chaos.scene import Scene

#: No file of a process may grow beyond this: a file of vectors does.
FULL_BYTES: Final = 1024


@fault("artifact store away", "artifacts", group="store", lasts_s=(1.0, 2.0))
def away(scene: Scene) -> Iterator[None]:
    """A file stands where the folder was, and mostly the learner starts anew meanwhile; the folder
    comes back as it was."""
    there = scene.artifacts
    aside = there.with_name("artifacts.away")
    there.mkdir(parents=True, exist_ok=True)
    there.rename(aside)
    there.write_text("no folder")
    if scene.rng.random() < 0.7:
        scene.learners.end(scene.learners.pick(scene.rng), signal.SIGKILL)
        scene.learners.start()
    yield
    there.unlink()
    aside.rename(there)


@fault("artifact store full", "artifacts", group="store", lasts_s=(2.0, 4.0))
def full(scene: Scene) -> Iterator[None]:
    """The learner can write no file beyond a kilobyte (its limit on file sizes, so writes fail as
    they do on a full disk); then it can again."""
    process = scene.learners.pick(scene.rng).pid
    _, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (FULL_BYTES, hard))
    yield
    try:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (hard, hard))
    except ProcessLookupError:
        return  # It ended, which is counted.


FAULTS: Final[tuple[Fault, ...]] = (away, full)
