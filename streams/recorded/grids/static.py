"""The static protocol: one fit at the split, and from it one grid a viewer."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from models.actions import HEADS, VIEWS
from models.evaluation.event_log import Indices
from models.evaluation.shown import head_figures, media_rate, shown_in
from models.evaluation.targets import Targets, static_targets
from models.examples.choices import Choices
from models.examples.examples import Examples
from models.item_to_item.weights import ItemWeights
from models.rankers.bundle import RankerBundle
from streams.acted.learning import served, train
from streams.acted.serving import Vectors, set_vectors
from streams.recorded.grids.figures import figures_of
from streams.recorded.grids.production import Made, Ranker, recent_viewers
from streams.recorded.grids.run import Run, as_text
from streams.recorded.grids.stage_arrays import (
    choices_arrays,
    choices_of,
    items_arrays,
    items_of,
    made_arrays,
    made_of,
    vectors_arrays,
    vectors_of,
)
from streams.recorded.grids.stages import EXAMPLES, GRIDS, RANKERS, Arrays

#: Viewers whose exposures calibration is measured on, at most.
SHOWN_VIEWERS: Final = 4_000
#: Grids between two words of progress.
_TOLD: Final = 256


def static(run: Run) -> dict[str, Any]:
    """The figures of one grid a viewer, from what is older than the split.

    Raises:
        DatasetError: there is nothing to find after the split.
    """
    targets = run.targets(static_targets)
    recent = np.array(recent_viewers(run.data, run.split_ms), np.int32)
    asked = _shown_viewers(run)
    viewers = np.union1d(targets.viewer_g, np.union1d(recent, asked))
    ranker = Ranker(run.data, run.settings, run.task, viewers)
    vectors, items, bundle = _learned(run, ranker)

    def grids() -> Arrays:
        _bring_to_split(run, ranker, vectors, items)
        if bundle is not None:
            ranker.rankers = bundle
        made = _grids(run, ranker, targets)
        return {**made_arrays(made), "shown": np.array(as_text(_shown(run, ranker, asked)))}

    arrays = run.stage("grids", GRIDS, [run.options.task], grids)
    figures = figures_of(run, targets, made_of(arrays), ranker.sources, vectors)
    figures["shown"] = msgspec.json.decode(str(arrays["shown"]))
    return figures


def _learned(
    run: Run, ranker: Ranker
) -> tuple[Vectors | None, ItemWeights | None, RankerBundle | None]:
    """Vectors, item weights and rankers from what is older than the split."""
    seed = run.options.seed

    def examples() -> Arrays:
        learner = run.learner_at_split()
        learner.finish()
        learner.fit(run.split_ms)
        return {
            **learner.examples.to_arrays(),
            **choices_arrays(learner.choices),
            **items_arrays(learner.item_weights()),
            **vectors_arrays(learner.vectors),
        }

    learned = run.stage("examples", EXAMPLES, [seed], examples)
    vectors, items = vectors_of(learned), items_of(learned)

    def rankers() -> Arrays:
        _bring_to_split(run, ranker, vectors, items)
        return _trained(run, ranker, Examples.from_arrays(learned), choices_of(learned))

    trained = run.stage("rankers", RANKERS, [seed, run.options.task], rankers)
    meta = msgspec.json.decode(str(trained.pop("meta")))
    run.notes["rankers"] = meta["note"]
    if not trained:
        return vectors, items, None
    return vectors, items, RankerBundle.from_arrays(trained, meta["bundle"])


def _bring_to_split(
    run: Run, ranker: Ranker, vectors: Vectors | None, items: ItemWeights | None
) -> None:
    if ranker.world.space is None:
        run.tell("folding", 0, 1)
        ranker.advance(run.split_ms)
        set_vectors(ranker.world, vectors)
        ranker.world.item_weights = items


def _trained(run: Run, ranker: Ranker, examples: Examples, choices: Choices) -> Arrays:
    run.tell("training", 0, 1)
    sets, seed = ranker.candidate_sets(run.split_ms), run.options.seed
    try:
        bundle = train(examples, choices, sets, run.settings, seed)
        bundle = served(bundle, run.task.weights, sets, run.settings, seed)
    except (ValueError, ArithmeticError) as error:
        return {"meta": np.array(as_text({"note": f"prior: {error}"}))}
    arrays, meta = bundle.to_arrays()
    return {**arrays, "meta": np.array(as_text({"note": bundle.version, "bundle": meta}))}


def _grids(run: Run, ranker: Ranker, targets: Targets) -> Made:
    parts = []
    for start in range(0, len(targets), _TOLD):
        parts.append(ranker.make(targets.viewer_g[start : start + _TOLD], run.split_ms))
        run.tell("grids", min(start + _TOLD, len(targets)), len(targets))
    return Made.joined(parts)


def _shown_viewers(run: Run) -> Indices:
    """Viewers who were shown something in the test period, whatever they did with it."""
    log = run.data.log
    late = slice(log.before(run.split_ms), None)
    viewed_n = np.isin(log.action_n[late], VIEWS)
    viewers: Indices = np.unique(log.viewer_n[late][viewed_n])
    if len(viewers) > SHOWN_VIEWERS:
        rng = np.random.default_rng(run.options.seed)
        viewers = np.sort(viewers[rng.permutation(len(viewers))[:SHOWN_VIEWERS]])
    return viewers


def _shown(run: Run, ranker: Ranker, viewers: Indices) -> dict[str, Any]:
    """The heads on what the log shows these viewers in the test period."""
    log = run.data.log
    shown = shown_in(log, viewers, run.split_ms)
    there_n = log.created_m[shown.media_n] < run.split_ms
    if not there_n.any():
        return {}
    viewer_n, media_n = shown.viewer_n[there_n], shown.media_n[there_n]
    asked, begin = np.unique(viewer_n, return_index=True)
    lists: list[Indices] = np.split(media_n, begin[1:])
    probability_nh = ranker.probabilities(asked, lists, run.split_ms)
    figures: dict[str, Any] = {}
    for h, head in enumerate(HEADS):
        label_n = shown.done_n[head][there_n]
        figures[head.word] = head_figures(label_n, probability_nh[:, h], viewer_n)
    action = run.task.positives[0]
    rate_m = media_rate(log, action, run.split_ms)
    of_rate = head_figures(shown.done_n[action][there_n], rate_m[media_n], viewer_n)
    figures["media_rate"] = {name: of_rate[name] for name in ("auc", "auc_within")}
    return figures
