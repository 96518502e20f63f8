"""Baselines for the grids of a run: which there are, tuned and run or taken from the cache."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from models.evaluation.baselines.ease import ease
from models.evaluation.baselines.item_knn import item_knn
from models.evaluation.baselines.popularity import (
    own_authors,
    popularity,
    recent_popularity,
    task_popularity,
)
from models.evaluation.baselines.protocol import Baseline, Parameters
from models.evaluation.baselines.runs import BaselineLists, BaselineRuns
from models.evaluation.targets import Targets
from streams.recorded.grids.production import CANDIDATES
from streams.recorded.grids.run import Run, as_text
from streams.recorded.grids.stages import BASELINES, Arrays

#: Media with rows in a nightly fit of EASE.
NIGHTLY_EASE: Final = 6_000
_MISSING: Final = "left out: pip install 'freshgrid[evaluate]'"


def baseline_lists(run: Run, targets: Targets) -> dict[str, tuple[Parameters, BaselineLists]]:
    """The tuned parameters and the lists of each baseline, by name.

    What is left out for want of a library is in the run's notes.
    """
    options, log = run.options, run.data.log
    static = options.protocol == "static"
    runs = BaselineRuns(
        log, run.task.positives, run.settings.grid_size, CANDIDATES, options.seed
    )  # fmt: skip
    known = _baselines(run)
    found = {}
    for done, baseline in enumerate(known):
        run.tell(f"baseline {baseline.name}", done, len(known))

        def make(baseline: Baseline = baseline) -> Arrays:
            parameters = runs.tuned(baseline, run.split_ms, run.data.real_from_ms)
            if static:
                lists = runs.static(baseline, parameters, targets, run.split_ms)
            else:
                nightly = {"most": float(NIGHTLY_EASE)} if baseline.name == "ease" else {}
                lists = runs.prequential(baseline, {**parameters, **nightly}, targets)
            return {
                "parameters": np.array(as_text(dict(parameters))),
                "seen": lists.seen_gk, "grid": lists.grid_gk, "all": lists.all_gk,
            }  # fmt: skip

        settings = [options.protocol, options.task, options.seed]
        arrays = run.stage(f"baseline-{baseline.name}", BASELINES, settings, make)
        lists = BaselineLists(arrays["seen"], arrays["grid"], arrays["all"])
        found[baseline.name] = msgspec.json.decode(str(arrays["parameters"])), lists
    return found


def _baselines(run: Run) -> list[Baseline]:
    found = [
        popularity(), recent_popularity(), task_popularity(run.task.positives), own_authors(),
        item_knn(), ease(),
    ]  # fmt: skip
    if run.options.small:
        return found
    try:
        from models.evaluation.baselines.factors import als, bpr
    except ImportError:
        run.notes["als, bpr"] = _MISSING
    else:
        found += [als(), bpr()]
    if run.options.protocol == "prequential":
        # The others would take minutes a night.
        return found
    from models.evaluation.baselines.item2vec import item2vec

    found.append(item2vec())
    try:
        from models.evaluation.baselines.sasrec import sasrec
    except ImportError:
        run.notes["sasrec"] = _MISSING
    else:
        found.append(sasrec())
    return found
