"""A data set → the figures of one protocol."""

from __future__ import annotations

from typing import Any

from infra.config import Settings
from streams.recorded.dataset import Dataset
from streams.recorded.grids.prequential import prequential
from streams.recorded.grids.run import Options, Progress, Run
from streams.recorded.grids.static import static


def _nobody(stage: str, done: int, total: int) -> None:
    pass


def evaluate_grids(
    data: Dataset, settings: Settings, options: Options, tell: Progress = _nobody
) -> dict[str, Any]:
    """Evaluate; see ``docs/evaluation.md`` for what the figures mean.

    Raises:
        DatasetError: there is nothing before the split, or nothing to find after it.
        TaskError: there is no such task.
        SettingsError: the split is no time.
    """
    run = Run(data, settings, options, tell)
    return {
        "data": data.name,
        "protocol": options.protocol,
        "task": options.task,
        "figures": static(run) if options.protocol == "static" else prequential(run),
    }
