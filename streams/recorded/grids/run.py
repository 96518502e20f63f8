"""One evaluation as it runs: its data, split and options, its stages, notes and times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from infra.config import Settings
from models.evaluation.targets import Targets
from streams.acted.serving import query_of
from streams.clock import parse_time
from streams.recorded.dataset import Dataset, DatasetError
from streams.recorded.grids.production import Learner
from streams.recorded.grids.stages import Arrays, Stages
from streams.recorded.grids.task import task_of

Protocol = Literal["static", "prequential"]
#: Told (stage, done, of how many).
Progress = Callable[[str, int, int], None]
#: Newest part of the events that is the test period unless somebody says otherwise.
TEST_SHARE: Final = 0.15
#: Events that the learner observes before progress is told again.
_TOLD: Final = 20_000


@dataclass(frozen=True, slots=True)
class Options:
    """One evaluation.

    Attributes:
        split: where the test period begins, as text; empty for what the data set says.
        cache: a folder of finished stages, None to keep nothing.
        small: leave out the baselines that take minutes.
    """

    protocol: Protocol = "static"
    task: str = "like"
    split: str = ""
    seed: int = 7
    cache: Path | None = None
    small: bool = False


def split_of(data: Dataset, split: str) -> int:
    """Where the test period begins, epoch ms.

    Raises:
        DatasetError: no event lies before it, or none after it.
        SettingsError: it is no time.
    """
    log = data.log
    text = split or data.split
    split_ms = (
        parse_time("--split", text) if text else int(log.ts_n[int(len(log) * (1 - TEST_SHARE))])
    )
    before = log.before(split_ms)
    if not before:
        same = " (all have the same time)" if log.ts_n[0] == log.ts_n[-1] else ""
        raise DatasetError(
            f"{data.name}: none of {len(log)} events lies before the split at {split_ms}{same}; "
            "give a later --split, or a log with times that say what came first"
        )
    if before == len(log):
        raise DatasetError(
            f"{data.name}: all {len(log)} events lie before the split at {split_ms}; "
            "give an earlier --split"
        )
    return split_ms


class Run:
    """What both protocols share.

    Attributes:
        notes: what the figures tell of the run, by subject.
        seconds: how long each stage took.

    Raises:
        DatasetError, SettingsError: see :func:`split_of` and :func:`query_of`.
        TaskError: there is no such task.
    """

    def __init__(self, data: Dataset, settings: Settings, options: Options, tell: Progress) -> None:
        self.data, self.settings, self.options, self.tell = data, settings, options, tell
        self.task = task_of(options.task)
        self.split_ms = split_of(data, options.split)
        self.stages = Stages(
            options.cache,
            [
                data.digest,
                self.split_ms,
                settings.model_dump(mode="json"),
                query_of(settings).plan.version,
            ],
        )
        self.notes: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def targets(self, of: Callable[..., Targets]) -> Targets:
        """What grids should have held in the test period.

        Args:
            of: gives them of a log, positives and a split.

        Raises:
            DatasetError: that is nothing.
        """
        targets = of(self.data.log, self.task.positives, self.split_ms)
        if not len(targets):
            names = " or ".join(action.word for action in self.task.positives)
            raise DatasetError(
                f"{self.data.name}: no viewer has a {names} on a media not seen before in the "
                f"test period from {self.split_ms} on; give an earlier --split or another --task"
            )
        return targets

    def stage(
        self, name: str, rooms: Sequence[str], settings: list[Any], make: Callable[[], Arrays]
    ) -> Arrays:
        """What a stage gave, as :meth:`Stages.run`; its time is taken."""
        started = time.monotonic()
        found = self.stages.run(name, rooms, settings, make)
        self.took(name, started)
        return found

    def took(self, name: str, started: float) -> None:
        """Add the time since `started`, monotonic seconds, to that of `name`."""
        passed = time.monotonic() - started
        self.seconds[name] = round(self.seconds.get(name, 0.0) + passed, 1)

    def learner_at_split(self) -> Learner:
        """A learner that has observed everything older than the split."""
        learner, log = Learner(self.data, self.settings, self.options.seed), self.data.log
        end = log.before(self.split_ms)
        for at in range(_TOLD, end + _TOLD, _TOLD):
            learner.advance(min(int(log.ts_n[min(at, end) - 1]) + 1, self.split_ms))
            self.tell("observing", learner.observed, end)
        learner.advance(self.split_ms)
        return learner


def as_text(told: Any) -> str:
    """What a stage keeps beside arrays, as JSON."""
    return msgspec.json.encode(told).decode()
