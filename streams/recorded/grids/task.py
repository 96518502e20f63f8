"""What a grid is judged by: which actions it should have led to, and what the passes sort by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from infra.errors import FreshgridError
from models.events import Action
from models.examples.examples import LABELS
from models.rankers.ensemble import Ensemble
from models.rankers.final_pass import HEADS, FinalPass
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
        label: whose probability stands in the place of the first head.
    """

    name: str
    positives: tuple[Action, ...]
    weights: Weights
    label: str = HEADS[0]

    def final(self, final: FinalPass) -> FinalPass:
        """The final pass with the task's label as its first head."""
        at = LABELS.index(self.label)
        if at == 0:
            return final
        order = list(range(len(LABELS)))
        order[0], order[at] = at, 0
        ensemble = final.ensemble
        weights_io, bias_o = ensemble.linear
        last_kio, last_ko = ensemble.layers[-1]
        layers = [*ensemble.layers[:-1], (last_kio[..., order], last_ko[..., order])]
        turned = Ensemble((weights_io[:, order], bias_o[order]), layers)
        return FinalPass(final.standardizer, final.embeddings, turned)


#: The live weights for likes and saves; long views by their probability alone. The head of long
#: views is learned but not served, so it takes the place of the first one. The untrained prior has
#: no such head: there P(like) stands in.
TASKS: Final = {
    task.name: task
    for task in (
        Task("like", (Action.LIKE, Action.SAVE), Weights()),
        Task(
            "long_view",
            (Action.LONG_VIEW,),
            Weights(like=1.0, save=0.0, see_fewer=0.0),
            "long_view",
        ),
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
