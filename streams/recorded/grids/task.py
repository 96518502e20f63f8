"""What a grid is judged by: which actions it should have led to, and what the passes sort by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from infra.errors import FreshgridError
from models.actions import HEADS, STRONG_POSITIVE, Action
from models.rankers.value import Weights


class TaskError(FreshgridError):
    """There is no such task."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task.

    Attributes:
        name: of the figures.
        positives: actions of the test period that grids should have held.
        weights: of the value that grids are sorted by.
    """

    name: str
    positives: tuple[Action, ...]
    weights: Weights


def _only(action: Action) -> Weights:
    return Weights().changed({head.word: float(head is action) for head in HEADS})


#: The live weights for what viewers meant to do; long views by their probability alone.
TASKS: Final = {
    task.name: task
    for task in (
        Task("like", STRONG_POSITIVE, Weights()),
        Task("long_view", (Action.LONG_VIEW,), _only(Action.LONG_VIEW)),
    )
}


def task_of(name: str) -> Task:
    """The task of this name.

    Raises:
        TaskError: there is none.
    """
    if name not in TASKS:
        raise TaskError(f"there is no task {name!r}; the tasks are {', '.join(TASKS)}")
    return TASKS[name]
