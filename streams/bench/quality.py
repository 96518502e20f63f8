"""How good grids are on the bundled events, in a minute: to compare changes, not to time them.

The static protocol (:mod:`streams.recorded.grids.evaluation`) with a fixed seed and without the
baselines that take minutes. Nothing is kept between runs, so each measures the code as it is.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

from msgspec import Meta

from infra.config import Settings
from streams.bench.progress import say
from streams.local.scenario import FIXTURE
from streams.recorded.grids.evaluation import evaluate_grids
from streams.recorded.grids.run import Options
from streams.recorded.grids.task import TASKS
from streams.recorded.reading import read_dataset

SEED: Final = 7
_KEPT: Final = (
    "ndcg", "ndcg_low", "ndcg_high", "recall", "recall_500", "ndcg_prior", "ndcg_uncut",
    "best_baseline", "best_baseline_name", "best_recall_500", "ratio", "viewers", "positives",
)  # fmt: skip


def run(
    settings: Settings,
    *,
    data: Annotated[Path, Meta(description="Recorded events: a fixture.")] = FIXTURE,
) -> dict[str, Any]:
    """Evaluate the grids of both tasks, like and long view, on one log."""
    log = read_dataset(data)
    figures: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        # Both tasks learn from the same examples.
        for task in TASKS:
            say(f"{task} …")
            options = Options(task=task, seed=SEED, cache=Path(folder), small=True)
            found = evaluate_grids(log, settings, options)["figures"]
            figures[task] = {name: found[name] for name in _KEPT}
            figures[task]["rankers"] = found["notes"]["rankers"]
    return {**figures, "data": log.name, "seed": SEED}
