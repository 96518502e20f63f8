"""Grids of a run and the baselines beside them → the figures that are reported."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.baselines.runs import BaselineLists
from models.evaluation.targets import Targets
from streams.acted.serving import Vectors
from streams.recorded.dataset import Dataset
from streams.recorded.grids.baselines import baseline_lists
from streams.recorded.grids.judge import Judge, told, unwanted_targets
from streams.recorded.grids.production import Made
from streams.recorded.grids.run import Run


def figures_of(
    run: Run, targets: Targets, made: Made, sources: tuple[str, ...], vectors: Vectors | None
) -> dict[str, Any]:
    """Figures of grids and of the baselines, as ``docs/evaluation.md`` names them.

    Args:
        made: of each grid of the targets.
        sources: names of the codes of sources.
        vectors: of authors, for diversity.
    """
    baselines = baseline_lists(run, targets)
    own = BaselineLists(made.popular_seen_gk, made.popular_gk, made.popular_all_gk)
    baselines["own_popularity"] = {}, own
    run.tell("figures", 0, 1)
    started = time.monotonic()
    # A static split says nothing of a viewer without history that popularity does not: such
    # viewers are a slice of their own.
    headline_g = np.ones(len(targets), np.bool_)
    if run.options.protocol == "static" and (targets.history_g > 0).any():
        headline_g = targets.history_g > 0
    rows = np.flatnonzero(headline_g)
    vectors_md = _media_vectors(run.data, vectors)
    judge = _judge(run, targets.take(rows), vectors_md)
    everybody = _judge(run, targets, vectors_md)
    head = Made(**{n: getattr(made, n)[rows] for n in Made.__dataclass_fields__})
    figures = judge.made(head, sources)
    told_of: dict[str, Any] = {}
    for name, (parameters, lists) in baselines.items():
        taken = BaselineLists(lists.seen_gk[rows], lists.grid_gk[rows], lists.all_gk[rows])
        told_of[name] = {"parameters": dict(parameters), **judge.baseline(taken)}
    best_name = max(told_of, key=lambda name: told_of[name]["ndcg"] or 0.0)
    best_gk = baselines[best_name][1].grid_gk
    figures |= {
        "best_baseline": told_of[best_name]["ndcg"],
        "best_baseline_name": best_name,
        "best_recall_500": max(one["recall_500"] or 0.0 for one in told_of.values()),
    }
    told(figures, "ratio", judge.ratio(head.grid_gk, best_gk[rows]))
    # Beside lists that may show what the query keeps for the home feed.
    freest = max(told_of, key=lambda name: told_of[name]["ndcg_seen_exclusions"] or 0.0)
    freest_gk = baselines[freest][1].seen_gk[rows]
    told(figures, "ratio_seen_exclusions", judge.ratio(head.grid_gk, freest_gk))
    figures["slices"] = everybody.slices(made.grid_gk, made.candidates_gk)
    size = run.settings.grid_size
    figures["slices_best_baseline"] = everybody.slices(best_gk[:, :size], best_gk)
    figures["baselines"] = told_of
    figures |= {
        "viewers": len(np.unique(targets.viewer_g[rows])),
        "grids": len(rows),
        "positives": len(targets.take(rows).media_p),
        "split_ms": run.split_ms,
        "seed": run.options.seed,
        "notes": dict(run.notes),
        "reused": list(run.stages.reused),
    }
    run.took("figures", started)
    figures["seconds"] = dict(run.seconds)
    return figures


def _judge(run: Run, targets: Targets, vectors_md: NDArray[np.floating]) -> Judge:
    log = run.data.log
    return Judge(
        log, targets, unwanted_targets(log, targets), run.split_ms, vectors_md,
        run.settings.grid_size, run.options.seed, _topics(run.data),
    )  # fmt: skip


def _topics(data: Dataset) -> NDArray[np.int64]:
    """The number of each media's first topic; −1 where the catalogue tells none."""
    numbers: dict[str, int] = {}
    topic_m = np.full(data.log.media, -1, np.int64)
    for media, record in data.records.items():
        if record.topics:
            topic_m[media] = numbers.setdefault(record.topics[0], len(numbers))
    return topic_m


def _media_vectors(data: Dataset, vectors: Vectors | None) -> NDArray[np.float32]:
    """Unit vectors of the media's authors; zeros where there is none."""
    if vectors is None:
        return np.zeros((data.log.media, 1), np.float32)
    ids, vectors_nd = vectors
    number = {name: at for at, name in enumerate(data.author_ids)}
    of_ad = np.zeros((len(number), vectors_nd.shape[1]), np.float32)
    rows = [number[name] for name in ids]
    of_ad[rows] = vectors_nd / np.maximum(np.linalg.norm(vectors_nd, axis=1), 1e-9)[:, None]
    found: NDArray[np.float32] = of_ad[data.log.author_m]
    return found
